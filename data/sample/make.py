"""Draw the embedded sample: scenes of nested objects as SA-1B shards, for a first training run without any download.

    python data/sample/make.py --out data/sample/shards

Made for ambiguity: a whole has a part and the part has one or two sub-parts, so that a click on a sub-part has three
right answers. Made to be learned in minutes: every region is a mosaic of its object's hue in three tones, and the tone
that most tiles have says whether it is a whole, a part or a sub-part; the background is a mosaic of all hues. The same
colours are everywhere, so that the colour of a pixel says little, to a flood fill or to GrabCut. Objects keep apart
where there is room, but hide one another now and then; some are thin, the light falls off to one side, and noise lies
over all. The same seed draws the same scenes.
"""

from __future__ import annotations

import argparse
import colorsys
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Bool, Float, Int

from anymask.data.packing import annotation
from anymask.data.shard_writer import ShardWriter
from anymask.errors import UserError
from anymask.masks import encode
from anymask.structures import Source

SIDE = 256
SEED = 2024
SPLITS = {"train": 1500, "held_out": 40}
SOURCE_SHARES: dict[Source, float] = {"manual": 0.1, "semi_automatic": 0.2, "automatic": 0.7}
LEAST_PIXELS = 300  # what is left of a region that others hide is no mask below this

Canvas = Float[np.ndarray, "h w 3"]
Region = Bool[np.ndarray, "h w"]
Colours = Float[np.ndarray, "k 3"]


Level = Literal["whole", "part", "sub_part"]
TONES = ((0.8, 0.35), (0.75, 0.65), (0.35, 0.95))  # saturation and value: dark, middle, light
SHARES: dict[Level, tuple[float, float, float]] = {  # of the tones among a region's tiles
    "whole": (0.65, 0.2, 0.15),
    "part": (0.2, 0.65, 0.15),
    "sub_part": (0.15, 0.2, 0.65),
}
BACKGROUND_SHARES = (0.45, 0.4, 0.15)


@dataclass
class Scene:
    """The photograph so far and its regions."""

    canvas: Canvas
    regions: list[Region]


