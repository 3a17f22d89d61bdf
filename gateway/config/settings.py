"""Everything that may stand in gateway.yaml, and nothing else."""

from dataclasses import dataclass
from typing import Any

from gateway.config.checker import option
from gateway.config.forms import Auth, DialectPaths, ModelNames, PluginUse, RouteEntries
from gateway.config.kinds import AnyJson, HttpUrl, Moment, Network, Seconds, Secret, Sha256, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a call finds its channel, and how long it may take."""

    strategy: str = option("order inside one priority", "weighted", choices=("weighted",))
    retries: int = option("further attempts after the first one failed", 3, least=0)
    deadline: Seconds = option("seconds a call may spend on finding a channel that answers", Seconds(600))
    queue: float = option("seconds to wait when all channels are full", 5, later=True, least=0)
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
class Tls:
    """How a channel's TLS connections are made."""

    ca: str | None = option("file of CA certificates to trust instead of the usual ones", None)
    cert: str | None = option("file of the client certificate", None)
    key: str | None = option("file of the client certificate's key", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderEdits:
    """Changes to the headers sent upstream."""

    set: dict[str, str] = option("headers to add or replace", {})
    unset: list[str] = option("headers to leave out", [])
    forward: list[str] = option("the client's headers to pass on beside the usual ones", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEdits:
    """Changes to the JSON body sent upstream, by JSON Pointer; all other bytes stay."""

    set: dict[str, AnyJson] = option("members to add or replace", {})
    unset: list[str] = option("members to take out", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Most calls, tokens and open calls at a time."""

    rpm: int | None = option("calls a minute", None, later=True, least=0)
    tpm: int | None = option("tokens a minute", None, later=True, least=0)
    concurrency: int | None = option("calls under way at once", None, later=True, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most money a key may spend."""

    usd: float = option("US dollars", least=0)
    per: str = option("span of time", "month", choices=("day", "month", "total"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """A vendor without code."""

    dialects: DialectPaths = option("dialect -> path of its generate operation")
    base_url: HttpUrl | None = option("where the vendor's API lives; a channel may name another", None)
    auth: Auth = option("how a key is sent", Auth("bearer"))
    dialect_auth: dict[str, Auth] = option("dialect -> how a key is sent there, where it differs", {})
    operations: list[str] = option("operations beside generate that are passed through", [])
    headers: dict[str, str] = option("headers sent with every request", {})
    traits: list[str] = option("what the vendor demands beside the dialect", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One upstream account."""

    name: str = option("unique name, shown in x-gateway-channel")
    provider: str = option("vendor: a shipped one, one of `providers:`, or a plugin's")
    key: Secret | None = option("the account's key", None)
    keys: list[Secret] = option("several keys of the account, used in turn", [])
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
    limits: Limits | None = option("most the account takes", None)
    options: dict[str, AnyJson] = option("what the provider itself wants to know", {})
    strict: bool = option("refuse what a translation cannot carry instead of dropping it", False)
    fetch: bool = option("fetch media that clients name by URL, for a target that must have bytes", True)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """One client key."""

    name: str = option("who it belongs to; shown in logs")
    key: Secret | None = option("the key itself (better: its sha256)", None)
    sha256: Sha256 | None = option("hexadecimal SHA-256 of the key", None)
    models: list[str] = option("names or globs of models it may use; none given: all", [])
    allow_ips: list[Network] = option("addresses it may come from; none given: all", [])
    expires: Moment | None = option("when it ends", None)
    tags: list[str] = option("only channels that have all of these serve it", [])
    show_route: bool = option("name the attempts of each call in its reply (x-gateway-route)", False)
    limits: Limits | None = option("most it may use", None)
    budget: Budget | None = option("most it may spend", None, later=True)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole file."""

    max_body: Size = option("largest request body, packed or unpacked", Size(64 * 10**6))
    trusted_proxies: list[Network] = option("who may say X-Forwarded-For; none given: loopback", [])
    store: str | None = option("database of keys and ledger", None, later=True)
    state: str | None = option("rates, slots and health shared by all workers", None, later=True)
    plugins: list[PluginUse] = option("gateway plugins, in the order of their hooks", [])
    plugins_dir: str | None = option("folder of the operator's own plugins, beside this file", None)
    watch: bool = option("reload when this file changes", False)
    routing: Routing = option("how a call finds its channel", Routing())
    providers: dict[str, ProviderSettings] = option("vendors without code", {})
    routes: dict[str, RouteEntries] = option("public name -> channel/model, in order", {})
    channels: list[ChannelSettings] = option("upstream accounts")
    keys: list[KeySettings] = option("client keys; none: loopback clients only", [])


def raw_options(settings: Any) -> dict[str, Any]:
    """``plugins:`` as {name: options node}."""
    return {use.name: use.options for use in settings.plugins}
