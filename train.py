"""Train a model: ``python train.py [experiment=…] [key=value …]``."""

from anymask.cli import train

if __name__ == "__main__":
    train()