def main() -> None:
    """Draw both splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets train/ and held_out/")
    parser.add_argument("--train", type=int, default=SPLITS["train"], help="scenes to train on")
    parser.add_argument("--held-out", type=int, default=SPLITS["held_out"], help="scenes to measure on")
    arguments = parser.parse_args()
    for split, number in (("train", arguments.train), ("held_out", arguments.held_out)):
        try:
            masks = write_split(arguments.out / split, split, number)
        except UserError as error:
            parser.exit(2, f"{error}\n")
        print(f"{split}: {number} scenes, {masks} masks in {arguments.out / split}")


def write_split(folder: Path, split: str, number: int) -> int:
    """Draw and pack ``number`` scenes; returns how many masks they have."""
    masks = 0
    with ShardWriter(folder, samples_per_shard=100) as writer:
        for index in range(number):
            chance = np.random.default_rng([SEED, list(SPLITS).index(split), index])
            scene = draw_scene(chance)
            source: Source = chance.choice(list(SOURCE_SHARES), p=list(SOURCE_SHARES.values())).item()
            record = annotate(scene, f"sa_{index}", source)
            photograph = simplejpeg.encode_jpeg(to_bytes(scene.canvas), quality=90, colorspace="RGB")
            files = {"jpg": photograph, "json": json.dumps(record).encode()}
            writer.write(f"sa_{index}", files, source=source)
            masks += len(record["annotations"])
    return masks


def draw_scene(chance: np.random.Generator) -> Scene:
    """A background, two or three objects from back to front, now and then a thin one, light and noise."""
    number = int(chance.integers(2, 4))
    hues = chance.uniform() + np.arange(4) / 4 + chance.uniform(-0.03, 0.03, 4)
    every_hue = np.concatenate([tones(chance, hue) for hue in hues])
    scene = Scene(mosaic(chance, every_hue, np.tile(BACKGROUND_SHARES, len(hues)) / len(hues)), [])
    radius = 78 if number == 2 else 66
    for centre, hue in zip(places(chance, number, radius), hues[1:], strict=False):
        draw_object(scene, chance, centre, radius * chance.uniform(0.85, 1.15), hue)
    if chance.uniform() < 0.3:
        draw_thin(scene, chance, hues[0])
    scene.canvas *= light(chance)[:, :, None]
    scene.canvas += grain(chance)
    return scene


def places(chance: np.random.Generator, number: int, radius: float) -> Float[np.ndarray, "n 2"]:
    """Centres of objects: of some draws the one in which they are farthest apart."""
    draws = chance.uniform(0.75 * radius, SIDE - 0.75 * radius, (20, number, 2))
    distances = np.linalg.norm(draws[:, :, None] - draws[:, None], axis=-1) + 2 * SIDE * np.eye(number)
    return np.asarray(draws[distances.min(axis=(1, 2)).argmax()])


def draw_object(
    scene: Scene, chance: np.random.Generator, centre: Float[np.ndarray, 2], radius: float, hue: float
) -> None:
    """A whole with a part to one side and in that one or two sub-parts."""
    whole = shape(chance, centre, radius, 0.7)
    add(scene, whole, surface(chance, hue, "whole"), [])
    place = centre + chance.uniform(0.5, 0.65) * radius * direction(chance.uniform(0, 2 * np.pi))
    part_radius = radius * chance.uniform(0.62, 0.7)
    part = shape(chance, place, part_radius, 0.7) & whole
    add(scene, part, surface(chance, hue, "part"), [whole])
    for angle in chance.uniform(0, 2 * np.pi) + np.arange(chance.integers(1, 3)) * np.pi:
        middle = place + chance.uniform(0.4, 0.55) * part_radius * direction(angle)
        sub_part = shape(chance, middle, 0.48 * part_radius, 0.6) & part
        add(scene, sub_part, surface(chance, hue, "sub_part"), [whole, part])


def draw_thin(scene: Scene, chance: np.random.Generator, hue: float) -> None:
    """A bent line of a few pixels, or a ring."""
    stroke = np.zeros((SIDE, SIDE), np.uint8)
    width = int(chance.integers(5, 9))
    if chance.uniform() < 0.5:
        points = np.cumsum(chance.uniform(-60, 60, (4, 2)), axis=0) + chance.uniform(60, SIDE - 60, 2)
        cv2.polylines(stroke, [points.astype(np.int32)], False, 1, width)
    else:
        x, y = (int(v) for v in chance.integers(50, SIDE - 50, 2))
        cv2.circle(stroke, (x, y), int(chance.integers(20, 45)), 1, width)
    add(scene, stroke > 0, surface(chance, hue, "whole"), [])


def add(scene: Scene, region: Region, surface: Canvas, ancestors: list[Region]) -> None:
    """Put a region in front of everything; it hides what lies behind, but not the wholes that it is a part of."""
    scene.canvas[region] = surface[region]
    for other in scene.regions:
        if not any(other is ancestor for ancestor in ancestors):
            other &= ~region
    scene.regions.append(region)


def direction(angle: float | Float[np.ndarray, " n"]) -> Float[np.ndarray, "2 ..."]:
    """The unit vector, or vectors, at an angle."""
    return np.array([np.cos(angle), np.sin(angle)])


def shape(chance: np.random.Generator, centre: Float[np.ndarray, 2], radius: float, narrowest: float) -> Region:
    """An ellipse, a rounded box, a polygon or a blob, turned at random."""
    kind = chance.choice(["ellipse", "box", "polygon", "blob"])
    if kind == "polygon":
        corners = int(chance.integers(4, 8))
        angles = (np.arange(corners) + chance.uniform(-0.25, 0.25, corners)) * 2 * np.pi / corners
        distances = radius * chance.uniform(0.8, 1.15, corners)
    else:
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        distances = radius * outline(kind, angles, chance, chance.uniform(narrowest, 1.0))
    turned = angles + chance.uniform(0, 2 * np.pi)
    points = centre + distances[:, None] * direction(turned).T
    return fill(points.round().astype(np.int32))


def outline(
    kind: str, angles: Float[np.ndarray, " n"], chance: np.random.Generator, stretch: float
) -> Float[np.ndarray, " n"]:
    """Distance from the centre by angle, about 1."""
    if kind == "blob":
        waves = [chance.uniform(0, 0.3 / k) * np.cos(k * angles + chance.uniform(0, 2 * np.pi)) for k in range(2, 6)]
        return np.asarray(0.9 + sum(waves))
    power = 2.0 if kind == "ellipse" else 8.0
    return np.asarray((np.abs(np.cos(angles)) ** power + np.abs(np.sin(angles) / stretch) ** power) ** (-1 / power))


def fill(points: Int[np.ndarray, "n 2"]) -> Region:
    """The inside of a polygon of (x, y)."""
    filled = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(filled, [points], 1)
    return filled > 0


def surface(chance: np.random.Generator, hue: float, level: Level) -> Canvas:
    """What a region of an object of this hue is painted with, as large as the scene."""
    return mosaic(chance, tones(chance, hue), SHARES[level])


def tones(chance: np.random.Generator, hue: float) -> Colours:
    """A hue in the three tones, a little different each time."""
    drawn = np.array(TONES) + chance.uniform(-0.05, 0.05, (len(TONES), 2))
    return np.array([colorsys.hsv_to_rgb(hue % 1, saturation, value) for saturation, value in drawn])


def mosaic(chance: np.random.Generator, colours: Colours, shares: Sequence[float] | Float[np.ndarray, " k"]) -> Canvas:
    """Square tiles of three or four pixels, each in one of the colours."""
    tile = int(chance.integers(3, 5))
    tiles = chance.choice(len(colours), (SIDE // tile + 2,) * 2, p=shares)
    y, x = chance.integers(0, tile, 2)
    return np.asarray(colours[tiles.repeat(tile, axis=0).repeat(tile, axis=1)[y : y + SIDE, x : x + SIDE]])


def grain(chance: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Coarse and fine noise."""
    coarse = chance.normal(0, 1, (SIDE // 3 + 1, SIDE // 3 + 1, 3)).astype(np.float32)
    spread = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(chance.uniform(0.08, 0.14) * spread + chance.normal(0, 0.04, spread.shape))


def light(chance: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Brighter to one side."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle = chance.uniform(0, 2 * np.pi)
    return np.asarray(1 + chance.uniform(0, 0.5) * (np.cos(angle) * x + np.sin(angle) * y))


def to_bytes(canvas: Canvas) -> Any:
    """RGB of type uint8."""
    return np.ascontiguousarray((canvas.clip(0, 1) * 255).round().astype(np.uint8))


def annotate(scene: Scene, name: str, source: Source) -> dict[str, Any]:
    """SA-1B's annotation of the regions that are still to be seen."""
    image = {"image_id": name, "width": SIDE, "height": SIDE, "file_name": f"{name}.jpg"}
    seen = [region for region in scene.regions if region.sum() >= LEAST_PIXELS]
    annotations = [annotation(index, encode(region)) for index, region in enumerate(seen)]
    return {"image": image, "source": source, "annotations": annotations}


if __name__ == "__main__":
    main()
