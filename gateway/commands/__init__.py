"""One module a command, each with a ``command``; cli.py finds them by name."""

from pathlib import Path

import click

_PACKAGE = Path(__file__).resolve().parent.parent
# Inside the package when installed, beside it in a checkout.
_SHIPPED = [folder / "conf" / "gateway.yaml" for folder in (_PACKAGE, _PACKAGE.parent)]

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
    return next((path for path in (local, *_SHIPPED) if path.is_file()), local)
