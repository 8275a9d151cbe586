"""The report as a reader sees it: in a real browser, on a desktop and on a phone, without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import anymask

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--virtual-time-budget=5000",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

PROBE = """<!doctype html>
<body><iframe id="page" src="{url}" width="{width}" height="900"></iframe><pre id="told"></pre>
<script>
window.addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  const all = [...page.querySelectorAll("img")];
  document.getElementById("told").textContent = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth,
    images: all.length,
    drawn: all.filter(image => image.complete && image.naturalWidth > 0).length,
    curves: page.querySelectorAll("svg polyline, svg path").length,
    text: page.body.innerText,
    bars: page.querySelectorAll("svg[role=img] rect.full, svg[role=img] rect.hollow").length,
    rows: page.querySelectorAll("tbody tr").length,
    links: [...page.querySelectorAll("tbody a")].map(link => decodeURI(new URL(link.href).pathname)),
    faint: {{
      rows: page.querySelectorAll("tr.absent").length,
      colour: page.querySelector("tr.absent td") && getComputedStyle(page.querySelector("tr.absent td")).color,
    }},
    ink: getComputedStyle(page.body).color,
    background: getComputedStyle(page.body).backgroundColor,
  }});
}});
</script>"""


def seen(page: Path, width: int, folder: Path, *flags: str) -> dict[str, Any]:
    """What a browser shows of a page, in a frame of so many pixels."""
    (folder / "probe.html").write_text(PROBE.format(url=page.as_uri(), width=width))
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    dom = subprocess.run([*command, (folder / "probe.html").as_uri()], capture_output=True, text=True, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', dom.stdout, re.DOTALL)
    assert found, dom.stderr
    told: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return told


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_of_one_task_shows_and_fits(
    run: Callable[..., str], tiny_shards: Path, tmp_path: Path, width: int
) -> None:
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    run("evaluate", "checkpoint=random.pth", f"data={tiny_shards}", "out=report", "limit=3", "workers=0")
    told = seen(tmp_path / "report" / "report.html", width, tmp_path)
    assert told["overflow"] <= 0
    assert told["images"] == told["drawn"] > 0
    assert told["curves"] > 0
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert f"{100 * results['metrics']['miou@1']:.1f}" in told["text"]
    assert "learned nothing" in told["text"]  # the weights are random


def test_the_suite_and_a_comparison_show_and_fit_on_a_desktop_and_on_a_phone(
    run: Callable[..., str], world: list[str], tmp_path: Path
) -> None:
    run("evaluate", *world, "out=suite")
    run("evaluate", "compare=[suite,suite/edges]", "out=suite")
    for width in (390, 1280):
        suite = seen(tmp_path / "suite" / "report.html", width, tmp_path)
        assert suite["overflow"] <= 0
        assert suite["images"] == suite["drawn"] >= 8
        for words in ("Summary", "Point-to-mask on", "Edges on", "Object proposals on", "Instance segmentation on"):
            assert words in suite["text"]
        comparison = seen(tmp_path / "suite" / "compare.html", width, tmp_path)
        assert comparison["overflow"] <= 0
        assert comparison["curves"] >= 4


def test_the_overview_of_several_sets_shows_and_fits_and_leads_to_each(
    run: Callable[..., str], write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("lvis", "gtea", "plittersdorf"):
        write_shards(["manual"] * 2, name=f"sets/{name}/shards")
    (tmp_path / "sets" / "gtea" / "shards" / "manifest.json").write_text("{}")
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    own = ["data=sa23", "root=sets", "out=out", "workers=0", "point_to_mask.clicks=9", "point_to_mask.floors=[disc]"]
    run("evaluate", "checkpoint=random.pth", *own, status=1)
    overview = json.loads((tmp_path / "out" / "results.json").read_text())
    for width in (390, 1280):
        told = seen(tmp_path / "out" / "report.html", width, tmp_path)
        assert told["overflow"] <= 0
        assert told["bars"] == 2 * 2  # of the model and of the best floor, of two sets
        assert told["rows"] >= 24
        assert told["faint"]["rows"] == 21
        assert told["faint"]["colour"] != told["ink"]
        assert [Path(link).relative_to(tmp_path / "out").as_posix() for link in told["links"]] == [
            "lvis/report.html",
            "plittersdorf/report.html",
        ]
        assert all(Path(link).is_file() for link in told["links"])
        assert f"{100 * overview['metrics']['miou@1']:.1f}" in told["text"]
        for words in ("Mean of the 2 sets at hand", "LVIS \N{DAGGER}", "+18.5", "could not be measured", "prepare.py"):
            assert words in told["text"].replace("&nbsp;", " ")


def test_who_likes_it_dark_gets_it_dark(run: Callable[..., str], tiny_shards: Path, tmp_path: Path) -> None:
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    run("evaluate", "checkpoint=random.pth", f"data={tiny_shards}", "out=report", "limit=1", "workers=0")
    page = tmp_path / "report" / "report.html"
    backgrounds = [
        seen(page, 1280, tmp_path, f"--blink-settings=preferredColorScheme={scheme}")["background"]
        for scheme in (1, 0)  # light, dark
    ]
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in backgrounds)
    assert light > 700
    assert dark < 100
