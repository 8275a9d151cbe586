"""Which of a model's masks are its proposals, and in which order."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Float, Int

from anymask.errors import UserError
from anymask.evaluation.proposals.protocol import Proposals
from anymask.inference.candidates import Measured

__all__ = ["chance_of", "first_proposals"]


def first_proposals(found: Measured, settings: Proposals, name: str) -> Int[np.ndarray, " k"]:
    """The rows of the proposals, the best first; of equal ones that with the higher predicted IoU.

    ``name`` of the image seeds a random order. Raises UserError for estimates that are not finite.
    """
    if not np.isfinite(found.ious).all():
        raise UserError("the model answers with values that are not finite: its weights are damaged")
    return np.argsort(-_scores(found, settings, name), kind="stable")[: settings.proposals]


def chance_of(name: str) -> float:
    """A number from 0 to below 1 that a name always has."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _scores(found: Measured, settings: Proposals, name: str) -> Float[np.ndarray, " n"]:
    if settings.ranking == "random":
        seed = hashlib.sha256(f"{settings.seed} {name}".encode()).digest()[:8]
        return np.random.default_rng(int.from_bytes(seed)).random(len(found))
    if settings.ranking == "mean":
        return (found.ious.astype(np.float64) + found.stability) / 2
    return found.ious if settings.ranking == "predicted_iou" else found.stability
