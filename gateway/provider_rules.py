"""What a provider declares in YAML beside its address: edits, parameters, usage, errors.

Bound to each channel when the configuration loads, templates filled in; a channel whose provider
declares nothing has no rules at all. Pure.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway import json_edit, json_text
from gateway.bodies import JsonBody
from gateway.config.forms import HeaderRules
from gateway.config.provider_settings import BodyEdits, ErrorRule, Parameters, ProviderSettings, When
from gateway.domain import GENERATE, Call, Candidate, UpstreamReply, UpstreamRequest
from gateway.errors import BadRequest, Fault
from gateway.json_pointer import at, pointer_to
from gateway.templates import fill
from gateway.usage import UPSTREAM, Usage

# Nothing could be generated without these: no table takes them away.
_KEPT = frozenset({"model", "stream", "messages", "input", "contents"})


def apply_edits(request: UpstreamRequest) -> None:
    """Carry the member edits out on the bytes. Raises BadRequest when a pointer leads nowhere."""
    if request.body_edits and isinstance(request.body, JsonBody):
        data = json_edit.edit(request.body.data, request.body_edits)
        request.body = JsonBody(data, request.body.content_type)
    request.body_edits = []


class ChannelRules:
    """The rules of one channel: its provider's, then its own `body:`."""

    def __init__(self, declared: ProviderSettings | None, own: BodyEdits | None, names: Mapping[str, Any]):
        """*names* are those of gateway.templates. Raises UnknownTemplate."""
        headers = declared.headers if declared is not None and declared.headers is not None else HeaderRules()
        self.forward = headers.forward
        self._set_headers = {name: str(fill(value, names)) for name, value in headers.set.items()}
        self._unset_headers = headers.unset
        self._parameters = declared.parameters if declared and declared.parameters != Parameters() else None
        self._body = [_filled(edits, names) for edits in (declared.body if declared else ()) if edits]
        self._own = _filled(own, names) if own else None
        self._errors = [(rule, re.compile(rule.matches) if rule.matches else None) for rule in _listed(declared)]
        self._usage = _pointers(declared and declared.usage)
        self.error = _pointers(declared and declared.error)

    def edit(self, call: Call, candidate: Candidate, request: UpstreamRequest) -> None:
        """Carry out what is declared on *request*. Raises BadRequest where the call insists on a
        member that the vendor does not take (``strict``)."""
        request.headers.update(self._set_headers)
        for name in self._unset_headers:
            request.headers.pop(name, None)
        if not isinstance(request.body, JsonBody):
            return
        if self._parameters is not None and call.operation == GENERATE:
            self._limit(call, candidate, request, self._parameters)
        for edits in self._body:
            if edits.when is None or _fits(edits.when, call, candidate):
                request.dropped += _there(edits.unset, request)
                _edit_body(edits, request)
        own = self._own
        if own is not None and (own.when is None or _fits(own.when, call, candidate)):
            _edit_body(own, request)

    def _limit(self, call: Call, candidate: Candidate, request: UpstreamRequest, table: Parameters) -> None:
        apply_edits(request)
        document = _parsed(request.body)
        if not isinstance(document, dict):
            return
        dropped = [name for name in table.dropped if name in document]
        changed = []
        for old, new in table.renamed.items():
            if old in document:
                request.unset_member(_pointer(old))
                value = document.pop(old)
                if new not in document:  # whoever says it in the vendor's own word means that
                    document[new] = value
                    request.set_member(_pointer(new), value)
        if table.allowed:
            known = {*table.allowed, *_KEPT}
            dropped += [name for name in document if name not in known and name not in dropped]
        for name, limits in table.clamped.items():
            value = document.get(name)
            if isinstance(value, bool | str | None | list | dict) or name in dropped:
                continue
            within = _within(value, limits.min, limits.max)
            if within != value:
                changed.append(name)
                request.set_member(_pointer(name), within)
        for name in dropped:
            request.unset_member(_pointer(name))
        if (dropped or changed) and (candidate.channel.settings.strict or call.strict):
            names = ", ".join([*dropped, *changed])
            text = f"channel {candidate.channel.name!r} does not take as it is: {names}"
            raise BadRequest(text, code="not_translatable", details={"dropped": dropped, "clamped": changed})
        request.dropped += dropped

    def read_usage(self, document: Any) -> Usage | None:
        """The Usage that stands where the provider says, if any of it does."""
        found = {kind: at(document, pointer) for kind, pointer in self._usage.items()}
        counts = {kind: n for kind, n in found.items() if isinstance(n, int) and not isinstance(n, bool)}
        return Usage(**counts, source=UPSTREAM) if counts else None

    def reworded(self, fault: Fault, document: Any) -> Fault:
        """*fault* in the words that stand where the provider says; itself if none do."""
        found = {name: at(document, pointer) for name, pointer in self.error.items()}
        words: dict[str, Any] = {
            name: str(value) for name, value in found.items() if isinstance(value, str | int) and name != "retry_after"
        }
        if isinstance(found.get("retry_after"), int | float) and not isinstance(found["retry_after"], bool):
            words["retry_after"] = float(found["retry_after"])
        return dataclasses.replace(fault, **words) if words else fault

    def verdict(self, response: UpstreamReply) -> Any:
        """What the first fitting rule makes of an answer, in the words of ``classify_failure``."""
        document = _parsed(response)
        for rule, pattern in self._errors:
            if not _matches(rule, pattern, response, document):
                continue
            if rule.then != "rate_limited":
                return rule.then
            return rule.seconds or rule.then
        return None


