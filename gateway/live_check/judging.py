"""What a failure of a tiny call means to the operator: which step failed, what came back, what to do."""

import re
from dataclasses import dataclass

from gateway.attempt.verdicts import BAD_KEY, LIMITED, Verdict
from gateway.domain import Channel
from gateway.errors import BadRequest, ChannelAnswered, ChannelTimeout, Fault, GatewayError, PluginError
from gateway.live_check.listing import Listing

_KEY_WORDS = frozenset({"invalid_api_key", "authentication_error", "UNAUTHENTICATED", "API_KEY_INVALID"})
_NO_MONEY = frozenset({"insufficient_quota", "billing_error", "insufficient_balance"})
_NO_MODEL = re.compile(
    r"model.{0,120}(not exist|not found|not supported|not available|unknown|invalid)|"
    r"access to .{0,20}model|(no such|unknown|invalid|unsupported) model|no .{0,40}model .{0,40}(found|available)",
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip
_WEB_PAGE = "a web page came instead of an API's answer"


@dataclass(frozen=True, slots=True)
class Tried:
    """What was asked of whom. ``key`` is the key's number; ``signed`` says how it is sent."""

    channel: Channel
    key: int | None
    signed: str
    model: str
    address: str  # "POST https://..." without the query
    seconds: float  # how long it was waited for
    listing: Listing

    @property
    def where(self) -> str:
        """Where in the configuration the key stands."""
        place = "`key`" if self.channel.settings.key else f"`keys[{self.key}]`"
        return f"look at the channel's {place}"


def judge(error: GatewayError, status: int, tried: Tried, verdict: Verdict | None) -> tuple[str, str]:
    """(step, text): what failed. *status* is what the upstream said, 0 if it said nothing; *verdict*
    what calls would make of it."""
    if isinstance(error, ChannelAnswered):
        return _answered(error, status, tried, verdict or Verdict(""))
    if isinstance(error, ChannelTimeout):
        return "stream", _timeout(error, tried)
    if isinstance(error, PluginError) and "authorize" in str(error):
        return "auth", f"the request could not be signed: {error}"
    if isinstance(error, PluginError | BadRequest):
        return "stream", f"the request could not be made: {error}; look at `body` and `headers` of the channel"
    if error.fault.code == "upstream_not_an_api":
        return "stream", f"{_WEB_PAGE} ({status}) to {tried.address}: is `base_url` right?"
    if error.fault.code == "upstream_empty":
        return "stream", f"the answer is empty: status {status}, and nothing in it"
    return "stream", str(error)


def _answered(error: ChannelAnswered, status: int, tried: Tried, verdict: Verdict) -> tuple[str, str]:
    fault, said = error.fault, error.fault.message
    shown = f"{status}" if status >= 300 else f"{fault.status}, inside a {status}"
    if error.body.lstrip()[:1] == b"<":
        return "stream", f"{_WEB_PAGE} ({shown}) to {tried.address}: is `base_url` right, or does a proxy answer?"
    if 300 <= status < 400:
        to = next((value.partition("?")[0] for name, value in error.headers if name.lower() == "location"), "nowhere")
        return "stream", f"redirected ({status}) to {to}, which is not followed: is `base_url` right?"
    if status == 407:
        return "stream", "the proxy wants a user and a password (407): `proxy: http://USER:PASSWORD@HOST:PORT`"
    if _says(fault, _KEY_WORDS) or (verdict.kind == BAD_KEY and fault.status not in (402, 403)):
        return "auth", _refused(shown, said, tried)
    if fault.status == 402 or _says(fault, _NO_MONEY):
        return "stream", f"the account has no money or no quota left ({shown}): {said}"
    if _is_about_the_model(fault, said, tried):
        near = tried.listing.near(tried.model)
        return "model", f"no such model {tried.model!r} ({shown}): {said}" + (f"; {near}" if near else "")
    if status == 403:
        either = ", or the proxy refuses that host" if tried.channel.settings.proxy else ""
        return "auth", f"refused (403): {said}; the key lacks a right, or this address or region is kept out{either}"
    if verdict.kind == LIMITED:
        wait = f"; try again in {verdict.retry_after:.0f} s" if verdict.retry_after is not None else ""
        return "stream", f"over a limit ({shown}): {said}{wait}"
    if status == 404:
        return "stream", f"nothing is there (404): {said}; asked was {tried.address}: is `base_url` right?"
    if fault.status < 500:
        return "stream", f"the request was refused ({shown}): {said}; another --model or --max-tokens may do"
    return "stream", f"the upstream failed ({shown}): {said}"


def _refused(shown: str, said: str, tried: Tried) -> str:
    if tried.key is None:
        return f"a key is wanted ({shown}): {said}; none is sent (`auth: none`, or no `key`)"
    return f"the key was refused ({shown}): {said}; {tried.where}; it is sent as {tried.signed}"


def _says(fault: Fault, words: frozenset[str]) -> bool:
    details = fault.details if isinstance(fault.details, list) else []
    reasons = [detail.get("reason") for detail in details if isinstance(detail, dict)]
    return any(isinstance(word, str) and word in words for word in (fault.code, fault.type, *reasons))


def _is_about_the_model(fault: Fault, said: str, tried: Tried) -> bool:
    if fault.code == "model_not_found":
        return True
    if fault.status not in (400, 403, 404, 422):
        return False
    if _NO_MODEL.search(said) or (fault.status == 404 and tried.model and tried.model in said):
        return True
    names = tried.listing.names
    return names is not None and tried.model not in names and "model" in said.lower()


def _timeout(error: ChannelTimeout, tried: Tried) -> str:
    timeouts = tried.channel.timeouts
    code = error.fault.code or ""
    if code == "upstream_connect_timeout":
        return f"no connection within {min(timeouts.connect, tried.seconds):g} s"
    if code == "upstream_idle_timeout" and timeouts.idle <= tried.seconds:
        return f"it went silent in the middle of its answer for {timeouts.idle:g} s (timeout.idle of the channel)"
    if timeouts.first_event <= tried.seconds and code == "upstream_first_event_timeout":
        return f"nothing came within {timeouts.first_event:g} s (timeout.first_event of the channel)"
    what = "nothing came" if code == "upstream_first_event_timeout" else "it did not end"
    return f"{what} within {tried.seconds:.3g} s (--timeout)"
