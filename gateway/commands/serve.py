"""``gateway serve``"""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.config import keep_settings, read_settings
from gateway.config.document import read_text
from gateway.config.settings import Settings
from gateway.serving import DEFAULT_BIND, Server


@click.command("serve")
@config_option
@click.option("--bind", default=DEFAULT_BIND, envvar="GATEWAY_BIND", show_default=True, help="HOST:PORT or unix:PATH.")
@click.option("--workers", default=2, envvar="GATEWAY_WORKERS", show_default=True, help="Worker processes.")
@click.option(
    "--worker-class", default="gevent", envvar="GATEWAY_WORKER_CLASS", show_default=True,
    type=click.Choice(["gevent", "gthread"]), help="gevent holds thousands of streams, gthread `threads` of them.",
)  # fmt: skip
@click.option("--threads", default=64, show_default=True, help="Calls at once in a gthread worker.")
@click.option("--graceful-timeout", default=3600, show_default=True, help="Seconds open streams get after SIGTERM.")
@click.option("--trace-plugins", is_flag=True, help="Log each call of a plugin's hook, with its time.")
@click.option("--access-log", is_flag=True, help="gunicorn's access log on standard output (?key= is scrubbed).")
def command(config: Path | None, bind: str, access_log: bool, trace_plugins: bool, **options: Any) -> None:
    """Serve the gateway with gunicorn.

    SIGHUP reloads the configuration in place; SIGTERM lets open streams finish.

    Example: gateway serve --config conf/gateway.yaml --bind 127.0.0.1:8080 --workers 2
    """
    path = found_config(config).absolute()
    text = read_text(path)
    settings, complaints = read_settings(path, text)
    complaints.raise_any()
    keep_settings(path, text, (settings, complaints))
    if not (settings.keys or settings.store or _has_jwt(settings)) and not _stays_here(bind):
        raise click.UsageError(f"without client keys (`keys:` in {path}) it binds to loopback only, not {bind}")
    if settings.store:
        _check_store(path)
    if trace_plugins:
        os.environ["GATEWAY_TRACE_PLUGINS"] = "1"  # the workers look there
    if access_log:
        options["accesslog"] = "-"
    Server(path, {"bind": bind, **options}).run()


def _has_jwt(settings: Settings) -> bool:
    return any(use and use.name == "jwt" for use in settings.plugins)


def _check_store(path: Path) -> None:
    """Says what is wrong with the database before any call meets it. In a process of its own: the
    master must not load what talks to it."""
    check = [sys.executable, "-m", "gateway", "db", "check", "--config", str(path)]
    done = subprocess.run(check, capture_output=True, text=True)
    if done.returncode:
        click.echo((done.stderr or done.stdout).strip(), err=True)


def _stays_here(bind: str) -> bool:
    if bind.startswith("unix:"):
        return True
    host = bind.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
