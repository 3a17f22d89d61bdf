"""What the ledger says when it is asked: sums, a key's own usage, the commands, a vendor's invoice."""

import csv
import io
import json
import os
import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from click.testing import CliRunner

from gateway.commands import ledger as ledger_command
from gateway.commands import usage as usage_command
from gateway.ledger.books import enter
from gateway.ledger.reconcile import Columns, Unreadable, compare, read_invoice
from gateway.ledger.reports import DIMENSIONS, SUMS, Question, Span, by_day_and_model, consumption, own, tail
from gateway.ledger.rows import COLUMNS, row_of
from gateway.ledger.spool import Spool
from gateway.ledger.starting import lock
from gateway.store.clock import day_of, micros
from tests.ledger_cases import AT, DAY, KINDS, entry, store_at
from tests.state_servers import Postgres

MIDNIGHT = AT // DAY * DAY
YAML = """
store: sqlite:///ledger.db
plugins: [{ledger: {spool: spool}}]
keys: [{name: a, key: k}]
channels: [{name: echo, provider: echo}]
"""


@pytest.fixture(scope="module", name="filled")
def _filled(tmp_path_factory):
    """kind -> (a store of that kind with the same 400 rows, these rows)"""
    seed = random.Random(11)
    rows = [
        row_of(
            entry(
                at=MIDNIGHT + seed.randrange(4 * DAY), key=seed.choice("abc"), team=seed.choice(["", "t"]),
                public_model=seed.choice(["m1", "m2"]), channel=seed.choice(["x", "y", ""]),
                provider=seed.choice(["openai", "google"]), dialect=seed.choice(["chat", "gemini"]),
                outcome=seed.choice(["complete", "failed", "truncated", "refused"]),
                input=seed.choice([None, 0, 7]), output=seed.choice([None, 2]), reasoning=seed.choice([None, 1]),
                cost=seed.choice([None, 0, 11]),
            ),
            "host", "worker",
        )
        for _ in range(400)
    ]  # fmt: skip
    made, servers = {}, []

    def server():
        servers.append(Postgres(tmp_path_factory.mktemp("postgres")))
        return servers[0]

    def filled(kind):
        if kind not in made:
            made[kind] = store_at(kind, tmp_path_factory.mktemp(kind), server)
            enter(made[kind], rows)
        return made[kind], [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    yield filled
    for store in made.values():
        store.close()
    for one in servers:
        one.stop()


def test_many_sums_are_kept_in_mind_and_not_sorted_on_disk(filled):
    store, _ = filled("postgresql")
    with store.adding_up() as connection:
        assert connection.exec_driver_sql("SHOW work_mem").scalar() == "64MB"
    with store.read() as connection:
        assert connection.exec_driver_sql("SHOW work_mem").scalar() == "4MB"


def counted(rows, question):
    """What consumption() has to say, the long way round."""
    sums = {}
    for row in rows:
        names = {name: day_of(row["at"]) if name == "day" else row[column] for name, column in DIMENSIONS.items()}
        since, until = question.span.since, question.span.until
        if (since is not None and row["at"] < since) or (until is not None and row["at"] >= until):
            continue
        if any(names[name] not in values for name, values in question.only.items()):
            continue
        by = tuple(names[name] for name in question.by)
        one = sums.setdefault(by, dict(zip(question.by, by, strict=True)) | dict.fromkeys(SUMS, 0))
        unmetered = row["input"] is None and row["output"] is None and row["cost"] != 0
        told = {
            "calls": 1, "errors": row["outcome"] in ("failed", "truncated"), "unmetered": unmetered,
            "unpriced": row["cost"] is None,
        }  # fmt: skip
        for name in SUMS:
            one[name] += told[name] if name in told else row[name] or 0
    return [sums[by] for by in sorted(sums)]


QUESTIONS = [
    Question(),
    Question(("day",)),
    Question(("channel", "outcome")),
    Question(tuple(DIMENSIONS)),
    Question(("key",), Span(MIDNIGHT + DAY, MIDNIGHT + 3 * DAY)),
    Question(("day", "model"), Span(MIDNIGHT + DAY + 1)),
    Question(("provider", "day"), Span(None, MIDNIGHT + 2 * DAY + 12345)),
    Question(("team", "dialect"), only={"key": ["a", "b"], "model": ["m1"]}),
    Question(("team",), Span(MIDNIGHT + 1), {"channel": [""], "outcome": ["failed"]}),
    Question(("key",), only={"key": ["nobody"]}),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_sums_are_those_of_the_rows(filled, kind, question):
    store, rows = filled(kind)
    assert consumption(store, question) == counted(rows, question)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_of_all_is_one_row_even_of_nothing(filled, kind):
    store, rows = filled(kind)
    assert consumption(store, Question(())) == counted(rows, Question(()))
    (nothing,) = consumption(store, Question((), only={"key": ["nobody"]}))
    assert set(nothing.values()) == {0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_told_of_its_own_calls_only(filled, kind):
    store, rows = filled(kind)
    now = datetime.fromtimestamp((MIDNIGHT + 3 * DAY + DAY // 2) / 1e6, UTC)
    found = own(store, "a", now)
    mine = {"key": ["a"]}
    assert [found["today"]] == counted(rows, Question((), Span(MIDNIGHT + 3 * DAY), mine))
    assert [found["month"]] == counted(rows, Question((), Span(), mine))
    assert found["models"] == counted(rows, Question(("model",), Span(), mine))


def test_a_month_begins_with_its_first_day(tmp_path):
    store = store_at("sqlite", tmp_path, None)
    first = datetime(2026, 12, 1, tzinfo=UTC)
    enter(store, [row_of(entry(at=micros(first) + apart), "h", "w") for apart in (-1, 0, 5)])
    assert own(store, "alice", first.replace(day=20))["month"]["calls"] == 2
    assert own(store, "alice", first)["today"]["calls"] == 2
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_tail_shows_each_row_once_as_calls_end(tmp_path, filled, kind):
    store = filled(kind)[0]
    start = AT + 100 * DAY
    seen, only = set(), {"key": ["tailed"]}

    def told(*calls):
        made = [entry(key="tailed", **call) for call in calls]
        enter(store, [row_of(one, "h", "w") for one in made])
        return [one["id"] for one in made]

    told({"at": start - 10**6, "total": 5})
    assert tail(store, start, seen, only) == []
    late, early = told({"at": start, "total": 9 * 10**6}, {"at": start - 10**6, "total": 2 * 10**6})
    (lost,) = told({"at": start - 60 * 10**6, "total": 0, "error": "worker_lost", "outcome": "failed"})
    assert [row["id"] for row in tail(store, start, seen, only)] == [lost, early, late]
    (another,) = told({"at": start, "total": 10**6})
    assert [row["id"] for row in tail(store, start, seen, only)] == [another]
    assert tail(store, start, seen, only) == []


# --- the commands ---------------------------------------------------------------------------------------


@pytest.fixture(name="config")
def _config(write_config):
    return write_config(YAML)


@pytest.fixture(name="ledger_of")
def _ledger_of(config):
    """Enters lines into the configuration's store."""

    def fill(*lines):
        store = store_at("sqlite", config.parent, None)
        enter(store, [row_of(line, "h", "w") for line in lines])
        store.close()

    return fill


@pytest.fixture(name="gateway")
def _gateway(config):
    """gateway("usage", ...) -> (exit code, standard output)"""
    commands = {"usage": usage_command.command, "ledger": ledger_command.command}

    def run(name, *arguments):
        result = CliRunner().invoke(commands[name], ["--config", str(config), *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def test_a_cost_that_is_not_known_is_never_shown_as_0(gateway, ledger_of):
    ledger_of(entry(public_model="dear", cost=1_500_000), entry(public_model="dear", cost=None))
    ledger_of(entry(public_model="secret", cost=None), entry(public_model="free", cost=0))
    code, text = gateway("usage", "--by", "model")
    assert code == 0
    heading, *lines, note = text.splitlines()
    assert heading.split() == ["model", *"calls errors input output cached cache_write reasoning usd unpriced".split()]
    table = {line.split()[0]: line.split()[1:] for line in lines}
    assert table["dear"] == ["2", "0", "20", "10", "0", "0", "0", "1.500000", "1"]
    assert table["secret"] == ["1", "0", "10", "5", "0", "0", "0", "unknown", "1"]
    assert table["free"] == ["1", "0", "10", "5", "0", "0", "0", "0.000000"]
    assert table["all"][-2:] == ["1.500000", "2"]
    assert note == "the cost of 2 of 4 calls is not known, and in no sum"


def test_json_and_csv_say_the_same_with_every_kind_of_tokens(gateway, ledger_of):
    ledger_of(entry(public_model="=cmd|' /C calc'!A0", cost=12, cache_write_1h=4))
    (row,) = json.loads(gateway("usage", "--format", "json")[1])
    (line,) = csv.DictReader(io.StringIO(gateway("usage", "--format", "csv")[1]))
    assert (row["cost_usd"], row["cache_write_1h"], row["calls"]) == ("0.000012", 4, 1)
    assert line["model"] == "'" + row["model"]  # no spreadsheet carries it out
    assert {n: v for n, v in line.items() if n != "model"} == {n: str(v) for n, v in row.items() if n != "model"}


def test_filters_and_spans(gateway, ledger_of):
    now = micros(datetime.now(UTC))
    ledger_of(entry(key="a", at=now), entry(key="b", at=now), entry(key="a", at=now - 40 * DAY))

    def calls(*arguments):
        return sum(row["calls"] for row in json.loads(gateway("usage", "--format", "json", *arguments)[1]))

    assert calls() == 3
    assert calls("--key", "a") == 2
    assert calls("--key", "a", "--key", "b", "--since", "7d") == 2
    assert calls("--since", "30m", "--key", "a") == 1
    assert calls("--until", "12h") == 1
    assert calls("--since", day_of(now - 40 * DAY), "--until", day_of(now - 39 * DAY)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "keys"], "'keys' is none of key, team, model"),
        (["--since", "yesterday"], "expected a date, a time, or how long ago (7d, 12h, 30m)"),
    ],
)
def test_a_slip_is_told(gateway, arguments, said):
    code, text = gateway("usage", *arguments)
    assert code == 2
    assert said in " ".join(text.split())


def test_no_calls_are_said_to_be_none(gateway):
    assert gateway("usage") == (0, "no calls\n")


def test_without_a_store_there_is_no_ledger(gateway, write_config):
    write_config(YAML.replace("store:", "# store:"))
    with pytest.raises(AssertionError, match="without `store:` there is no ledger"):
        gateway("usage")


def test_a_store_that_is_away_is_a_message_without_its_password(gateway, write_config):
    write_config(YAML.replace("sqlite:///ledger.db", "postgresql+psycopg://me:db-CANARY-5555@127.0.0.1:1/x"))
    code, text = gateway("usage")
    assert code == 1
    assert "127.0.0.1" in text
    assert "CANARY" not in text


def test_the_status_says_what_waits(gateway, config, ledger_of):
    ledger_of(entry())
    assert gateway("ledger", "status")[0] == 0
    spool = Spool(config.parent / "spool", 10**6)
    spool.put(entry())
    code, text = gateway("ledger", "status", "--json")
    found = json.loads(text)
    assert code == 1  # lines wait, and nobody carries them on
    assert (found["workers"], found["dead_workers"], found["files"], found["bookkeeper"]) == (1, 0, 1, False)
    assert found["bytes"] > 100
    assert found["last_call"].startswith(day_of(AT))
    spool.close()
    held = lock(config.parent / "spool")
    code, text = gateway("ledger", "status")
    os.close(held)
    assert code == 0
    assert "dead_workers: 1" in text
    assert "bookkeeper: yes" in text


# --- a vendor's invoice -----------------------------------------------------------------------------------

TODAY = day_of(AT)
OPTIONS = ["--date", "when", "--input", "in", "--input", "in_cached", "--output", "out", "--cost", "usd"]


@pytest.fixture(name="invoice")
def _invoice(tmp_path):
    """Writes an export; its path."""

    def write(*lines):
        path = tmp_path / "invoice.csv"
        path.write_text("\ufeffwhen,model,in,in_cached,out,usd\n" + "".join(f"{line}\n" for line in lines))
        return path

    return write


def test_an_invoice_that_agrees(gateway, ledger_of, invoice):
    ledger_of(entry(cost=1_000_000), entry(cost=500_000), entry(at=AT + DAY, upstream_model="other", cost=1))
    tomorrow = f"{day_of(AT + DAY)}T07:00:00Z,other,10,,5,0.000001"
    file = invoice(f"{TODAY},gpt-1,15,5,10,$1.50", tomorrow, ",,25,5,15,1.5")
    assert gateway("ledger", "reconcile", file, *OPTIONS) == (0, "2 lines, 0 of them differ by more than 0 %\n")
    assert len(gateway("ledger", "reconcile", file, *OPTIONS, "--all")[1].splitlines()) == 7


def test_an_invoice_that_does_not(gateway, ledger_of, invoice):
    ledger_of(entry(cost=990_000), entry(upstream_model="ours", cost=None))
    file = invoice(f'{TODAY},gpt-1,10,0,5,"1.00"', f'{TODAY},theirs,"1,000",0,5,2')
    code, text = gateway("ledger", "reconcile", file, *OPTIONS, "--tolerance", "2%")
    assert code == 1
    assert "gpt-1" not in text
    assert f"! {TODAY}  theirs  input  invoice 1000  ledger -  -1000 (100.00 %)" in text
    assert f"! {TODAY}  ours  input  invoice -  ledger 10  +10 (100.00 %)" in text
    assert "of 1 calls 1 have tokens or a cost that the ledger does not know" in text
    assert text.endswith("3 lines, 2 of them differ by more than 2 %\n")
    assert gateway("ledger", "reconcile", file, *OPTIONS, "--tolerance", "0.5")[1].count("! ") > text.count("! ")


def test_models_of_other_names_are_the_same(gateway, ledger_of, invoice):
    ledger_of(entry(upstream_model="gpt-4o"), entry(upstream_model="sonnet"), entry(upstream_model="haiku-20251001"))
    theirs = ("gpt-4o-2024-08-06", "Sonnet 4.5", "haiku-20251001")
    file = invoice(*(f"{TODAY},{model},10,0,5,0.001" for model in theirs))
    assert gateway("ledger", "reconcile", file, *OPTIONS, "--same", "Sonnet 4.5=sonnet")[0] == 0


def test_only_the_vendors_own_calls_are_compared(gateway, ledger_of, invoice):
    ledger_of(entry(), entry(provider="google", channel="vertex"))
    file = invoice(f"{TODAY},gpt-1,10,0,5,0.001")
    assert gateway("ledger", "reconcile", file, *OPTIONS)[0] == 1
    assert gateway("ledger", "reconcile", file, *OPTIONS, "--provider", "openai")[0] == 0
    assert gateway("ledger", "reconcile", file, *OPTIONS, "--channel", "main")[0] == 0


@pytest.mark.parametrize(
    ("line", "columns", "said"),
    [
        (f"{TODAY},m,1,0,1,1", {"input": ("tokens",)}, "no column 'tokens'; there are: when, model"),
        ("11/21/2026,m,1,0,1,1", {}, "invoice.csv:2: expected a date, found '11/21/2026'"),
        (f"{TODAY},m,many,0,1,1", {}, "invoice.csv:2: expected a number, found 'many'"),
        (f"{TODAY},m,NaN,0,1,1", {}, "invoice.csv:2: expected a number, found 'NaN'"),
    ],
)
def test_an_export_that_cannot_be_read_is_told_with_its_line(invoice, line, columns, said):
    with pytest.raises(Unreadable, match=said.replace(".", r"\.")):
        read_invoice(invoice(line), Columns(**{"date": "when", "model": "model", "input": ("in",)} | columns))


@pytest.mark.parametrize(
    ("when", "form"), [("11/18/2026", "%m/%d/%Y"), (str(AT // 10**6), ""), (f"{TODAY}T23:30:00-00:00", ""), (TODAY, "")]
)
def test_dates_in_several_forms(invoice, when, form):
    columns = Columns("when", "model", ("in",), date_format=form)
    assert read_invoice(invoice(f"{when},m,1,0,1,1"), columns) == {(TODAY, "m"): {"input": Decimal(1)}}


def test_nothing_on_either_side_differs_wholly_or_not_at_all():
    row = {"day": "d", "model": "m", "calls": 1, "input": 0, "output": 5, "cost": 0, "unmetered": 0, "unpriced": 0}
    (line,) = compare({("d", "m"): {"input": Decimal(0), "output": Decimal(0)}}, [row], {})
    assert [line.apart("input"), line.apart("output")] == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_ledger_by_day_and_the_vendors_model(filled, kind):
    store, rows = filled(kind)
    found = by_day_and_model(store, Span(MIDNIGHT, MIDNIGHT + 2 * DAY), {"provider": ["google"]})
    within = [row for row in rows if row["at"] < MIDNIGHT + 2 * DAY and row["provider"] == "google"]
    assert [(row["day"], row["model"]) for row in found] == [(day_of(MIDNIGHT + n * DAY), "gpt-1") for n in (0, 1)]
    assert sum(row["calls"] for row in found) == len(within)
    assert sum(row["input"] for row in found) == sum(row["input"] or 0 for row in within)
