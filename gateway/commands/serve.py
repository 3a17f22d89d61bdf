"""``gateway serve``"""

import ipaddress
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.config import read_settings
from gateway.config.document import read_text
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
@click.option("--access-log", is_flag=True, help="gunicorn's access log on standard output (?key= is scrubbed).")
def command(config: Path | None, bind: str, access_log: bool, **options: Any) -> None:
    """Serve the gateway with gunicorn.

    SIGHUP reloads the configuration in place; SIGTERM lets open streams finish.

    Example: gateway serve --config conf/gateway.yaml --bind 127.0.0.1:8080 --workers 2
    """
    path = found_config(config).absolute()
    settings, complaints = read_settings(path, read_text(path))
    complaints.raise_any()
    if not settings.keys and not _stays_here(bind):
        raise click.UsageError(f"without client keys (`keys:` in {path}) it binds to loopback only, not {bind}")
    if access_log:
        options["accesslog"] = "-"
    Server(path, {"bind": bind, **options}).run()


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