class _Caller:
    """One of the rules, as a plugin's hook is called."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, **arguments: Any) -> list[Any]:
        found = self._function(**arguments)
        return [] if found is None else [found]

    def get_hookimpls(self) -> list[Any]:
        return []


def hooks_of(declared: ProviderSettings) -> dict[str, Any]:
    """The hooks that stand for what *declared* says; the road asks them like a plugin's."""
    hooks: dict[str, Any] = {}
    if _pointers(declared.usage):
        hooks["read_usage"] = _Caller(lambda channel, document: channel.rules.read_usage(document))
    if declared.errors:
        hooks["classify_failure"] = _Caller(lambda channel, response: channel.rules.verdict(response))
    return hooks


def declares_rules(declared: ProviderSettings) -> bool:
    """Whether *declared* says more than where and how the vendor is reached."""
    headers = declared.headers
    edits = headers is not None and (headers.set or headers.unset or headers.forward)
    said = (edits, declared.body, declared.errors)
    return any(said) or declared.parameters != Parameters() or any(map(_pointers, (declared.usage, declared.error)))


def checks_ok(declared: ProviderSettings) -> bool:
    """Whether an answer below 400 may be a failure, too."""
    return any(not rule.status or min(rule.status) < 400 for rule in _listed(declared))


def complaints_of(declared: ProviderSettings) -> Iterable[str]:
    """What cannot be checked key by key."""
    if any(not rule.status and not rule.at and not rule.matches for rule in _listed(declared)):
        yield "errors: a rule needs 'status', 'at' or 'matches'"
    if declared.end and not {"chat", "messages"} & set(declared.dialects or ()):
        yield "end: only chat and messages streams have a terminal event of their own"
    for edits in filter(None, declared.body):
        for pointer in (name for name in (*edits.set, *edits.unset, *edits.rename) if not name.startswith("/")):
            yield f"expected a JSON Pointer such as '/user', found {pointer!r}"


def _listed(declared: ProviderSettings | None) -> list[ErrorRule]:
    return [rule for rule in declared.errors if rule] if declared else []


def _pointers(table: Any) -> dict[str, str]:
    """The members of a settings class of pointers that were given."""
    if not table:
        return {}
    return {f.name: getattr(table, f.name) for f in dataclasses.fields(table) if getattr(table, f.name)}


def _filled(edits: BodyEdits, names: Mapping[str, Any]) -> BodyEdits:
    return dataclasses.replace(edits, set=fill(edits.set, names))


def _fits(when: When, call: Call, candidate: Candidate) -> bool:
    if when.stream is not None and when.stream != call.stream:
        return False
    facts = ((when.model, candidate.model), (when.operation, call.operation), (when.dialect, candidate.dialect))
    return all(not globs or any(fnmatch.fnmatchcase(fact, glob) for glob in globs) for globs, fact in facts)


def _edit_body(edits: BodyEdits, request: UpstreamRequest) -> None:
    if edits.rename:
        apply_edits(request)
        document = _parsed(request.body)
        for old, new in edits.rename.items():
            value = at(document, old)
            if value is not None:
                request.unset_member(old)
                request.set_member(new, value)
    for pointer, value in edits.set.items():
        request.set_member(pointer, value)
    for pointer in edits.unset:
        request.unset_member(pointer)


def _there(pointers: list[str], request: UpstreamRequest) -> list[str]:
    """Those of *pointers* that lead somewhere, as ``x-gateway-dropped`` names members."""
    data = request.body.data if isinstance(request.body, JsonBody) else b""
    if not any(b'"%b"' % pointer.rpartition("/")[2].encode() in data for pointer in pointers):
        return []
    document = _parsed(request.body)
    return [pointer[1:].replace("/", ".") for pointer in pointers if at(document, pointer) is not None]


def _parsed(holder: Any) -> Any:
    """The document in a JsonBody or an UpstreamReply; None if it is none."""
    try:
        return json_text.parse(holder.data if isinstance(holder, JsonBody) else holder.body)
    except json_text.NotJson:
        return None


def _pointer(name: str) -> str:
    return name if name.startswith("/") else pointer_to(name)


def _within(value: Any, least: float | None, most: float | None) -> Any:
    for limit, exceeded in ((least, least is not None and value < least), (most, most is not None and value > most)):
        if exceeded and limit is not None:
            return int(limit) if limit == int(limit) else limit
    return value


def _matches(rule: ErrorRule, pattern: re.Pattern[str] | None, response: UpstreamReply, document: Any) -> bool:
    if rule.status and response.status not in rule.status:
        return False
    if not rule.at:
        return pattern is None or bool(pattern.search(response.body.decode("utf-8", "replace")))
    value = at(document, rule.at)
    if value is None or (rule.equals is not None and value != rule.equals):
        return False
    return pattern is None or bool(pattern.search(_text(value)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text.write(value).decode()
