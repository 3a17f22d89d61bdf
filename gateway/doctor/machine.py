"""Files, workers and the clock of this machine."""

import ctypes
import importlib.util
import os
import resource
import stat
from collections.abc import Sequence
from pathlib import Path

from gateway.config.settings import Settings
from gateway.doctor.findings import Finding, failed, ok, skipped, warning
from gateway.doctor.processes import Running
from gateway.serving import SETTINGS

_SPARE = 200  # descriptors of a worker beside its calls: libraries, logs, state and store
_UNSYNCHRONIZED = 0x40  # STA_UNSYNC of adjtimex(2)


def check_files(masters: Sequence[Running]) -> Finding:
    """A call holds two descriptors of its worker: the client's and the upstream's."""
    files = min((each.files for each in masters), default=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if files < 0:
        files = 2**63
    threads = max((each.threads for each in masters if each.worker_class == "gthread"), default=0)
    gevent = not masters or any(each.worker_class == "gevent" for each in masters)
    calls = SETTINGS["worker_connections"] if gevent else threads
    needed = 2 * calls + _SPARE
    whose = "a worker" if masters else "this shell"
    if files >= needed:
        return ok("files", f"{whose} may open {files} files, {needed} are needed", limit=files, needed=needed)
    held = max(files - _SPARE, 0) // 2
    return failed(
        "files",
        f"{whose} may open {files} files: enough for {held} streams, but a worker takes {calls}",
        "systemd: LimitNOFILE=65536 (conf/gateway.service); Docker: --ulimit nofile=65536; a shell: ulimit -n 65536",
        limit=files,
        needed=needed,
    )


def check_running(masters: Sequence[Running]) -> list[Finding]:
    """Whether a gateway serves this configuration, as whom, and with which workers."""
    if not masters:
        return [
            skipped(
                "running",
                "no running `gateway serve` of this configuration is to be seen; limits are those of this shell",
                "start it, and run this as its user in the same container (or as root)",
            )
        ]
    found = []
    for each in masters:
        facts = {"pid": each.pid, "user": each.user, "bind": each.bind, "worker_class": each.worker_class}
        text = f"process {each.pid} serves this configuration on {each.bind} with {each.worker_class} workers"
        if each.user == 0:
            remedy = "run it as a user of its own, as conf/gateway.service and the Dockerfile do"
            found.append(warning("running", f"{text}, as root", remedy, **facts))
        else:
            found.append(ok("running", text, **facts))
    return found


def check_certificates(settings: Settings, masters: Sequence[Running]) -> list[Finding]:
    """Whether only a proxy can say whose certificate a client has shown; nothing where that gives nobody rights."""
    if not any(key and key.certificates for key in settings.keys):
        return []
    vouching, given = settings.certificate_proxies, ", ".join(map(str, settings.certificate_proxies))
    open_to_all = [each.bind for each in masters if _any_program_connects(each.bind)]
    if open_to_all and (not vouching or any(network.is_loopback for network in vouching)):
        said = f"any program of this machine can connect to {', '.join(open_to_all)} and say whose certificate it has"
        return [warning("certificates", said, "a Unix socket that only nginx may open (conf/gateway.socket)")]
    return [ok("certificates", f"believed from {given or 'this machine'} and from a Unix socket")]


def _any_program_connects(bind: str) -> bool:
    """A Unix socket may be written by those whom its mode and its folder let; gunicorn's own is open to all."""
    if not bind.startswith("unix:"):
        return True
    socket = Path(bind.removeprefix("unix:"))
    return bool(socket.stat().st_mode & stat.S_IWOTH and socket.parent.stat().st_mode & stat.S_IXOTH)


def check_workers(masters: Sequence[Running]) -> Finding:
    threads = [each for each in masters if each.worker_class == "gthread"]
    if threads:
        return warning(
            "workers",
            f"gthread workers hold {threads[0].threads} calls each, and stall with many streams",
            "take --worker-class gevent, unless a plugin cannot live with it",
            threads=threads[0].threads,
        )
    if importlib.util.find_spec("gevent") is None:
        return failed("workers", "gevent is not installed here", "pip install gevent, into this environment")
    return ok("workers", f"gevent is there; a worker takes {SETTINGS['worker_connections']} connections")


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is looked at."""

    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 256),
    ]  # fmt: skip


def check_clock() -> Finding:
    """Whether something keeps the machine's clock right, by what the kernel was told."""
    asked = _Timex(modes=0)  # 0: only look
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.adjtimex(ctypes.byref(asked)) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except (OSError, AttributeError) as error:
        said = getattr(error, "strerror", None) or "no adjtimex here"
        return skipped("clock", f"the kernel does not tell ({said})", "look at the host: timedatectl")
    if asked.status & _UNSYNCHRONIZED:
        return warning(
            "clock",
            "nothing keeps the clock right: keys that expire, tokens and budgets go by it",
            "install chrony or systemd-timesyncd on the machine (a container's clock is its host's)",
        )
    worst = asked.maxerror / 1e6
    return ok("clock", f"synchronized, at most {worst:.3f} s off", most_seconds_off=worst)
