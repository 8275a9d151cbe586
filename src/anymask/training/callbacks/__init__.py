"""What happens beside the training step."""

from anymask.training.callbacks.bad_samples import BadSamples
from anymask.training.callbacks.mixture_table import MixtureTable
from anymask.training.callbacks.round_pictures import RoundPictures
from anymask.training.callbacks.stop_on_signal import StopOnSignal, Stopped
from anymask.training.callbacks.throughput import Throughput

__all__ = ["BadSamples", "MixtureTable", "RoundPictures", "StopOnSignal", "Stopped", "Throughput"]
