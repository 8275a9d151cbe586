"""A folder of pairs in the form of SA-1B: NAME.jpg with NAME.json. SA-1B's own tars need no packing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymask.data.folders import files_by_stem, pair
from anymask.data.packing import Photograph, key_of, keyed
from anymask.errors import UserError

__all__ = ["Sa1bPairs"]


@dataclass(frozen=True, slots=True)
class Sa1bPairs:
    """The folder. What the annotations say is passed on, but for ``source``, which the packing adds."""

    folder: Path

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        pairs = pair(files_by_stem(self.folder, ".jpg", ".jpeg"), files_by_stem(self.folder, ".json"))
        return keyed((key_of(name), files) for name, files in pairs.items())

    def read(self, item: tuple[Path, Path]) -> Photograph:
        photograph, annotation = item
        try:
            content = json.loads(annotation.read_bytes())
            image, masks = content["image"], content["annotations"]
            if not isinstance(masks, list):
                raise TypeError("annotations are not a list")
            return Photograph(photograph.read_bytes(), image, masks)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{annotation} is not an annotation in SA-1B's form: {error!r}") from None
