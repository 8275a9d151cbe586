"""Measure a model: ``python evaluate.py checkpoint=… data=… [key=value …]``."""

from anymask.cli import evaluate

if __name__ == "__main__":
    evaluate()
