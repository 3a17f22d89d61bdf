"""Registers a command that the gateway has."""

from gateway import hookimpl


@hookimpl
def register_commands(cli):
    @cli.command("check")
    def check():
        """Never called."""
