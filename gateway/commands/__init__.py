"""One module a command, each with a ``command``; cli.py finds them by name."""

from pathlib import Path

import click

# Beside this package in a checkout, inside it when installed.
_SHIPPED = Path(__file__).resolve().parent.parent / "conf" / "gateway.yaml"

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="Configuration file.  [env: GATEWAY_CONFIG; default: conf/gateway.yaml, else the shipped demo]",
)


def found_config(config: Path | None) -> Path:
    """The file to use: the one given, the checkout's, or the shipped demo."""
    if config is not None:
        return config
    local = Path("conf") / "gateway.yaml"
    return local if local.is_file() else _SHIPPED
