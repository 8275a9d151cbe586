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
  }});
}});
</script>"""


@pytest.fixture
def report(run: Callable[..., str], tmp_path: Path, tiny_shards: Path) -> Path:
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    run("evaluate", "checkpoint=random.pth", f"data={tiny_shards}", "out=report", "limit=3", "workers=0")
    return tmp_path / "report" / "report.html"


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_shows_and_fits(report: Path, tmp_path: Path, width: int) -> None:
    (tmp_path / "probe.html").write_text(PROBE.format(url=report.as_uri(), width=width))
    assert CHROMIUM is not None
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    page = (tmp_path / "probe.html").as_uri()
    dom = subprocess.run([CHROMIUM, *FLAGS, profile, "--dump-dom", page], capture_output=True, text=True, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', dom.stdout, re.DOTALL)
    assert found, dom.stderr
    seen: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["overflow"] <= 0
    assert seen["images"] == seen["drawn"] > 0
    assert seen["curves"] > 0
    results = json.loads((report.parent / "results.json").read_text())
    assert f"{100 * results['metrics']['miou@1']:.1f}" in seen["text"]
    assert "learned nothing" in seen["text"]  # the weights are random
