from __future__ import annotations

from pathlib import Path

from anymask.training.csv_log import CsvLog


def test_it_grows_and_forgets_what_came_after_a_checkpoint(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    for step in (1, 2, 3):
        log.log_metrics({"loss": 1 / step}, step=step)
    CsvLog(tmp_path).drop_after(2)  # another process goes on
    CsvLog(tmp_path).log_metrics({"loss": 0.25}, step=3)
    assert (tmp_path / "metrics.csv").read_text() == "step,name,value\n1,loss,1.0\n2,loss,0.5\n3,loss,0.25\n"


def test_a_line_that_was_cut_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,name,value\n1,loss,1.0\n2,lo")
    CsvLog(tmp_path).drop_after(5)
    assert (tmp_path / "metrics.csv").read_text() == "step,name,value\n1,loss,1.0\n"


def test_values_keep_all_their_digits(tmp_path: Path) -> None:
    CsvLog(tmp_path).log_metrics({"loss": 0.1 + 0.2}, step=1)
    assert "0.30000000000000004" in (tmp_path / "metrics.csv").read_text()
