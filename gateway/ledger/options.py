"""The plugin's options, which the bookkeeper reads, too."""

from dataclasses import dataclass
from pathlib import Path

from gateway.config import read_settings
from gateway.config.checker import Checker, option
from gateway.config.document import Complaints, Node, read_text
from gateway.config.kinds import Seconds, Secret, Size
from gateway.config.settings import Settings
from gateway.errors import ConfigError

NAME = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOptions:
    """How calls get into the ledger."""

    spool: str = option("folder of what is not in the store yet, beside the configuration", "var/spool")
    spool_limit: Size = option("most bytes of it, while the store is away; further calls are not recorded", Size(10**9))
    interval: Seconds = option("seconds between two transactions", Seconds(0.3))


def ledger_options(settings: Settings, complaints: Complaints) -> LedgerOptions:
    """What ``plugins:`` says of the ledger. Raises ConfigError."""
    use = next((use for use in settings.plugins if use and use.name == NAME), None)
    line = (use.options.line or use.line) if use else 1
    node = Node(line, dict(use.options) if use else {})
    options = Checker(complaints).read(LedgerOptions, node, f"plugins.{NAME}")
    complaints.raise_any()
    return options


@dataclass(frozen=True, slots=True)
class Configured:
    """What a configuration file says of the ledger. ``store`` is the database's URL, as a secret."""

    folder: Path
    store: Secret
    options: LedgerOptions

    @property
    def spool(self) -> Path:
        return self.folder / self.options.spool


def read_configured(config: Path) -> Configured:
    """Of the file *config*, with no plugin and no channel loaded. Raises ConfigError, also when it names no store."""
    settings, complaints = read_settings(config, read_text(config))
    complaints.raise_any()
    if not settings.store:
        raise ConfigError([f"{config}: without `store:` there is no ledger"])
    return Configured(config.resolve().parent, settings.store, ledger_options(settings, complaints))
