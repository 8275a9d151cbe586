"""Draw the embedded sample: scenes of nested objects as SA-1B shards, for a first training run without any download.

    python data/sample/make.py --out data/sample/shards

Made for ambiguity: an object has parts and a part has sub-parts, all of one family of colours, each with a texture of
its own, so that a click on a sub-part has three right answers. Objects hide one another, some are thin, the light
falls off to one side, and noise lies over all. The same seed draws the same scenes.
"""

from __future__ import annotations

import argparse
import colorsys
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Bool, Float, Int

from anymask.data.shards import ShardWriter
from anymask.masks import encode, rle_to_json
from anymask.structures import Source

SIDE = 256
SEED = 2023
SPLITS = {"train": 1500, "held_out": 40}
SOURCE_SHARES: dict[Source, float] = {"manual": 0.1, "semi_automatic": 0.2, "automatic": 0.7}
LEAST_PIXELS = 300  # what is left of a region that others hide is no mask below this

Canvas = Float[np.ndarray, "h w 3"]
Region = Bool[np.ndarray, "h w"]
Colours = list[Float[np.ndarray, "3"]]
Texture = Callable[[Int[np.ndarray, " n"], Int[np.ndarray, " n"]], Float[np.ndarray, "n 3"]]


@dataclass
class Scene:
    """The photograph so far and its regions, each with the number of the object that it belongs to."""

    canvas: Canvas
    regions: list[Region]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets train/ and held_out/")
    parser.add_argument("--train", type=int, default=SPLITS["train"], help="scenes to train on")
    parser.add_argument("--held-out", type=int, default=SPLITS["held_out"], help="scenes to measure on")
    arguments = parser.parse_args()
    for split, number in (("train", arguments.train), ("held_out", arguments.held_out)):
        masks = write_split(arguments.out / split, split, number)
        print(f"{split}: {number} scenes, {masks} masks in {arguments.out / split}")


def write_split(folder: Path, split: str, number: int) -> int:
    """Draw and pack ``number`` scenes; returns how many masks they have."""
    masks = 0
    with ShardWriter(folder, samples_per_shard=100) as writer:
        for index in range(number):
            chance = np.random.default_rng([SEED, list(SPLITS).index(split), index])
            scene = draw_scene(chance)
            source: Source = chance.choice(list(SOURCE_SHARES), p=list(SOURCE_SHARES.values())).item()
            annotation = annotate(scene, f"sa_{index}", source)
            photograph = simplejpeg.encode_jpeg(to_bytes(scene.canvas), quality=90, colorspace="RGB")
            files = {"jpg": photograph, "json": json.dumps(annotation).encode()}
            writer.write(f"sa_{index}", files, source=source)
            masks += len(annotation["annotations"])
    return masks


def draw_scene(chance: np.random.Generator) -> Scene:
    """A background, two or three objects from back to front, now and then a thin one, light and noise."""
    scene = Scene(np.zeros((SIDE, SIDE, 3)), [])
    everywhere = np.nonzero(np.ones((SIDE, SIDE), bool))
    background, *colours = palette(chance)  # shared, so that colour alone does not tell regions apart
    scene.canvas[everywhere] = texture(chance, background)(*everywhere)
    for _ in range(chance.integers(2, 4)):
        draw_object(scene, chance, colours)
    if chance.uniform() < 0.5:
        draw_thin(scene, chance, colours)
    scene.canvas *= light(chance)[:, :, None]
    scene.canvas += grain(chance)
    return scene


def draw_object(scene: Scene, chance: np.random.Generator, colours: Colours) -> None:
    """A whole with two or three parts, some of which have sub-parts; neighbours differ in colour."""
    whole_colour, *others = chance.permutation(colours)
    radius = chance.uniform(60, 95)
    centre = chance.uniform(0.7 * radius, SIDE - 0.7 * radius, 2)
    whole = shape(chance, centre, radius)
    add(scene, whole, texture(chance, whole_colour), [])
    for angle in chance.uniform(0, 2 * np.pi) + np.arange(chance.integers(2, 4)) * 2.2:
        part_colour, *rest = chance.permutation(others)
        place = centre + 0.5 * radius * np.array([np.cos(angle), np.sin(angle)])
        part_radius = radius * chance.uniform(0.45, 0.55)
        part = shape(chance, place, part_radius) & whole
        add(scene, part, texture(chance, part_colour), [whole])
        if chance.uniform() < 0.75:
            middle = place + chance.normal(0, 0.1 * part_radius, 2)
            inner = shape(chance, middle, 0.55 * part_radius) & part
            add(scene, inner, texture(chance, rest[0]), [whole, part])


def draw_thin(scene: Scene, chance: np.random.Generator, colours: Colours) -> None:
    """A bent line of a few pixels, or a ring."""
    stroke = np.zeros((SIDE, SIDE), np.uint8)
    width = int(chance.integers(5, 9))
    if chance.uniform() < 0.5:
        points = np.cumsum(chance.uniform(-60, 60, (4, 2)), axis=0) + chance.uniform(60, SIDE - 60, 2)
        cv2.polylines(stroke, [points.astype(np.int32)], False, 1, width)
    else:
        x, y = (int(v) for v in chance.integers(50, SIDE - 50, 2))
        cv2.circle(stroke, (x, y), int(chance.integers(20, 45)), 1, width)
    add(scene, stroke > 0, texture(chance, chance.permutation(colours)[0]), [])


