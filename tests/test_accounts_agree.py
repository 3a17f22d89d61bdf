"""Whatever happens to calls: the ledger's sums, what the budgets have spent and what the limits have counted agree.

Random calls, one after the other, over real SQLite files; the vendor answers well, badly or not at all, the state
and the store are away now and then. What a call reserves is seen from the vendor's side, while it is under way.
"""

import itertools
import json
import time

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.allowances.plans import plan_of
from gateway.config.settings import Budget, KeySettings, Limits
from gateway.domain import Principal
from gateway.ledger.bookkeeper import Bookkeeper
from gateway.ledger.reports import Question, consumption
from gateway.ledger.starting import lock
from gateway.state import StateAway
from gateway.store import StoreAway
from tests.ledger_cases import rows_of

EXAMPLES = 60
KEYS = 2000  # one an example, also while a failure is made small
LIMITS, BUDGET = {"tpd": 1_000_000, "concurrency": 2}, {"usd": 2, "tokens": 6000, "per": "total"}
RIGHTS = f"limits: {json.dumps(LIMITS)}, budget: {json.dumps(BUDGET)}"
YAML = f"""
state: sqlite:///state.db
store: sqlite:///ledger.db
prices: prices.yaml
routing: {{retries: 0}}
health: {{enabled: false}}
plugins: [{{ledger: {{spool: spool}}}}]
keys:
{"".join(f"  - {{name: key{n}, key: secret-{n}, {RIGHTS}}}" + chr(10) for n in range(KEYS))}
providers: {{acme: {{dialects: [chat]}}}}
channels: [{{name: acme, provider: acme, auth: none, base_url: "https://acme.test", models: [m]}}]
"""
PRICES = "providers: {acme: {m: {input: 10, output: 1000}}}"
SAID = {"role": "assistant", "content": "hello"}

# How the vendor ends a call: whether it may charge for one whose usage nobody told.
ENDINGS = {
    "well": True,
    "silent": True,  # about its usage: it is estimated
    "cut": True,  # a stream that breaks off; what was seen counts
    "odd": True,  # a good status, and nothing to be understood behind it: estimated, too
    "slow": True,  # a proxy of the vendor's gave up waiting for an answer that may cost all the same
    "busy": False,
    "refusing": False,
    "broken": False,
    "away": False,
}
CALL = st.fixed_dictionaries({
    "ending": st.sampled_from(sorted(ENDINGS)),
    "stream": st.booleans(),
    "read": st.integers(0, 900),
    "wrote": st.integers(0, 90),
    "most": st.sampled_from([1, 40, 100]),
    "state_away": st.booleans(),
    "store_away": st.booleans(),
})  # fmt: skip
STATUS = {"busy": 429, "refusing": 400, "broken": 500, "slow": 504}
_numbers = itertools.count()


class Vendor:
    """Answers as it was told to, and looks at what the call has reserved."""

    def __init__(self, network):
        self.call, self.look, self.reserved = None, None, None
        network.add_callback("POST", "https://acme.test/v1/chat/completions", self._answer)

    def _answer(self, request):
        call, self.reserved = self.call, self.look()
        if call["ending"] == "away":
            return requests.ConnectionError("nobody there")
        if call["ending"] in STATUS:
            return STATUS[call["ending"]], {"content-type": "application/json"}, '{"error": {"message": "no"}}'
        if call["ending"] == "odd":
            return 200, {"content-type": "application/json"}, "<html>"
        return self._stream(call) if call["stream"] else self._whole(call)

    def _whole(self, call):
        reply = {"choices": [{"message": SAID, "finish_reason": "stop"}], **self._usage(call)}
        return 200, {"content-type": "application/json"}, json.dumps(reply)

    def _stream(self, call):
        chunks = [{"choices": [{"index": 0, "delta": SAID}]}]
        if call["ending"] != "cut":
            chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
            chunks += [{"choices": [], **self._usage(call)}] if call["ending"] != "silent" else []
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        events += ["data: [DONE]\n\n"] if call["ending"] != "cut" else []
        return 200, {"content-type": "text/event-stream"}, "".join(events)

    def _usage(self, call):
        if call["ending"] == "silent":
            return {}
        return {"usage": {
            "prompt_tokens": call["read"], "completion_tokens": call["wrote"],
            "total_tokens": call["read"] + call["wrote"],
        }}  # fmt: skip


