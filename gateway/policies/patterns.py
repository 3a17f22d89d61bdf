"""What is looked for in prompts and replies: patterns with names.

Each pattern finds its matches in linear time, whatever the text: lengths are bounded, no two
repetitions compete for the same characters, and where an expression alone cannot say it, a check
(Luhn, mod 97) does.
"""

import re
import time
from collections.abc import Iterator
from typing import Protocol

from gateway.policies.payment_numbers import cards_in, ibans_in

_LETTERS = "A-Za-z0-9\u00c0-\u024f"
_RUN_OF_EMAIL = re.compile(rf"[{_LETTERS}._%+'@-]{{0,320}}")
_LOCAL = re.compile(rf"[{_LETTERS}._%+'-]{{0,64}}")
_AT = re.compile(rf"(?<=[{_LETTERS}._%+'-])@(?=[{_LETTERS}-]{{1,63}}\.[{_LETTERS}])")
_DOMAIN = re.compile(rf"[{_LETTERS}-]{{1,63}}(?:\.[{_LETTERS}-]{{1,63}}){{1,8}}")
_TOP_LEVEL = re.compile(r"[A-Za-z\u00c0-\u024f]{2,24}|xn--[A-Za-z0-9-]{2,59}")


class Pattern(Protocol):
    """``name`` is what its placeholders are called."""

    name: str

    def may(self, text: str) -> bool:
        """Whether a look is worth while: cheap, and never False where there is a match. *text* may be
        JSON in which no character is escaped that could be part of one."""

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each match, in order, none overlapping."""

    def open_at(self, text: str) -> int:
        """Where in *text* something begins that more text could make a match of; its length if nothing does."""


# Each character's kind. Ten times as fast as an expression that has to look at each place.
_KINDS = bytes(48 if 48 <= c < 58 else 97 if chr(c).isalpha() and c < 128 else 32 for c in range(256))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class _Email:
    name = "EMAIL"

    def may(self, text):
        return "@" in text

    def find(self, text):
        done = 0
        for sign in _AT.finditer(text):
            at = sign.start()
            local = len(_LOCAL.match(text[max(done, at - 64) : at][::-1])[0].rstrip(".%+'-"))
            end = _domain_end(_DOMAIN.match(text, at + 1)) if local else 0
            if end:
                yield at - local, end
                done = end

    def open_at(self, text):
        return len(text) - _RUN_OF_EMAIL.match(text[:-321:-1]).end()


def _domain_end(domain: re.Match) -> int:
    """Where the domain ends that has a top-level one; 0 if it has none (``pkg@1.2.3``)."""
    labels = domain[0].split(".")
    while len(labels) > 1:
        if _TOP_LEVEL.fullmatch(labels[-1]) and all(labels):
            return domain.start() + len(".".join(labels))
        labels.pop()
    return 0


class _Card:
    name = "CARD"
    _run = re.compile(r"[0-9 \u00a0-]{0,48}")

    def may(self, text):
        return b"0" * 13 in _bytes(text).translate(_KINDS, b" -\xc2\xa0")

    def find(self, text):
        return cards_in(text)

    def open_at(self, text):
        return len(text) - len(self._run.match(text[:-49:-1])[0].rstrip(" \u00a0-"))


class _Iban:
    name = "IBAN"
    _open = re.compile(
        r"(?<![A-Za-z0-9])[A-Za-z](?:[A-Za-z](?:[0-9](?:[0-9](?:[ \u00a0-]?[A-Za-z0-9]){0,30}[ \u00a0-]?)?)?)?\Z"
    )

    def may(self, text):
        return b"aa00" in _bytes(text).translate(_KINDS)

    def find(self, text):
        return ibans_in(text)

    def open_at(self, text):
        tail = max(0, len(text) - 72)
        found = self._open.search(text, tail)
        return found.start() if found else len(text)


class _ApiKey:
    """Keys whose form tells what they are."""

    name = "API_KEY"
    # A sign that is rarer -> words that hold it.
    _words = (
        ("-", ("sk-", "glpat-", "xox", "xai-", "pplx-", "pypi-", "gw-", "-----BEGIN ")),
        ("_", ("k_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "npm_", "dop_v1_")),
        ("", ("AIza", "AKIA", "ASIA", "SG.", "eyJ")),
    )
    _form = re.compile(
        r"(?<![A-Za-z0-9_-])(?:"
        r"sk-[A-Za-z0-9_-]{20,250}"  # OpenAI, Anthropic, OpenRouter, DeepSeek, ...
        r"|[srp]k_(?:live|test)_[A-Za-z0-9]{16,250}"  # Stripe
        r"|AIza[A-Za-z0-9_-]{35}"  # Google
        r"|A[KS]IA[A-Z0-9]{16}"  # AWS
        r"|gh[pousr]_[A-Za-z0-9]{36,250}|github_pat_[A-Za-z0-9_]{22,250}"
        r"|glpat-[A-Za-z0-9_-]{20,250}"  # GitLab
        r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}"  # Slack
        r"|hf_[A-Za-z0-9]{30,60}|gsk_[A-Za-z0-9]{40,60}|xai-[A-Za-z0-9]{40,100}|pplx-[A-Za-z0-9]{32,64}"
        r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"  # SendGrid
        r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}|dop_v1_[a-f0-9]{64}"
        r"|gw-[A-Za-z0-9_-]{40}"  # this gateway's own
        r"|eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}"  # JSON Web Token
        r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-(?!----)){0,8000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
        r")"
    )
    _run = re.compile(r"[A-Za-z0-9_.-]{0,4096}")

    def may(self, text):
        for sign, words in self._words:
            if sign in text:
                for word in words:
                    if word in text:
                        return True
        return False

    def find(self, text):
        for match in self._form.finditer(text):
            yield match.span()

    def open_at(self, text):
        start = len(text) - self._run.match(text[:-4097:-1]).end()
        begun = text.rfind("-----BEGIN", max(0, len(text) - 8200))
        if begun >= 0 and "PRIVATE KEY-----" not in text[begun + 60 :]:
            start = min(start, begun)
        return start


class _Phone:
    """Telephone numbers in international form, and North American ones."""

    name = "PHONE"
    _may = re.compile(r"[0-9](?:[ ()./-]{0,2}[0-9]){6}")
    _form = re.compile(
        r"(?<![A-Za-z0-9+])(?:\+[1-9](?:[ ()./\u00a0-]{0,2}[0-9]){6,14}"
        r"|\(?[2-9][0-9]{2}\)?[ .\u00a0-][2-9][0-9]{2}[ .\u00a0-][0-9]{4})(?![0-9])"
    )
    _run = re.compile(r"[0-9 ()+./\u00a0-]{0,48}")

    def may(self, text):
        return self._may.search(text) is not None

    def find(self, text):
        for match in self._form.finditer(text):
            yield match.span()

    def open_at(self, text):
        return len(text) - len(self._run.match(text[:-49:-1])[0].rstrip())


_NAMED: dict[str, Pattern] = {
    "email": _Email(), "card": _Card(), "iban": _Iban(), "api_key": _ApiKey(), "phone": _Phone(),
}  # fmt: skip
NAMES = tuple(_NAMED)


def named_pattern(name: str) -> Pattern:
    """One of NAMES."""
    return _NAMED[name]


class OwnPattern:
    """A regular expression of the operator's own. A match is at most *longest* characters long; a text is
    searched window by window, so that the cost stays in proportion to the text.

    Raises ValueError for an expression that takes long for what nearly matches, re.error for none at all.
    """

    def __init__(self, name: str, expression: str, longest: int = 200):
        self.name = name.upper()
        self._form = re.compile(expression)
        self._longest = longest
        self._window = max(longest, 256)
        self._try_out(expression)

    def may(self, text):
        return True

    def find(self, text):
        at, length = 0, len(text)
        for border in range(self._window, length + self._window, self._window):
            last = min(border, length)
            while at < last:
                match = self._form.search(text, at, min(last + self._longest, length))
                if match is None or match.start() >= last:
                    break
                if match.end() > match.start():
                    yield match.span()
                at = max(match.end(), match.start() + 1)
            at = max(at, last)

    def open_at(self, text):
        return max(0, len(text) - self._longest + 1)

    def _try_out(self, expression: str) -> None:
        """On longer and longer rows of the characters that the expression is about, up to a window's: one that
        goes back and forth shows itself early."""
        rows = [*sorted({*expression, *"aA0 -_."}), re.sub(r"\W", "", expression) or "a"]
        most = self._window + self._longest
        for size in [*range(8, 48, 2), *range(48, most, 64), most]:
            for row in rows:
                text = (row * size)[:size] + "\0"
                if _seconds(self._form, text) > _SLOW and _seconds(self._form, text) > _SLOW:
                    took = f"more than {_SLOW * 1000:.0f} ms for {size} characters"
                    raise ValueError(f"a pattern that takes less time ({took})")


_SLOW = 0.02  # seconds


def _seconds(form: re.Pattern, text: str) -> float:
    began = time.thread_time()
    form.search(text)
    return time.thread_time() - began
