from __future__ import annotations

from pathlib import Path

from anymask import assembly
from anymask.settings import Draw


def _draw(tmp_path: Path, source: str = "") -> Draw:
    program = tmp_path / "draw.py"
    program.write_text(f"import sys, pathlib\npathlib.Path(sys.argv[2], 'train').mkdir(parents=True)\n{source}")
    return Draw(program=str(program), folder=str(tmp_path / "sample" / "shards"))


def test_a_sample_is_drawn_only_where_it_is_asked_for(tmp_path: Path) -> None:
    draw = _draw(tmp_path)
    assembly._draw_where_absent(draw, [f"{tmp_path}/mine/held_out", f"{tmp_path}/mine/train"])
    assert [path.name for path in tmp_path.iterdir()] == ["draw.py"]
    assembly._draw_where_absent(draw, [f"{tmp_path}/mine/held_out", f"{draw.folder}/train"])
    assert [path.name for path in (tmp_path / "sample").rglob("*")] == ["shards", "train"]


def test_two_runs_may_draw_the_sample_at_once(tmp_path: Path) -> None:
    other = tmp_path / "sample" / "shards" / "of_the_other"
    draw = _draw(tmp_path, f"pathlib.Path({str(other)!r}).mkdir(parents=True)")
    assembly._draw_where_absent(draw, [f"{draw.folder}/train"])
    assert [path.name for path in (tmp_path / "sample").rglob("*")] == ["shards", "of_the_other"]
