"""Hides from vendors what looks like personal data or keys, and puts it back into the reply.

``mode: mask`` puts a placeholder (``<EMAIL_1>``) in the place of each find; what the model says of it, whole
or streamed, reaches the client with the value again. ``refuse`` refuses the call, ``observe`` only says
what would be done. ``reply: true`` looks for the same in what models say, and hides it for good.
"""

import fnmatch
import logging
import re
from collections import Counter
from dataclasses import dataclass

from gateway import Forbidden, hookimpl, option, policies

log = logging.getLogger("gateway.redact")

_NAME = "redact"
_OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,29}")
_OWN_KEYS = {"name", "pattern", "longest"}


class Wanted:
    """One of the patterns that are built in, or ``{name, pattern, longest}``."""

    schema = {
        "oneOf": [
            {"type": "string", "enum": list(policies.PATTERN_NAMES)},
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "pattern": {"type": "string", "format": "regex"},
                    "longest": {"type": "integer", "minimum": 1},
                },
                "required": ["name", "pattern"],
                "additionalProperties": False,
            },
        ]
    }

    @classmethod
    def read(cls, node):
        names = ", ".join(policies.PATTERN_NAMES)
        if node.value in policies.PATTERN_NAMES if isinstance(node.value, str) else False:
            return policies.named_pattern(node.value)
        if not isinstance(node.value, dict) or not {"name", "pattern"} <= set(node.value) <= _OWN_KEYS:
            raise ValueError(f"one of {names}, or {{name: ..., pattern: ..., longest: ...}}")
        name, expression = node.value["name"].text, node.value["pattern"].text
        longest = node.value["longest"].value if "longest" in node.value else 200
        if not _OWN_NAME.fullmatch(name):
            raise ValueError("a name of letters, digits and _, at most 30")
        if isinstance(longest, bool) or not isinstance(longest, int) or not 1 <= longest <= 4000:
            raise ValueError("`longest` from 1 to 4000 characters")
        try:
            return policies.OwnPattern(name, expression, longest)
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from None


@dataclass(frozen=True, kw_only=True)
class Options:
    patterns: list[Wanted] = option(
        "what to look for: email, card, iban, api_key, phone, or {name, pattern, longest} of your own", []
    )
    mode: str = option("what to do with a find", "mask", choices=("mask", "refuse", "observe"))
    reply: bool = option("whether replies are searched too", False)
    keys: list[str] = option("client keys (names or globs) that are left alone", [])
    forms: str = option(
        "requests that are not JSON (forms, sound), which cannot be searched", "pass", choices=("pass", "refuse")
    )


class Plugin:
    def __init__(self, options):
        usual = [policies.named_pattern(name) for name in ("email", "card", "iban", "api_key")]
        self._patterns = [pattern for pattern in options.patterns if pattern is not None] or usual
        self._options = options

    @hookimpl
    def check_config(self):
        twice = [name for name, count in Counter(pattern.name for pattern in self._patterns).items() if count > 1]
        return [f"two patterns are called {name!r}" for name in twice]

    @hookimpl
    def before_call(self, call):
        if self._is_left_alone(call):
            return
        data = policies.json_of(call)
        if data is None:
            self._look_at_form(call)
            return
        text = data.decode()
        findings = policies.find_in_document(text, self._patterns, call.dialect)
        if not findings:
            return
        said = _counted(findings)
        if self._options.mode == "observe":
            log.info("%s %s: would hide %s", call.id, call.principal.name, said)
            call.reply_headers.append(("x-gateway-would-redact", said))
        elif self._options.mode == "refuse":
            raise _refusal("request", findings)
        else:
            masks = call.notes[_NAME] = policies.Masks(text)
            policies.put_json(call, policies.masked(text, findings, masks).encode())
            call.reply_headers.append(("x-gateway-redacted", said))

    def _look_at_form(self, call):
        if call.body is None or self._options.forms == "pass":
            return
        if self._options.mode != "observe":
            raise Forbidden("this gateway searches requests, and a form cannot be searched", code="not_searchable")
        call.reply_headers.append(("x-gateway-would-refuse", "not_searchable"))

    @hookimpl
    def filter_reply(self, call):
        masks = call.notes.get(_NAME)
        patterns = self._patterns if self._options.reply else ()
        if (masks is None and not patterns) or self._is_left_alone(call) or not policies.has_text_reply(call):
            return None
        found = _Found(call, self._options.mode)
        rewriter = policies.ReplyRewriter(call.dialect, patterns, masks or policies.Masks(""), found)
        return _Observed(rewriter) if self._options.mode == "observe" else rewriter

    def _is_left_alone(self, call):
        keys = self._options.keys
        return bool(keys) and any(fnmatch.fnmatchcase(call.principal.name, pattern) for pattern in keys)


class _Found:
    """What is done with finds in a reply beside hiding them."""

    def __init__(self, call, mode):
        self._call = call
        self._mode = mode

    def __call__(self, findings):
        if self._mode == "refuse":
            raise _refusal("reply", findings)
        done = "would hide" if self._mode == "observe" else "hid"
        log.info("%s %s: %s %s of the reply", self._call.id, self._call.principal.name, done, _counted(findings))


class _Observed:
    """Lets a filter see a reply, and the reply pass as it is."""

    def __init__(self, own):
        self._own = own

    def feed(self, events):
        self._own.feed(events)
        return events

    def close(self):
        self._own.close()
        return b""

    def whole(self, response):
        body = response.body
        self._own.whole(response)
        response.body = body


def _counted(findings):
    """``email=2, card=1``: what was found and how often, never the values."""
    counts = Counter(finding.label for finding in findings)
    return ", ".join(f"{label.lower()}={count}" for label, count in counts.items())


def _refusal(where, findings):
    counts = Counter(finding.label.lower() for finding in findings)
    text = f"the {where} holds what this gateway does not let pass: {', '.join(counts)}"
    return Forbidden(text, code="sensitive_data", details={"found": dict(counts)})