class Accounts:
    """One gateway in this process; each example has a key of its own."""

    def __init__(self, app, folder, vendor):
        self._current = app.extensions["gateway"]
        self._held = lock(folder / "spool")  # nobody else keeps the books
        self._current.begin()
        self._client = app.test_client()
        self.services = self._current.services
        self._books = Bookkeeper(folder / "spool", self.services.store, 0.01)
        self._vendor = vendor
        plugins = [plugin for plugin in self._current.gateway.plugins.gateway if plugin.source.name == "limits"]
        self._limits = next(iter(plugins[0].hooks.values())).get_hookimpls()[0].plugin

    def end(self):
        self._current.end()

    def begin(self):
        """For the next key."""
        self.name = f"key{next(_numbers)}"
        settings = KeySettings(name=self.name, limits=Limits(**LIMITS), budget=Budget(**BUDGET))
        self._plan = plan_of(Principal.of(settings))
        self._vendor.look = self.reserved
        return self

    def ask(self, call):
        """The status; what the call had reserved is in the vendor's hands if it came there."""
        self._vendor.call, self._vendor.reserved = call, None
        settle = self.services.state.settle
        if call["state_away"]:  # for the settlement; the next look is after it
            self.services.state.settle = _away
        try:
            body = {"model": "m", "stream": call["stream"], "max_tokens": call["most"], "messages": [SAID]}
            headers = {"authorization": f"Bearer secret-{self.name.removeprefix('key')}"}
            answer = self._client.post("/v1/chat/completions", json=body, headers=headers)
            _ = _read(answer)
        finally:
            self.services.state.settle = settle
        self._limits._catch_up()
        if call["store_away"]:
            self._keep_books(StoreAway("gone"))
        return answer.status_code, self._vendor.reserved

    def _keep_books(self, error=None):
        begin = self.services.store.begin
        if error is not None:
            self.services.store.begin = _raising(error)
        try:
            self._books.turn()
        except StoreAway:
            assert error is not None
        finally:
            self.services.store.begin = begin

    def reserved(self):
        """What budgets hold for calls under way, by measure."""
        now = time.time()
        return {meter.measure: self._used(meter.reserved(now)) for meter in self._plan.budgets}

    def spent(self):
        now, reserved = time.time(), self.reserved()
        return {meter.measure: self._used(meter.purse(now)) - reserved[meter.measure] for meter in self._plan.budgets}

    def counted(self):
        """By the word of each limit."""
        return {meter.word: self._used(meter.claim(0)) for meter in self._plan.limits}

    def _used(self, claim):
        return self.services.state.levels([claim])[0].used

    def rows(self):
        for _ in range(2):  # what waited for the store, and what came meanwhile
            self._keep_books()
        found = [row for row in rows_of(self.services.store).values() if row["key"] == self.name]
        return sorted(found, key=lambda row: row["at"])

    def sums(self):
        (found,) = consumption(self.services.store, Question(by=("key",), only={"key": [self.name]}))
        return found


def _away(*_, **__):
    raise StateAway("gone")


def _raising(error):
    def begin():
        raise error

    return begin


def _read(answer):
    try:
        return answer.data
    except Exception as error:  # of any kind: a stream that breaks off breaks the reader
        return error


@pytest.fixture(name="accounts")
def _accounts(app_of, tmp_path, network):
    (tmp_path / "prices.yaml").write_text(PRICES)
    accounts = Accounts(app_of(YAML), tmp_path, Vendor(network))
    yield accounts
    accounts.end()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALL, min_size=1, max_size=12))
def test_ledger_budgets_and_limits_agree(accounts, calls):
    accounts.begin()
    asked = [(call, *accounts.ask(call)) for call in calls]
    rows = accounts.rows()
    assert len(rows) == len(calls)
    assert accounts.reserved() == {"usd": 0, "tokens": 0}
    assert accounts.counted()["concurrency"] == 0

    usd, tokens = 0, 0
    for row, (call, status, reserved) in zip(rows, asked, strict=True):
        if reserved is None:  # refused before anybody was asked
            assert (status, row["cost"]) == (402, 0)
            continue
        billed = ENDINGS[call["ending"]]
        unknown = row["input"] is None and row["output"] is None
        usd += row["cost"] if row["cost"] is not None else reserved["usd"] * billed
        tokens += reserved["tokens"] * billed if unknown else (row["input"] or 0) + (row["output"] or 0)
    assert accounts.spent() == {"usd": usd, "tokens": tokens}
    assert accounts.counted()["tpd"] == tokens

    sums = accounts.sums()
    assert sums["calls"] == len(calls)
    assert sums["cost"] == sum(row["cost"] or 0 for row in rows)
    assert sums["input"] + sums["output"] == sum((row["input"] or 0) + (row["output"] or 0) for row in rows)
    assert sums["unpriced"] == sum(row["cost"] is None for row in rows)
