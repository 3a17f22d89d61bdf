"""conf/grafana.json asks for nothing that /metrics does not have: each name and each label of its queries."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = json.loads((ROOT / "conf" / "grafana.json").read_text())
# A process of its own: prometheus_client looks at the environment once, and so would gateways started later.
PAGE = """
from types import SimpleNamespace as Made
from gateway.plugin_manager import find_plugins

module = find_plugins()["metrics"].load()
metrics = module.Metrics()
for metric in vars(metrics).values():
    child = metric.labels(*metric._labelnames) if metric._labelnames else metric
    (child.observe if hasattr(child, "observe") else child.inc)(1)
rest = Made(why="told", until=1)
health = Made(names=lambda: ["a"], rest=lambda name: rest, left=lambda name: 1.0)
plugin = module.Plugin(module.Options())
plugin._services = Made(health=health, spooled_bytes=lambda: 1)
print(plugin._text().decode())
"""
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
WORDS = {"sum", "max", "by", "rate", "increase", "histogram_quantile"}


@pytest.fixture(scope="module", name="page")
def _page(tmp_path_factory):
    """name -> its labels, as the page has them when everything was counted once."""
    folder = str(tmp_path_factory.mktemp("metrics"))
    done = subprocess.run([sys.executable, "-c", PAGE], env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": folder}, cwd=ROOT,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        if line and line[0] != "#":
            name, labels = re.match(r"(\w+)(?:\{(.*)\})?", line).groups()
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


def asked(expression):
    """(names, labels) of a PromQL expression, whose brackets must match."""
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing), expression
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(", ")}
    chosen = {label for group in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r'(\w+)=~?"', group)}
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|"[^"]*"', " ", expression)
    names = set(re.findall(r"\b[a-z]\w*", re.sub(r"\b\d[\w.]*", " ", bare))) - WORDS
    return names, grouped | chosen


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_asks_for_what_the_page_has(expression, page):
    names, labels = asked(expression)
    assert len(names) == 1, names
    assert names <= set(page)
    assert labels <= page[names.pop()]


def test_every_metric_has_its_place_on_the_dashboard(page):
    shown = {name.removesuffix("_bucket") for expression in EXPRESSIONS for name in asked(expression)[0]}
    exposed = {re.sub(r"_(bucket|sum|count)$", "", name) for name in page}
    assert exposed - shown == set()


def test_the_choices_are_labels_of_calls(page):
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
            assert label in page[name]


def test_no_two_panels_lie_upon_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, rows = (range(place[at], place[at] + place[size]) for at, size in ("xw", "yh"))
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
