"""Writes acts down: who did what, and when, in a file of JSON lines that are chained by their hashes.

An act is written down before it is done, and what came of it afterwards; one that cannot be written down is
not done. What an option says that may be a secret is left out.
"""

import contextlib
import itertools
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.concealing import MASK
from gateway.errors import ConfigError
from gateway.policies import ChainedFile, Rotation, without_keys
from gateway.state import StateAway

NAME = "acts.jsonl"
_SECRET = re.compile(r"--?[\w-]*(key|secret|token|password|sha256|digest|url)[\w-]*")
_ONE_CHAIN = Rotation(size=1 << 40, per="never")


def place(config: Path) -> Path:
    """Where the acts on the configuration file *config* are written down: where the gateway keeps its own."""
    return config.resolve().parent / "var" / NAME


def who(alias: str = "") -> dict[str, Any]:
    """The user at the keyboard, as far as the machine knows; *alias* is who they say they are."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container
        user = str(uid)
    sudo = os.environ.get("SUDO_USER", "")
    return {"user": user, "uid": uid} | ({"sudo_user": sudo} if sudo else {}) | ({"as": alias} if alias else {})


def without_secrets(words: list[str]) -> list[str]:
    """The command line with the values of options that may be secrets hidden."""
    shown = []
    for before, word in itertools.pairwise(["", *words]):
        name, equals, _ = word.partition("=")
        if _SECRET.fullmatch(before):
            shown.append(MASK)
        elif equals and _SECRET.fullmatch(name):
            shown.append(f"{name}={MASK}")
        else:
            shown.append(without_keys(word))
    return shown


@contextlib.contextmanager
def noted(config: Path, words: list[str], alias: str = "") -> Iterator[None]:
    """The act that *words* ask for is done within. Raises ConfigError when it cannot be written down."""
    chain = ChainedFile(place(config), _ONE_CHAIN)
    entry = {"act": " ".join(words[:2]), "words": without_secrets(words[2:]), **who(alias)}
    try:
        try:
            chain.append({"event": "asked", **entry})
        except (OSError, StateAway) as error:
            raise ConfigError([f"{chain.path}: what is not written down is not done: {error}"]) from None
        outcome = "failed"
        try:
            yield
            outcome = "done"
        except SystemExit as ending:
            outcome = "failed" if ending.code else "done"
            raise
        finally:
            chain.append({"event": outcome, **entry})
    finally:
        chain.close()
