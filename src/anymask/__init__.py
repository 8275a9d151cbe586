"""Training and zero-shot evaluation of promptable segmentation models (Segment Anything, Kirillov et al. 2023)."""

from anymask.errors import UserError
from anymask.inference.generator import MaskGenerator, MaskRecord
from anymask.inference.predictor import Predictor
from anymask.models.checkpoints import load, save
from anymask.models.sam import Sam, build
from anymask.structures import Prediction

__all__ = ["MaskGenerator", "MaskRecord", "Prediction", "Predictor", "Sam", "UserError", "build", "load", "save"]
