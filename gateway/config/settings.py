"""Everything that may stand in gateway.yaml, and nothing else (what stands under `providers:` in provider_settings)."""

from dataclasses import dataclass
from typing import Any

from gateway.config.checker import option
from gateway.config.forms import Auth, ModelNames, PluginUse, ProviderOptions, RouteEntries
from gateway.config.kinds import (
    Address,
    CertificateName,
    ChannelKey,
    Fingerprint,
    HttpUrl,
    Moment,
    Network,
    Seconds,
    Secret,
    Sha256,
    Size,
)
from gateway.config.origins import MediaHosts
from gateway.config.provider_settings import BodyEdits, ProviderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a call finds its channel, and how long it may take."""

    strategy: str = option(
        "order inside one priority", "weighted", choices=("weighted", "least_busy", "fastest", "cheapest")
    )
    sticky: bool = option("prefer the channel that served a conversation's last call", False)
    retries: int = option("further attempts after the first one failed", 3, least=0)
    retry_on: list[int] = option("statuses tried elsewhere beside the usual ones (504 and 524 may be billed twice)", [])
    deadline: Seconds = option("seconds a call may spend on finding a channel that answers", Seconds(600))
    queue: float = option("seconds to wait when all channels are full", 5, least=0)
    hedge_after: float = option("seconds until a second channel is asked for a whole reply, too; 0: never", 0, least=0)
    commit_after: Seconds = option(
        "seconds a streamed call waits for its first event before its headers leave anyway", Seconds(20)
    )
    keepalive: Seconds = option("seconds of silence between two keep-alive comments in a stream", Seconds(15))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a channel may take, in seconds."""

    connect: Seconds = option("for the connection, TLS included", Seconds(5))
    first_event: Seconds = option("from the request's end to the first event or the whole reply's headers", Seconds(60))
    idle: Seconds = option("between two pieces of an answer", Seconds(120))
    total: Seconds = option("for one attempt from its beginning to its end", Seconds(1800))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """How long a client may take, in seconds. The head of its request has 20."""

    body: Seconds = option("to send a request's body; each 16 KB of it earn a further second", Seconds(60))
    unread: Seconds = option("for which it may take nothing of its reply, until it is cut off", Seconds(300))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a channel's TLS connections are made."""

    ca: str | None = option("file of CA certificates to trust instead of the usual ones", None)
    cert: str | None = option("file of the client certificate", None)
    key: str | None = option("file of the client certificate's key", None)
    fingerprint: Fingerprint | None = option("SHA-256 of the only certificate that is taken", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderEdits:
    """Changes to the headers sent upstream."""

    set: dict[str, str] = option("headers to add or replace", {})
    unset: list[str] = option("headers to leave out", [])
    forward: list[str] = option("the client's headers to pass on beside the usual ones", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When a channel that fails is left alone."""

    enabled: bool = option("whether failures are held against channels at all", True)
    cool_down: Seconds = option("seconds after a first failure; doubled with each further one", Seconds(2))
    longest: Seconds = option("most seconds it is left alone without having asked for it", Seconds(300))
    trips: int = option("failures in a row that open a channel's circuit", 5, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLimits:
    """Most that one account, and each of its keys, takes."""

    rpm: int | None = option("calls a minute", None, least=0)
    tpm: int | None = option("tokens a minute", None, least=0)
    concurrency: int | None = option("calls under way at once", None, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Most calls and tokens in a span, and most calls at a time."""

    rpm: int | None = option("calls a minute", None, least=0)
    rph: int | None = option("calls an hour", None, least=0)
    rpd: int | None = option("calls a day", None, least=0)
    tpm: int | None = option("tokens a minute", None, least=0)
    tph: int | None = option("tokens an hour", None, least=0)
    tpd: int | None = option("tokens a day", None, least=0)
    concurrency: int | None = option("calls under way at once", None, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Rates):
    """Most that one key, or one team, may use."""

    models: dict[str, Rates] = option("the same for single models, by name or glob", {})
    mode: str = option("observe: count and report, but never refuse", "enforce", choices=("enforce", "observe"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most that one key, or one team, may spend."""

    usd: float | None = option("US dollars", None, least=0)
    tokens: int | None = option("tokens", None, least=0)
    per: str = option("span of time, in UTC", "month", choices=("day", "month", "total"))
    mode: str = option("observe: count and report, but never refuse", "enforce", choices=("enforce", "observe"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSettings:
    """What the keys of one team may use together."""

    name: str = option("named by keys")
    limits: Limits | None = option("most it may use", None)
    budget: Budget | None = option("most it may spend", None)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One upstream account."""

    name: str = option("unique name, shown in x-gateway-channel")
    provider: str = option("vendor: a shipped one, one of `providers:`, or a plugin's")
    key: Secret | None = option("the account's key", None)
    keys: list[ChannelKey] = option("several keys of the account: secrets, or {key: secret, weight: 2}", [])
    base_url: HttpUrl | None = option("address instead of the provider's", None)
    models: ModelNames = option("names, globs, or {public name: upstream name}", ModelNames.everything())
    priority: int = option("higher first", 0)
    weight: int = option("share of the calls inside one priority; 0 only when nothing else is left", 1, least=0)
    enabled: bool = option("false takes the channel out", True)
    auth: Auth | None = option("how the key is sent, instead of the provider's way", None)
    tags: list[str] = option("words that keys and clients choose channels by", [])
    timeout: Timeouts = option("how long the channel may take", Timeouts())
    proxy: str | None = option("http proxy for this channel", None)
    tls: Tls | None = option("certificates", None)
    headers: HeaderEdits = option("changes to headers", HeaderEdits())
    body: BodyEdits = option("changes to the JSON body", BodyEdits())
    limits: ChannelLimits | None = option("most the account takes", None)
    key_limits: ChannelLimits | None = option("most each of its keys takes", None)
    context: dict[str, int] = option("most tokens a model reads, by its name here or a glob", {})
    options: ProviderOptions = option("what the provider itself wants to know", ProviderOptions())
    strict: bool = option("refuse what a translation cannot carry instead of dropping it", False)
    fetch: MediaHosts = option("hosts that media is fetched from which clients name by URL", MediaHosts())
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """One client key."""

    name: str = option("who it belongs to; shown in logs")
    key: Secret | None = option("the key itself (better: its sha256)", None)
    sha256: Sha256 | None = option("hexadecimal SHA-256 of the key", None)
    certificates: list[CertificateName] = option("client certificates, verified by one of `certificate_proxies`", [])
    models: list[str] = option("names or globs of models it may use; none given: all", [])
    allow_ips: list[Network] = option("addresses it may come from; none given: all", [])
    expires: Moment | None = option("when it ends", None)
    tags: list[str] = option("only channels that have all of these serve it", [])
    show_route: bool = option("name the attempts of each call in its reply (x-gateway-route)", False)
    show_timing: bool = option("tell in each reply where its time went (server-timing)", False)
    may_choose: bool = option("whether it may choose channels (x-gateway-channel, x-gateway-tags)", True)
    owner: str = option("whose it is, for reports", "")
    team: str = option("whose limits and budget it shares", "")
    limits: Limits | None = option("most it may use", None)
    budget: Budget | None = option("most it may spend", None)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole file."""

    max_body: Size = option("largest request body, packed or unpacked", Size(64 * 10**6))
    trusted_proxies: list[Network] = option("who may say X-Forwarded-For; none given: loopback", [])
    certificate_proxies: list[Address] = option(
        "who may say by X-Client-* whose certificate a client has shown; none given: loopback", []
    )
    client_timeout: ClientTimeouts = option("how long a client may take", ClientTimeouts())
    store: Secret | None = option("database of keys and ledger: sqlite:///path or postgresql+psycopg://...", None)
    state: Secret | None = option("rates, slots and health shared by all: sqlite:///path or redis://...", None)
    prices: str | None = option("file of prices beside the shipped ones, beside this file", None)
    plugins: list[PluginUse] = option("gateway plugins, in the order of their hooks", [])
    plugins_dir: str | None = option("folder of the operator's own plugins, beside this file", None)
    watch: bool = option("reload when this file changes", False)
    routing: Routing = option("how a call finds its channel", Routing())
    health: Health = option("when a channel that fails is left alone", Health())
    providers: dict[str, ProviderSettings] = option("vendors without code", {})
    routes: dict[str, RouteEntries] = option("public name -> channel/model, in order", {})
    channels: list[ChannelSettings] = option("upstream accounts")
    teams: list[TeamSettings] = option("what keys use together", [])
    keys: list[KeySettings] = option("client keys; none: loopback clients only", [])

    @property
    def store_url(self) -> str | None:
        """With its password, if it has one."""
        return self.store.reveal() if self.store else None

    @property
    def state_url(self) -> str | None:
        """With its password, if it has one."""
        return self.state.reveal() if self.state else None


def raw_options(settings: Any) -> dict[str, Any]:
    """``plugins:`` as {name: options node}."""
    return {use.name: use.options for use in settings.plugins}
