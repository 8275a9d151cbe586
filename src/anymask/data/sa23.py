"""The 23 data sets of the paper's point-to-mask evaluation: facts of its table 7 (SAM, appendix D.1), and their sites.

Of sets with more than some 15,000 masks the paper took a part with about 10,000, and tells neither which nor how. Here
such a part is drawn: photographs in the order of the SHA-256 of their keys, until there are 10,000 masks or more.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SA23", "EvaluationSet"]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One of the 23, with the paper's numbers."""

    title: str
    domain: str
    split: str
    images: int
    masks: int
    site: str
    licence: str
    is_drawn: bool = False  # a part of the split

    @property
    def drawn_masks(self) -> int | None:
        """How many masks are enough where a part is drawn."""
        return 10_000 if self.is_drawn else None


_Set = EvaluationSet
SA23: dict[str, EvaluationSet] = {
    "ppdls": _Set(
        "PPDLS",
        "leaves of plants",
        "all",
        182,
        2347,
        "https://www.plant-phenotyping.org/datasets-home",
        "research",
    ),
    "bbbc038": _Set(
        "BBBC038v1", "microscopy", "stage1_train", 227, 10506, "https://bbbc.broadinstitute.org/BBBC038", "CC0", True
    ),
    "doors": _Set("DOORS", "rendered boulders", "DS1", 10000, 10000, "https://zenodo.org/record/7107409", "CC BY 4.0"),
    "timberseg": _Set("TimberSeg", "logs", "all", 220, 2487, "https://data.mendeley.com/datasets/y5npsm3gkj", "CC BY"),
    "ndd20": _Set("NDD20", "dolphins", "all", 4402, 6100, "https://doi.org/10.25405/data.ncl.c.4982342", "CC BY 4.0"),
    "lvis": _Set(
        "LVIS",
        "scenes",
        "val, v0.5",
        945,
        9642,
        "https://www.lvisdataset.org",
        "annotations CC BY 4.0, each photograph its own",
        True,
    ),
    "streets": _Set(
        "STREETS",
        "traffic cameras",
        "all",
        819,
        9854,
        "https://databank.illinois.edu/datasets/IDB-3671567",
        "see the site",
        True,
    ),
    "zerowaste": _Set("ZeroWaste-f", "recycling", "train", 2947, 6155, "http://ai.bu.edu/zerowaste", "CC BY-NC 4.0"),
    "ishape": _Set("iShape", "irregular shapes", "val", 754, 9742, "https://ishape.github.io", "CC0", True),
    "ade20k": _Set(
        "ADE20K",
        "scenes, objects and parts",
        "val",
        302,
        10128,
        "https://ade20k.csail.mit.edu (registration)",
        "non-commercial research",
        True,
    ),
    "ovis": _Set(
        "OVIS", "occluded objects in video", "train", 2044, 10011, "https://songbai.site/ovis", "CC BY-NC-SA", True
    ),
    "hypersim": _Set(
        "Hypersim",
        "synthetic interiors",
        "volumes 1 to 55 without 20, 25, 40, 49",
        338,
        9445,
        "https://github.com/apple/ml-hypersim",
        "CC BY-SA 3.0",
        True,
    ),
    "ndispark": _Set("NDISPark", "parking lots", "train", 111, 2577, "https://zenodo.org/record/6560823", "CC BY 4.0"),
    "visor": _Set(
        "VISOR",
        "hands and objects, egocentric",
        "val",
        1864,
        10141,
        "https://epic-kitchens.github.io/VISOR",
        "CC BY-NC 4.0",
        True,
    ),
    "plittersdorf": _Set(
        "Plittersdorf",
        "wildlife",
        "train, val and test",
        187,
        546,
        "https://timm.haucke.xyz/datasets/plittersdorf",
        "none found",
    ),
    "egohos": _Set(
        "EgoHOS",
        "hands and objects, egocentric",
        "train, Ego4D and THU-READ",
        2940,
        9961,
        "https://github.com/owenzlz/EgoHOS",
        "Ego4D's",
        True,
    ),
    "ibd": _Set(
        "IBD",
        "roofs from drones",
        "train, 2D",
        467,
        11953,
        "https://californiachen.github.io/datasets/InstanceBuilding",
        "on request",
    ),
    "woodscape": _Set(
        "WoodScape", "driving, fisheye", "set 1", 107, 10266, "https://woodscape.valeo.com", "proprietary", True
    ),
    "cityscapes": _Set(
        "Cityscapes",
        "driving, panoptic",
        "val",
        293,
        9973,
        "https://www.cityscapes-dataset.com (registration)",
        "non-commercial",
        True,
    ),
    "pidray": _Set(
        "PIDRay",
        "X-rays of luggage",
        "test, hard",
        3733,
        8892,
        "https://github.com/bywang2018/security-dataset",
        "academic",
    ),
    "dram": _Set(
        "DRAM", "paintings, semantic", "test", 718, 1179, "https://faculty.runi.ac.il/arik/site/artseg", "none found"
    ),
    "trashcan": _Set(
        "TrashCan",
        "underwater vehicles",
        "train, instances",
        5936,
        9540,
        "https://conservancy.umn.edu/handle/11299/214865",
        "academic",
    ),
    "gtea": _Set("GTEA", "hands, egocentric", "train", 652, 1208, "https://cbs.ic.gatech.edu/fpv", "research"),
}
"""By the name of the folder below ``data/`` that prepares it."""
