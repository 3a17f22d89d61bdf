"""Which commands are acts: those that change what the gateway does, or what its books say.

Nothing is imported here, as the command line looks here before each command.
"""

ACTS = {
    "keys": ("create", "set", "revoke", "rotate", "import"),
    "teams": ("create", "set", "remove"),
    "budget": ("set", "recount"),
    "channels": ("rest", "wake"),
    "ledger": ("reconcile",),
    "db": ("upgrade",),
}


def is_act(words: list[str]) -> bool:
    """Whether the command line *words* (without the program) asks for an act."""
    return len(words) > 1 and words[1] in ACTS.get(words[0], ()) and "--help" not in words
