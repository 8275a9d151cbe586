from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from anymask.data.collate import collate
from anymask.data.mixture import seeded
from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.data.transforms import ToExample
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.models.sam import Sam, build
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Sample
from anymask.training.callbacks.round_pictures import SIDE, draw_rounds
from anymask.training.optim import Optimisation
from anymask.training.sam_module import SamModule


def test_only_the_objects_that_are_drawn_are_decoded(
    write_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardSet.open(str(write_shards(["manual"] * 3)))
    samples = [sample for sample in read_samples(shards) if isinstance(sample, Sample)]
    batch = collate([ToExample(image_size=64, loss_size=16)(sample, seeded(0)) for sample in samples])
    assert len(batch.boxes) > 2
    module = SamModule(
        build("tiny", image_size=64),
        optimisation=Optimisation(steps=1),
        rounds=Rounds(clicks=1, round_without_click=False, last_without_click=False),
        first_prompt=FirstPrompt(),
        loss_weights=LossWeights(),
        matching=Matching(),
    ).eval()
    decoded: list[int] = []
    decode = Sam.decode

    def counted(self, embeddings, prompts, **more):  # type: ignore[no-untyped-def]
        decoded.append(len(prompts.points))
        return decode(self, embeddings, prompts, **more)

    monkeypatch.setattr(Sam, "decode", counted)
    with torch.no_grad():
        picture = draw_rounds(module, batch, module.best.encode(batch.images, batch.sizes), 2)
    assert decoded == [2, 2]
    assert picture.shape[0] >= 4 * SIDE  # two rows for each object
