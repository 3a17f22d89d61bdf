"""A call's account: what a call used is read when somebody asks, and once."""

import pytest

from gateway.account import COMPLETE, Account
from gateway.departures import Watch
from gateway.domain import Call, Endpoint
from gateway.plugin_manager import Plugin, Source
from gateway.usage import Usage


class Tap:
    """Counts how often it is asked."""

    asked = 0

    def usage(self, complete):
        self.asked += 1
        return Usage(3, 4, source="upstream" if complete else "partial")


@pytest.fixture(name="records")
def _records():
    return []


@pytest.fixture(name="observer")
def _observer(records):
    hooks = {"after_call": lambda call, record: records.append(record) or []}
    return Plugin(Source("observer", "here", "", lambda: None), hooks)


@pytest.fixture(name="account_of")
def _account_of():
    """account_of(*observers) -> the account of a call whose answer is there."""

    def make(*observers):
        call = Call("req_1", Endpoint("chat", "generate", ""), "POST", "", {}, None, "m", False)
        account = Account(call, Watch(None, None), (), observers)
        account.tap = Tap()
        return account

    return make


def test_what_nobody_is_told_is_not_read(account_of):
    account = account_of()
    account.ended(COMPLETE)
    account.close()
    assert account.tap.asked == 0
    assert account.usage == Usage(3, 4, source="upstream")  # but it can be had


def test_all_observers_get_what_was_read_once(account_of, observer, records):
    account = account_of(observer, observer)
    account.ended(COMPLETE)
    account.close()
    account.close()
    assert [record.usage for record in records] == [account.usage] * 2
    assert account.tap.asked == 1


def test_nothing_is_known_before_the_end(account_of):
    account = account_of()
    assert account.usage == Usage()
    account.close()  # its answer broke off
    assert account.usage.source == "partial"
