"""The benchmark runs, and its table says what was measured."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent


@pytest.fixture(name="table")
def _table(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are in no package that is installed
    return importlib.import_module("benchmarks.table")


def test_a_short_run_measures_everything(tmp_path, table):
    """A real run of a second or two for each measure; only its figures' sense is judged, not their size."""
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--json", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    figures = json.loads(file.read_text())["figures"]
    for measure, measured in figures.items():
        expected = {"gateway"} if measure == "translated" else {"direct", "nginx", "gateway"}
        assert set(measured) == expected
        assert [server for server, values in measured.items() if values["failed"]] == []
    assert figures["slow"]["gateway"]["complete"] == 1.0
    assert figures["whole"]["gateway"]["per_second"] > 0
    titles = [row.title for row in table.ROWS]
    assert [title for title in titles if title in run.stdout] == titles


def results(**gateway):
    """One row's worth of results, nginx doing 1,000 a second and LiteLLM 10."""
    return {
        "whole": {
            "nginx": {"per_second": 1000.0, "failed": 0},
            "gateway": {"per_second": 100.0, "failed": 0} | gateway,
            "litellm": {"per_second": 10.0, "failed": 0},
        }
    }


@pytest.mark.parametrize(
    ("gateway", "met"),
    [({}, [True, True]), ({"per_second": 50.0}, [True, False]), ({"per_second": 20.0}, [False, False]),
     ({"failed": 1}, [False, False])],
)  # fmt: skip
def test_a_target_is_met_or_missed(gateway, met, table):
    found = table.verdicts(table.ROWS[0], results(**gateway))
    assert [each for _, each in found] == met


def test_without_litellm_its_targets_are_left_out(table):
    measured = results()
    del measured["whole"]["litellm"]
    assert [text for text, _ in table.verdicts(table.ROWS[0], measured)] == ["1/10 of nginx (>= 1/32)"]
