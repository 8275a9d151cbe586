"""Where an evaluation's samples come from: shards, or COCO's and LVIS's own files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from anymask import masks
from anymask.data.coco import GroundTruth, Image, photograph, read_ground_truth
from anymask.data.records import BadSample, RawSample, decode_image, parse
from anymask.data.shards import Records, ShardSet
from anymask.data.stream import read_samples
from anymask.errors import UserError
from anymask.structures import Sample, Skipped

__all__ = ["CocoSamples", "Name", "Samples", "ShardSamples", "open_samples"]

Name = tuple[str, str]
"""The file's name of the shard, or that of the instances file, and the key."""


@runtime_checkable
class Samples(Protocol):
    """A data set that is read in its order, each sample once."""

    @property
    def name(self) -> str: ...

    def fingerprint(self) -> str:
        """Short hash of what is in it."""
        ...

    def __len__(self) -> int:
        """Samples, those that cannot be used among them."""
        ...

    def read(
        self, *, limit: int | None = None, workers: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Sample | Skipped]:
        """Every ``world``-th of the first ``limit`` samples from ``rank`` on."""
        ...

    def find(self, names: set[Name]) -> dict[Name, Sample]:
        """Some samples that were read before, for their pictures."""
        ...


@dataclass(frozen=True, slots=True)
class ShardSamples:
    """Those of a shard set."""

    shards: ShardSet

    @property
    def name(self) -> str:
        return self.shards.name

    def fingerprint(self) -> str:
        return self.shards.fingerprint()

    def __len__(self) -> int:
        return self.shards.samples.total()

    def read(
        self, *, limit: int | None = None, workers: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Sample | Skipped]:
        return read_samples(self.shards, limit=limit, workers=workers, rank=rank, world=world)

    def find(self, names: set[Name]) -> dict[Name, Sample]:
        records = Records(self.shards.shards, self.shards.default_source)
        read = {name: records.read(number) for number, name in enumerate(records.names()) if name in names}
        records.close()
        return {n: parse(raw, self.shards.default_source) for n, raw in read.items() if isinstance(raw, RawSample)}


@dataclass(frozen=True, slots=True)
class CocoSamples:
    """The photographs of an instances file with their objects; crowd regions and empty masks are left out.

    A sample's key is the stem of its file's name, its ``mask_ids`` are those of the annotations.
    """

    path: Path
    folder: Path  # of the photographs
    truth: GroundTruth

    @classmethod
    def open(cls, path: Path, folder: Path) -> CocoSamples:
        """Raises UserError for what is not COCO's form, and where two photographs have one name."""
        truth = read_ground_truth(path)
        keys = [_key(image) for image in truth.images.values()]
        if doubles := [key for key, number in Counter(keys).items() if number > 1]:
            raise UserError(f"{path} has two photographs of the same name: {doubles[0]!r}")
        return cls(path, folder, truth)

    @property
    def name(self) -> str:
        return self.path.stem

    def fingerprint(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self.truth.images)

    def read(
        self, *, limit: int | None = None, workers: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Sample | Skipped]:
        """In the order of the file. A photograph is read when it is asked for; ``workers`` are not needed."""
        for image in list(self.truth.images.values())[:limit][rank::world]:
            yield self._sample(image)

    def find(self, names: set[Name]) -> dict[Name, Sample]:
        wanted = [image for key, image in self.images_by_key().items() if (self.path.name, key) in names]
        samples = [sample for sample in map(self._sample, wanted) if isinstance(sample, Sample)]
        return {(sample.shard, sample.key): sample for sample in samples}

    def images_by_key(self) -> dict[str, Image]:
        """What the file says of each photograph."""
        return {_key(image): image for image in self.truth.images.values()}

    def _sample(self, image: Image) -> Sample | Skipped:
        try:
            pixels = _read(photograph(self.folder, image), image.size)
        except (BadSample, UserError) as error:
            return Skipped(self.path.name, _key(image), str(error))
        objects = [a for a in self.truth.annotations[image.id] if not a.crowd and masks.area(masks.runs(a.mask))]
        return Sample(
            key=_key(image),
            shard=self.path.name,
            source="manual",
            image=pixels,
            masks=tuple(entry.mask for entry in objects),
            mask_ids=tuple(entry.id for entry in objects),
            ignore=(None,) * len(objects),
            crop=(0, 0, image.size[1], image.size[0]),
        )


def open_samples(data: str, images: str | None = None) -> ShardSamples | CocoSamples:
    """Shards, as ``ShardSet.open`` takes them, or an instances ``.json`` with the folder of its photographs.

    Raises UserError where there is nothing to read.
    """
    if not data.endswith(".json"):
        return ShardSamples(ShardSet.open(data))
    if images is None or not Path(images).is_dir():
        raise UserError(f"data={data!r} needs the folder of its photographs: images={images!r} is none")
    return CocoSamples.open(Path(data), Path(images))


def _read(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    image = decode_image(path.read_bytes())
    if image.shape[:2] != size:
        raise BadSample(f"the photograph is {image.shape[:2]} pixels (height, width), the annotation says {size}")
    return image


def _key(image: Image) -> str:
    return Path(image.file_name).stem
