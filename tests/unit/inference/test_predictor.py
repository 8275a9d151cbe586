from __future__ import annotations

import importlib
import sys
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from torch import nn

from anymask.errors import UserError
from anymask.geometry import Frame, resize_image
from anymask.inference.predictor import Predictor
from anymask.models.sam import Architecture, Sam
from anymask.structures import Prediction

SMALL = Architecture(
    image_size=64, width=32, depth=2, heads=2, global_blocks=(1,), window=2, dim=64, mlp_dim=64, iou_dim=64
)
LOGITS = 16  # side of the low-resolution logits: 64 / 16 * 4


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    sam = Sam(SMALL)
    for parameter in sam.parameters():  # every weight counts: nothing is left at zero
        nn.init.normal_(parameter, std=0.2)
    return sam


def photograph(height: int = 48, width: int = 80, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def predictor(sam: Sam) -> Predictor:
    predictor = Predictor(sam)
    predictor.set_image(photograph())
    return predictor


def assert_equal(one: Prediction, other: Prediction, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.ious, other.ious, rtol=0, atol=tolerance)
    assert (one.masks ^ other.masks).float().mean() < 1e-3


POINTS = np.array([[[10.0, 20.0], [70.0, 40.0]], [[33.0, 1.0], [0.0, 0.0]]])
LABELS = np.array([[1, 0], [1, 1]])
BOXES = np.array([[5.0, 6.0, 50.0, 40.0], [0.0, 0.0, 79.0, 47.0]])
LOGIT_MASKS = np.random.default_rng(1).normal(size=(2, LOGITS, LOGITS)).astype(np.float32)

PROMPTS: dict[str, dict[str, Any]] = {
    "points": {"points": POINTS, "labels": LABELS},
    "box": {"box": BOXES},
    "points and box": {"points": POINTS, "labels": LABELS, "box": BOXES},
    "points and mask": {"points": POINTS, "labels": LABELS, "mask": LOGIT_MASKS},
    "mask": {"mask": LOGIT_MASKS},
}


@pytest.fixture
def official_predictor(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The reference with our weights. It imports torchvision, of which it needs nothing here: a stand-in is enough."""
    if importlib.util.find_spec("torchvision") is None:
        for name in ("", ".transforms", ".transforms.functional", ".ops", ".ops.boxes"):
            monkeypatch.setitem(sys.modules, f"torchvision{name}", ModuleType(f"torchvision{name}"))
        for module, attribute in [
            ("torchvision.transforms.functional", "resize"),
            ("torchvision.transforms.functional", "to_pil_image"),
            ("torchvision.ops.boxes", "batched_nms"),
            ("torchvision.ops.boxes", "box_area"),
        ]:
            setattr(sys.modules[module], attribute, None)
    official = importlib.import_module("segment_anything")
    modeling = importlib.import_module("segment_anything.modeling")
    a = SMALL
    theirs = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=a.image_size,
            embed_dim=a.width,
            depth=a.depth,
            num_heads=a.heads,
            out_chans=a.dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=a.window,
            global_attn_indexes=a.global_blocks,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=a.dim, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_chans=16
        ),
        mask_decoder=modeling.MaskDecoder(
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=a.dim, num_heads=2, mlp_dim=a.mlp_dim),
            transformer_dim=a.dim,
            iou_head_hidden_dim=a.iou_dim,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    theirs.load_state_dict(sam.state_dict())
    return official.SamPredictor(theirs.eval())


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", PROMPTS)
def test_masks_are_those_of_the_official_predictor(
    predictor: Predictor, official_predictor: Any, kind: str, multimask: bool
) -> None:
    frame = Frame.of((48, 80), SMALL.image_size)
    height, width = frame.content
    resized = resize_image(photograph(), frame, by="pillow")[None, :, :height, :width]
    official_predictor.set_torch_image(resized, (48, 80))
    ours = predictor.predict(**PROMPTS[kind], multimask=multimask)
    for row in range(2):
        given = {name: value[row] for name, value in PROMPTS[kind].items()}
        masks, ious, logits = official_predictor.predict(
            point_coords=given.get("points"),
            point_labels=given.get("labels"),
            box=given.get("box"),
            mask_input=given["mask"][None] if "mask" in given else None,
            multimask_output=multimask,
        )
        theirs = Prediction(*(torch.from_numpy(np.ascontiguousarray(x))[None] for x in (masks, ious, logits)))
        of_row = Prediction(ours.masks[row : row + 1], ours.ious[row : row + 1], ours.logits[row : row + 1])
        assert_equal(of_row, theirs)


def test_shapes_of_the_answer(predictor: Predictor) -> None:
    three = predictor.predict(points=POINTS, labels=LABELS)
    assert three.masks.shape == (2, 3, 48, 80)
    assert three.masks.dtype == torch.bool
    assert three.ious.shape == (2, 3)
    assert three.logits.shape == (2, 3, LOGITS, LOGITS)
    assert predictor.predict(points=POINTS, labels=LABELS, multimask=False).masks.shape == (2, 1, 48, 80)


@pytest.mark.parametrize("kind", PROMPTS)
def test_arrays_tensors_lists_and_single_prompts_are_the_same(predictor: Predictor, kind: str) -> None:
    given = PROMPTS[kind]
    expected = predictor.predict(**given)
    tensors: dict[str, Any] = {name: torch.from_numpy(value) for name, value in given.items()}
    assert_equal(predictor.predict(**tensors), expected, 0)
    assert_equal(predictor.predict(**{name: value.tolist() for name, value in given.items()}), expected, 1e-6)
    first = predictor.predict(**{name: value[0] for name, value in given.items()})
    assert first.masks.shape[0] == 1
    torch.testing.assert_close(first.logits[0], expected.logits[0], rtol=0, atol=1e-4)


def test_a_prompt_filled_up_with_empty_places_is_the_same_as_without(predictor: Predictor) -> None:
    short = predictor.predict(points=POINTS[:1, :1], labels=LABELS[:1, :1])
    filled = predictor.predict(points=[[[10, 20], [np.nan, 1e9]]], labels=[[1, -1]])
    assert_equal(filled, short)


def test_several_images_are_the_same_as_one_by_one(sam: Sam) -> None:
    images = [photograph(48, 80, 0), photograph(64, 20, 1), photograph(10, 10, 2)]
    together = Predictor(sam)
    together.set_images(images)
    for number, image in enumerate(images):
        alone = Predictor(sam)
        alone.set_image(image)
        prompt: dict[str, Any] = {"points": [[[4, 5]]], "labels": [[1]]}
        answer = together.predict(**prompt, image_index=number)
        assert answer.masks.shape[2:] == image.shape[:2]
        assert_equal(answer, alone.predict(**prompt))


def test_a_new_image_replaces_the_old_one(predictor: Predictor) -> None:
    before = predictor.predict(box=BOXES)
    predictor.set_image(photograph(48, 80, seed=9))
    assert not torch.equal(predictor.predict(box=BOXES).logits, before.logits)
    predictor.set_image(photograph())
    assert_equal(predictor.predict(box=BOXES), before, 0)


def test_logits_can_be_given_back_as_a_mask(predictor: Predictor) -> None:
    first = predictor.predict(points=POINTS, labels=LABELS)
    again = predictor.predict(points=POINTS, labels=LABELS, mask=first.logits[:, 0], multimask=False)
    assert again.masks.shape == (2, 1, 48, 80)
    plain = predictor.predict(points=POINTS, labels=LABELS, multimask=False)
    assert not torch.allclose(again.logits, plain.logits)


def test_the_model_is_put_into_evaluation_and_no_gradient_is_kept(sam: Sam) -> None:
    predictor = Predictor(sam.train())
    predictor.set_image(photograph())
    assert not sam.training
    assert not predictor.predict(box=BOXES).logits.requires_grad


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("photo.jpg", "not str"),
        (None, "not NoneType"),
        (torch.zeros(3, 8, 8), "not Tensor"),
        (np.zeros((8, 8, 3)), "not float64"),
        (np.zeros((8, 8), dtype=np.uint8), r"\(8, 8\)"),
        (np.zeros((8, 8, 4), dtype=np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"\(3, 8, 8\)"),
        (np.zeros((0, 8, 3), dtype=np.uint8), r"\(0, 8, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(sam: Sam, image: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Predictor(sam).set_image(image)


def nan(values: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    changed = values.copy()
    changed.flat[0] = np.nan
    return changed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no prompt"),
        ({"points": POINTS}, "points are given without labels"),
        ({"labels": LABELS}, "labels are given without points"),
        ({"points": POINTS, "labels": LABELS[:1]}, r"\(2, 2, 2\) and \(1, 2\)"),
        ({"points": POINTS[..., :1], "labels": LABELS}, r"\(2, 2, 1\)"),
        ({"points": POINTS[:, :0], "labels": LABELS[:, :0]}, r"\(2, 0, 2\)"),
        ({"points": POINTS[:0], "labels": LABELS[:0]}, "N of 1 or more"),
        ({"points": "here", "labels": LABELS}, "points must be numbers"),
        ({"points": POINTS, "labels": LABELS + 1}, "not 2"),
        ({"points": POINTS, "labels": LABELS * 0.5}, r"not 0\.5"),
        ({"points": POINTS, "labels": LABELS * 0 - 1}, "prompt 0 has no point"),
        ({"points": nan(POINTS), "labels": LABELS}, r"\(nan, 20\)"),
        ({"points": POINTS + np.array([11, 0]), "labels": LABELS}, r"\(81, 40\) lies outside the image of 80 x 48"),
        ({"points": POINTS - np.array([0, 1]), "labels": LABELS}, r"\(0, -1\) lies outside"),
        ({"box": BOXES[:, :3]}, r"box must be \(N, 4\), this one is \(2, 3\)"),
        ({"box": BOXES + 2}, r"\(81, 49\) lies outside"),
        ({"box": nan(BOXES)}, r"\(nan, 6\)"),
        ({"box": BOXES[:, [2, 1, 0, 3]]}, "50, 6, 5, 40"),
        ({"mask": LOGIT_MASKS[:, :8]}, r"\(N, 16, 16\)"),
        ({"mask": nan(LOGIT_MASKS)}, "not finite"),
        ({"points": POINTS, "labels": LABELS, "box": BOXES[:1]}, "2 points, 1 box"),
        ({"box": BOXES, "mask": LOGIT_MASKS[:1]}, "2 box, 1 mask"),
        ({"box": BOXES, "image_index": 1}, "image_index is 1"),
        ({"box": BOXES, "image_index": -1}, "image_index is -1"),
    ],
)
def test_what_is_no_prompt_is_refused_by_name(predictor: Predictor, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        predictor.predict(**given)


def test_points_on_the_very_edge_are_inside(predictor: Predictor) -> None:
    edges = [[[-0.5, -0.5], [79.5, 47.5], [80.0, 48.0]]]
    assert torch.isfinite(predictor.predict(points=edges, labels=[[1, 1, 0]]).logits).all()


def test_an_image_comes_before_a_prompt(sam: Sam) -> None:
    with pytest.raises(UserError, match="set_image"):
        Predictor(sam).predict(box=BOXES)
    with pytest.raises(UserError, match="empty"):
        Predictor(sam).set_images([])
