"""docs/dialects.md says what the code does: its table is the code's, its examples are played."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from gateway.dialects import fields_table
from gateway.dialects.gemini import STATE
from gateway.dialects.registry import DIALECTS, FACES
from gateway.dialects.responses import request_reader, turn_reader
from gateway.dialects.translation import Translation
from gateway.dialects.vocabulary import Asked, Finish, Finished, Prompt, Target
from gateway.errors import BadRequest, Fault
from gateway.transport import fetching
from tests.pair_cases import as_json

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "dialects.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
STATE_OF_MESSAGES = {"thread": {"type": "continue"}, "container": "c", "compaction": {}}
CUT = Fault(502, "upstream", "the upstream broke", code="upstream_stream_cut")


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title):
    """dialect -> its row's other cells, of the first table in a section."""
    cells = [line.strip("|").split(" | ") for line in section(title).splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells[1:]}


def codes(cell):
    return re.findall(r"`([^`]+)`", cell)


def writer(dialect):
    prompt = Prompt(dialect, "m", stream=True)
    count = itertools.count(1)
    return DIALECTS[dialect].StreamWriter(Asked("m", 0, lambda prefix: f"{prefix}{next(count)}", prompt))


def test_the_table_is_the_codes():
    assert f"\n\n{fields_table.markdown()}\n\n" in section("What members become")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['client']}-{example['channel']}")
def test_an_example_is_true(example):
    translation = Translation(DIALECTS[example["client"]], DIALECTS[example["channel"]])
    if "refused" in example:
        with pytest.raises(BadRequest) as refused:
            translation.read(example["request"])
        assert {name: getattr(refused.value.fault, name) for name in example["refused"]} == example["refused"]
        return
    written = translation.write(translation.read(example["request"]), Target("gpt"))
    assert as_json(written.document) == example["becomes"]
    assert written.dropped == example["dropped"]


def test_all_state_that_is_refused_is_listed():
    cells = {dialect: set(codes(row[0])) for dialect, row in rows("State").items()}
    assert {*request_reader.STATEFUL, *turn_reader.STATEFUL, "background"} <= cells["responses"]
    assert set(STATE) <= cells["gemini"]
    assert set(STATE_OF_MESSAGES) <= cells["messages"]


@pytest.mark.parametrize("member", STATE_OF_MESSAGES)
def test_state_of_messages_is_refused(member):
    document = {"model": "m", "max_tokens": 1, "messages": [], member: STATE_OF_MESSAGES[member]}
    with pytest.raises(BadRequest) as refused:
        DIALECTS["messages"].read_request(document)
    assert refused.value.fault.param == member


def test_the_seals_are_those_of_the_code():
    begins = {dialect: row[1] for dialect, row in rows("Thinking and its proofs").items()}
    assert begins.keys() == DIALECTS.keys()
    for dialect, cell in begins.items():
        assert [code.encode() for code in codes(cell)] == [seal for seal in [FACES[dialect].SEALED.strip(b'"')] if seal]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_streams_end_as_the_page_says(dialect):
    whole, broken = (codes(cell) for cell in rows("Streams")[dialect])
    good, bad = writer(dialect), writer(dialect)
    ended = (good.feed(Finished(Finish("stop"))) + good.close()).decode()
    failed = (bad.feed(Finished(Finish("stop"))) + bad.close(CUT)).decode()
    assert all(code in ended for code in whole) and not any(code in ended for code in broken)
    assert all(code in failed for code in broken) and not any(code in failed for code in whole)


def test_the_limits_of_fetching_are_those_of_the_code():
    text = section("Media")
    assert f"{fetching._MOST_BYTES // 2**20} MiB and {fetching._MOST_SECONDS:.0f} seconds" in text
    assert f"(at most {fetching._MOST_REDIRECTS})" in text
