"""``gateway prices``, and what docs/prices.md says of it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.prices import command
from gateway.price_file import Price, Rates, read_price_file

PAGE = (Path(__file__).parent.parent / "docs" / "prices.md").read_text()

YAML = """
prices: mine.yaml
routes:
  smart: [acme/best, acme/unheard, claude/fast]
providers:
  acme: {dialects: [chat], base_url: https://acme.test}
channels:
  - {name: acme, provider: acme, key: k, models: [best, {nice: nicer}, "be*", "so-*", "dear-*"]}
  - {name: claude, provider: anthropic, key: k, models: [{fast: claude-haiku-4-5}]}
  - {name: idle, provider: acme, key: k, models: [never], enabled: false}
"""
MINE = """
providers:
  acme:
    best: {input: 1.5, output: 2}
    "be*": {input: 3, output: 4}
    "dear-?": {input: 5, output: 5}
channels:
  acme: {nicer: {from: 2020-01-01, input: 1, output: 1}}
"""


@pytest.fixture(name="prices")
def _prices(write_config, tmp_path):
    """prices(*arguments) -> (exit code, output lines); with YAML's configuration and MINE's prices."""

    def run(*arguments, mine=MINE, yaml=YAML):
        (tmp_path / "mine.yaml").write_text(mine)
        result = CliRunner().invoke(command, [*arguments, "--config", str(write_config(yaml))])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, [line.replace(str(tmp_path), "") for line in result.output.splitlines()]

    return run


def test_check_lists_what_has_no_price(prices):
    assert prices("check") == (1, [
        "acme  so-*  cannot be checked: a pattern, which no price covers as a whole",
        "acme  dear-*  cannot be checked: a pattern, which no price covers as a whole",
        "acme  unheard  no price (provider acme)",
        "1 model without a price",
    ])  # fmt: skip


def test_check_is_content_when_all_have_one(prices):
    mine = MINE.replace("best:", '"*": {input: 0}\n    best:')
    assert prices("check", mine=mine) == (0, ["no models without a price"])


def test_check_names_what_nothing_bears(prices):
    code, lines = prices("check", mine=MINE.replace("providers:\n  acme:", "providers:\n  acmee:"))
    assert code == 1
    assert "warning: /mine.yaml: providers.acmee: no provider of that name is in use, did you mean 'acme'?" in lines


def test_check_looks_at_a_file_before_it_is_used(prices, tmp_path):
    other = tmp_path / "new.yaml"
    other.write_text('providers: {acme: {"*": {input: 1, output: 1}}}')
    assert prices("check", "--file", str(other)) == (0, ["no models without a price"])


def test_check_of_the_shipped_configuration_and_of_none(prices):
    assert prices("check", yaml="channels: [{name: echo, provider: echo}]") == (0, ["no models without a price"])


def test_show_says_every_price_and_where_it_stands(prices):
    assert prices("show", "best") == (0, [
        "provider acme  best  always  (/mine.yaml:4)",
        "    input 1.5  output 2",
        "provider acme  be*  always  (/mine.yaml:5)",
        "    input 3  output 4",
        *prices("show", "nothing-else")[1],
    ])  # fmt: skip
    assert prices("show", "nicer")[1][:2] == [
        "channel acme  nicer  from 2020-01-01  (/mine.yaml:8)",
        "    input 1  output 1",
    ]


def test_show_says_what_is_to_come_and_what_long_calls_cost(prices):
    mine = """
providers:
  acme: {m: {from: 2100-01-01, input: 1, output: 2, tiers: [{above: 7, input: 0.000001}], image: 0.04}}
"""
    assert prices("show", "m", mine=mine)[1][:3] == [
        "provider acme  m  from 2100-01-01, not yet  (/mine.yaml:3)",
        "    input 1  output 2  image 0.04",
        "    above 7 input tokens: input 0.000001",
    ]


def test_a_broken_file_is_refused_with_its_complaints(write_config, tmp_path):
    (tmp_path / "mine.yaml").write_text("providers: {acme: {m: {imput: 1}}}")
    from_group = CliRunner().invoke(command, ["check", "--config", str(write_config(YAML))])
    assert "unknown key 'imput', did you mean 'input'?" in str(from_group.exception)


# --- the page ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(# prices.*?)```", PAGE, re.DOTALL))
def test_the_pages_prices_can_be_used(text, tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    assert read_price_file(path).providers


def test_the_page_tells_every_key():
    told = set(re.findall(r"^\| `(\w+)` ", PAGE.partition("\n## Prices")[2], re.MULTILINE))
    assert told == {"from" if name == "since" else name for name in Price.__dataclass_fields__} - {"line"}
    assert set(Rates.__dataclass_fields__) < told
