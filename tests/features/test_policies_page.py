"""docs/policies.md tells every option, and its examples are configurations that can be used."""

import dataclasses
import re
from pathlib import Path

import pytest

from gateway.loading import load
from gateway.plugin_manager import find_plugins

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text("utf-8")
NAMES = ("redact", "audit", "residency", "inject", "cache", "webhook")


def section(name):
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_told(name):
    module = find_plugins()[name].load()
    kinds = [module.Options, *(getattr(module, kind) for kind in ("Rule", "Rotate") if hasattr(module, kind))]
    wanted = {field.name for kind in kinds for field in dataclasses.fields(kind)} - {"line"}
    told = set(re.findall(r"\w+", section(name)))
    assert wanted <= told


@pytest.mark.parametrize("name", NAMES)
def test_each_may_observe(name):
    module = find_plugins()[name].load()
    mode = next(field for field in dataclasses.fields(module.Options) if field.name == "mode")
    assert "observe" in mode.metadata["choices"]
    assert "observe" in section(name)


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_an_example_can_be_used(text, tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    assert load(path).channels
    assert not load(path).warnings
