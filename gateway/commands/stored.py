"""What the commands about the store share."""

import contextlib
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.commands import found_config
from gateway.config import read_settings
from gateway.config.document import Complaints, read_document, read_text
from gateway.config.settings import Settings
from gateway.errors import ConfigError
from gateway.store import StoreAway, clock, open_store
from gateway.store.documents import plain
from gateway.store.keys import is_name

json_option = click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration's settings, and its store."""

    settings: Settings
    store: Any

    def team_names(self) -> list[str]:
        """Of the file and of the store."""
        declared = [team.name for team in self.settings.teams if team]
        return sorted({*declared, *(team.name for team in self.store.teams.each())})


@contextlib.contextmanager
def opened(config: Path | None) -> Iterator[Configured]:
    """The store of a configuration; a store that is away ends the command. Raises ConfigError when the
    file names none. What else is wrong with the file is none of our business: whoever keeps the keys
    need not have the vendors' secrets in their environment."""
    path = found_config(config)
    settings, complaints = read_settings(path, read_text(path))
    about_it = [line for line in complaints.lines if ": store: " in line]
    if about_it or not settings.store:
        raise ConfigError(about_it or complaints.lines or [f"{path}: there is no `store:` in it"])
    store = open_store(settings.store_url, path.resolve().parent)
    try:
        yield Configured(settings, store)
    except StoreAway as error:
        raise click.ClickException(error.reason) from None
    finally:
        store.close()


class Mapping(click.ParamType):
    """A mapping as gateway.yaml has it: ``{rpm: 60, concurrency: 4}``."""

    name = "yaml"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            node = read_document(value, {}, Complaints("value"))
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(node.value, dict):
            self.fail(f"expected a mapping such as '{{rpm: 60}}', found {value!r}", param, ctx)
        return plain(node)


class Span(click.ParamType):
    """A span of time: ``24h``, ``30d``, ``90s``."""

    name = "span"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        found = _SPAN.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self.fail(f"expected a span of time such as 24h or 30d, found {value!r}", param, ctx)
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


class Ending(Span):
    """A date, a time, or a span from now on."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if _SPAN.fullmatch(value):
            return datetime.now(UTC) + super().convert(value, param, ctx)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"expected a date such as 2027-01-01 or a span such as 90d, found {value!r}", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shown(micros: int | None) -> str | None:
    """A time of the store as people read it, UTC."""
    return None if micros is None else clock.moment(micros).strftime("%Y-%m-%d %H:%M:%SZ")


def inline(value: Any) -> str:
    """Data on one line, as it may be given to an option again."""
    return json.dumps(value, ensure_ascii=False)


def show_document(document: dict[str, Any], as_json: bool) -> None:
    """All of a key or a team: a member a line, or one JSON document."""
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for member, value in document.items():
        click.echo(f"{member}: {value if isinstance(value, str) else inline(value)}")


def check_name(name: str) -> None:
    if not is_name(name):
        raise click.UsageError(f"expected a name without spaces, of at most 128 characters, found {name!r}")


def check_team(configured: Configured, name: str) -> None:
    """A key of a team that is nowhere would go without its limits."""
    names = configured.team_names() if name else [name]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.6)
        hint = f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names) or 'none'}"
        raise click.UsageError(f"no team is called {name!r}{hint}")
