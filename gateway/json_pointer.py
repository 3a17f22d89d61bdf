"""JSON Pointers (RFC 6901): ``/messages/0/content``."""

from typing import Any


def pointer_to(*tokens: object) -> str:
    """The pointer that goes by *tokens*, names of members and places in lists; ``""`` is the whole document."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def tokens_of(pointer: str) -> list[str]:
    """What *pointer* goes by."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def at(document: Any, pointer: str) -> Any:
    """What *pointer* leads to; None where it leads nowhere."""
    for token in tokens_of(pointer):
        if isinstance(document, dict):
            document = document.get(token)
        elif isinstance(document, list) and token.isdecimal() and int(token) < len(document):
            document = document[int(token)]
        else:
            return None
    return document
