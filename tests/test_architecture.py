"""The arrows of the architecture, checked: a module imports only from the layers below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src/anymask"

LAYERS = [
    "errors",
    "atomic",
    "ranks",
    "structures",
    "masks",
    "geometry",
    "drawing",
    "models",
    "draws",
    "regions",
    "losses",
    "matching",
    "prompts",
    "rounds",
    "data",
    "inference",
    "metrics",
    "training",
    "planning",
    "evaluation",
    "shard_command",
    "launching",
    "settings",
    "assembly",
    "run_folder",
    "suite",
    "evaluating",
    "configuration",
    "cli",
]
STRANGERS = {("evaluation", "training")}  # a layer that may not import another although that lies below
NOT_IN_MODELS = {"lightning", "webdataset", "wandb"}
ONLY_IN = {"hydra": ["cli"], "omegaconf": ["configuration", "cli"]}
NOWHERE = {"torchvision"}  # its wheels do not match every build of torch
DRAWERS = {"utils", "util", "helpers", "common", "misc"}  # names that say nothing


def wrongs(path: Path, source: str) -> Iterator[str]:
    """What is against the rules in a module at ``path`` (below the package)."""
    layer = path.parts[0].removesuffix(".py")
    if path.stem in DRAWERS:
        yield f"the name {path.stem} says nothing"
    if layer not in [*LAYERS, "__init__"]:
        yield f"{layer} is in no layer"
        return
    for name in imported(source):
        yield from _wrong_import(layer, name)


def imported(source: str) -> Iterator[str]:
    """The modules that are imported, at the top or within functions; relative ones begin with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "anymask":
            yield from (f"anymask.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _wrong_import(layer: str, name: str) -> Iterator[str]:
    top, _, below = name.partition(".")
    if not top:
        yield f"imports {name} by a relative path"
    if top in NOWHERE or layer not in ONLY_IN.get(top, [layer]) or (top in NOT_IN_MODELS and layer == "models"):
        yield f"imports {name}"
    if top != "anymask" or layer == "__init__":
        return
    other = below.partition(".")[0]
    if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer) or (layer, other) in STRANGERS:
        yield f"imports {name}, which does not lie below {layer}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_keeps_to_the_architecture(path: Path) -> None:
    assert list(wrongs(path.relative_to(PACKAGE), path.read_text())) == []


@pytest.mark.parametrize("folder", ["src", "data", "eval", "tests"])
def test_no_file_is_a_drawer(folder: str) -> None:
    assert [path for path in (ROOT / folder).rglob("*.py") if path.stem in DRAWERS] == []


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("losses.py", "from anymask.training.optim import Optimisation", "does not lie below losses"),
        ("losses.py", "def f():\n    import anymask.rounds", "does not lie below losses"),
        ("evaluation/task.py", "from anymask.training import run", "does not lie below evaluation"),
        ("training/run.py", "from anymask.evaluation import report", "does not lie below training"),
        ("losses.py", "from anymask import errors, training", "imports anymask.training, which does not lie below"),
        ("losses.py", "from anymask import load", "imports anymask.load, which does not lie below"),
        ("losses.py", "import anymask", "imports anymask, which does not lie below"),
        ("training/run.py", "from .optim import Optimisation", "imports .optim by a relative path"),
        ("training/run.py", "from omegaconf import DictConfig", "imports omegaconf"),
        ("configuration.py", "import hydra", "imports hydra"),
        ("models/vit.py", "import lightning as L", "imports lightning"),
        ("cli.py", "from torchvision.ops import nms", "imports torchvision.ops"),
        ("helpers.py", "", "the name helpers says nothing"),
        ("data/utils.py", "", "the name utils says nothing"),
        ("new.py", "", "new is in no layer"),
    ],
)
def test_a_wrong_import_would_be_noticed(path: str, source: str, wrong: str) -> None:
    found = list(wrongs(Path(path), source))
    assert any(wrong in sentence for sentence in found), found


def test_what_is_allowed_is_not_complained_about() -> None:
    source = (
        "import torch, hydra\nfrom anymask.training.optim import Optimisation\nfrom anymask.errors import UserError"
    )
    assert list(wrongs(Path("cli.py"), source)) == []