def add(scene: Scene, region: Region, paint: Texture, ancestors: list[Region]) -> None:
    """Put a region in front of everything; it hides what lies behind, but not the wholes that it is a part of."""
    scene.canvas[region] = paint(*np.nonzero(region))
    for other in scene.regions:
        if not any(other is ancestor for ancestor in ancestors):
            other &= ~region
    scene.regions.append(region)


def shape(chance: np.random.Generator, centre: Float[np.ndarray, 2], radius: float) -> Region:
    """An ellipse, a rounded box, a polygon or a blob, turned at random."""
    kind = chance.choice(["ellipse", "box", "polygon", "blob"])
    if kind == "polygon":
        angles = np.sort(chance.uniform(0, 2 * np.pi, chance.integers(5, 8)) + np.arange(0, 0.01, 0.01))
        distances = radius * chance.uniform(0.75, 1.1, len(angles))
    else:
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        distances = radius * outline(kind, angles, chance)
    turned = angles + chance.uniform(0, 2 * np.pi)
    points = centre + distances[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=1)
    return fill(points.round().astype(np.int32))


def outline(kind: str, angles: Float[np.ndarray, " n"], chance: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Distance from the centre by angle, about 1."""
    if kind == "blob":
        waves = [chance.uniform(0, 0.3 / k) * np.cos(k * angles + chance.uniform(0, 2 * np.pi)) for k in range(2, 6)]
        return np.asarray(0.9 + sum(waves))
    stretch, power = chance.uniform(0.6, 1.0), 2.0 if kind == "ellipse" else 8.0
    return np.asarray((np.abs(np.cos(angles)) ** power + np.abs(np.sin(angles) / stretch) ** power) ** (-1 / power))


def fill(points: Int[np.ndarray, "n 2"]) -> Region:
    filled = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(filled, [points], 1)
    return filled > 0


def palette(chance: np.random.Generator) -> Float[np.ndarray, "5 3"]:
    """Colours of a scene, the background's first; five hues apart from each other."""
    hues = chance.uniform() + np.arange(5) / 5 + chance.uniform(-0.03, 0.03, 5)
    return np.array([colorsys.hsv_to_rgb(hue % 1, chance.uniform(0.35, 0.8), chance.uniform(0.4, 0.9)) for hue in hues])


def texture(chance: np.random.Generator, colour: Float[np.ndarray, 3]) -> Texture:
    """A colour in stripes, checks, clouds or plain; to be painted over any rows and columns."""
    kind = chance.choice(["stripes", "checks", "clouds", "plain"])
    angle, frequency = chance.uniform(0, np.pi), chance.uniform(6, 20)
    coarse = cv2.resize(chance.normal(0, 1, (12, 12)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    contrast = chance.uniform(0.05, 0.15)

    def paint(rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        phase = 2 * np.pi * frequency / SIDE
        wave = np.sin(phase * (np.cos(angle) * columns + np.sin(angle) * rows))
        cross = np.sin(phase * (np.cos(angle) * rows - np.sin(angle) * columns))
        patterns = {
            "stripes": wave,
            "checks": np.sign(wave * cross),
            "clouds": coarse[rows, columns],
            "plain": 0 * wave,
        }
        return np.asarray(colour + contrast * patterns[kind][:, None])

    return paint


def grain(chance: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Coarse and fine noise, strong enough that a pixel's colour says little of its region."""
    coarse = chance.normal(0, 1, (SIDE // 3 + 1, SIDE // 3 + 1, 3)).astype(np.float32)
    spread = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return chance.uniform(0.08, 0.14) * spread + chance.normal(0, 0.04, spread.shape)


def light(chance: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Brighter to one side."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle = chance.uniform(0, 2 * np.pi)
    return 1 + chance.uniform(0, 0.5) * (np.cos(angle) * x + np.sin(angle) * y)


def to_bytes(canvas: Canvas) -> Any:
    return np.ascontiguousarray((canvas.clip(0, 1) * 255).round().astype(np.uint8))


def annotate(scene: Scene, name: str, source: Source) -> dict[str, Any]:
    """SA-1B's annotation of the regions that are still to be seen."""
    image = {"image_id": name, "width": SIDE, "height": SIDE, "file_name": f"{name}.jpg"}
    seen = [region for region in scene.regions if region.sum() >= LEAST_PIXELS]
    return {"image": image, "source": source, "annotations": [annotation(i, region) for i, region in enumerate(seen)]}


def annotation(index: int, region: Region) -> dict[str, Any]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "id": index,
        "segmentation": rle_to_json(encode(region)),
        "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
        "area": int(region.sum()),
        "predicted_iou": 1.0,
        "stability_score": 1.0,
        "crop_box": [0, 0, SIDE, SIDE],
        "point_coords": [],
    }


if __name__ == "__main__":
    main()
