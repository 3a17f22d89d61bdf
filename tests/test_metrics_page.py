"""docs/metrics.md tells of the metrics that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "metrics.md").read_text()
CODE = (ROOT / "plugins" / "features" / "metrics.py").read_text()


def names():
    """Every metric that the plugin makes, as /metrics shows it, with its labels."""
    constants = {"_WHO": ["key", "team", "model", "channel"],
                 "_ABOUT": ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"]}  # fmt: skip
    for node in ast.walk(ast.parse(CODE)):
        if not isinstance(node, ast.Call):
            continue
        kind = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if kind not in ("_counter", "_times", "Gauge", "GaugeMetricFamily"):
            continue
        if not isinstance(node.args[0], ast.Constant):
            continue
        given = node.args[2:] if kind == "_counter" else node.args[3:] if kind == "_times" else []
        labels = []
        for each in given:
            labels += constants[each.value.id] if isinstance(each, ast.Starred) else [each.value]
        for keyword in node.keywords:
            labels += [e.value for e in keyword.value.elts] if keyword.arg == "labels" else []
        name = node.args[0].value
        yield {"_counter": f"gateway_{name}_total", "_times": f"{name}_seconds"}.get(kind, name), labels


def test_every_metric_has_its_row_with_its_labels():
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    found = dict(names())
    assert rows.keys() == found.keys()
    for name, labels in found.items():
        if not rows[name].strip().startswith("the same"):
            assert [label.strip() for label in rows[name].split(",") if label.strip()] == labels, name
