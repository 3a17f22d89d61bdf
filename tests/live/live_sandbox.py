"""``python live_sandbox.py UNIT PROGRAM ...``: runs it with the system calls that a systemd unit leaves it, no others.

It is what systemd does with ``SystemCallFilter=``, by the same library (seccomp), without being root.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

_FAIL, _ALLOW = 0x00050000, 0x7FFF0000  # SCMP_ACT_ERRNO, SCMP_ACT_ALLOW of seccomp.h


def calls_of(unit):
    """The system calls that the text of a unit leaves (systemd.exec(5))."""
    left = set(_group("@default"))
    for value in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = {call for name in value.removeprefix("~").split() for call in _group(name)}
        left = left - named if value.startswith("~") else left | named
    return left


def _group(name):
    if not name.startswith("@"):
        return [name]
    told = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name],
                          capture_output=True, text=True, check=True, timeout=30)  # fmt: skip
    members = [line.strip() for line in told.stdout.splitlines()[1:]]
    return [call for member in members if member and member[0] != "#" for call in _group(member)]


def lock_up(calls):
    """From now on this process and its children have no other system calls. Raises OSError."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = library.seccomp_init(_FAIL | errno.EPERM)
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # others are of other machines
            _good(library.seccomp_rule_add(rules, _ALLOW, number, 0))
    _good(library.seccomp_load(rules))


def _good(code):
    if code:
        raise OSError(-code, os.strerror(-code))


if __name__ == "__main__":
    lock_up(calls_of(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])
