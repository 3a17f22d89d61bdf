"""What must not stand in a file that people read, whoever sent it: credentials."""

import re

from gateway.concealing import MASK
from gateway.policies.patterns import named_pattern

_MEMBERS = re.compile(
    r'("(?:authorization|proxy-authorization|x-api-key|api[_-]?key|x-goog-api-key|access_token|refresh_token|client_secret|'
    r'secret|password)"\s*:\s*)"[^"\\]*(?:\\.[^"\\]*)*"',
    re.IGNORECASE | re.DOTALL,
)
_KEY = named_pattern("api_key")


def without_keys(text: str) -> str:
    """*text* with ``***`` in the place of API keys of known forms, and of what JSON members that are
    named like credentials say."""
    text = _MEMBERS.sub(rf'\1"{MASK}"', text)
    if not _KEY.may(text):
        return text
    pieces, at = [], 0
    for start, end in _KEY.find(text):
        pieces += [text[at:start], MASK]
        at = end
    return "".join([*pieces, text[at:]])
