"""Train a model: ``python train.py [experiment=…] [key=value …]``."""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1))  # until the run can answer them: it saves

from anymask.cli import train  # noqa: E402

if __name__ == "__main__":
    train()
