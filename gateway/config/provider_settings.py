"""What a vendor is declared by: the road to it, and what of a request and of its answers is different there."""

from dataclasses import dataclass, field

from gateway.config.checker import option
from gateway.config.forms import Auth, DialectPaths, Globs, HeaderRules, OperationPaths, Pattern, Pointer, Statuses
from gateway.config.kinds import AnyJson, HttpUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The calls that an edit is for; what is not said does not matter."""

    model: Globs | None = option("the model's name upstream", None)
    operation: Globs | None = option("generate, embeddings, ...", None)
    dialect: Globs | None = option("the dialect that the channel is spoken to in", None)
    stream: bool | None = option("whether a stream was asked for", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEdits:
    """Changes to the JSON body sent upstream, by JSON Pointer; all other bytes stay."""

    set: dict[str, AnyJson] = option("members to add or replace; values may hold ${channel.options.NAME}", {})
    unset: list[str] = option("members to take out", [])
    rename: dict[str, Pointer] = option("members to put elsewhere: old place -> new place", {})
    when: When | None = option("the calls that this is for; none given: all", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Least and greatest value of a parameter."""

    min: float | None = option("what is less becomes this", None)
    max: float | None = option("what is more becomes this", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Which members of a generate request the vendor takes; `x-gateway-dropped` names what is left out."""

    allowed: list[str] = option("members that it takes; none given: all", [])
    renamed: dict[str, str] = option("the dialect's name -> the vendor's", {})
    clamped: dict[str, Range] = option("member -> its least and greatest value", {})
    dropped: list[str] = option("members that it refuses", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAt:
    """Where a reply or an event says the usage, by JSON Pointer, if not where its dialect does."""

    input: Pointer | None = option("tokens read, cached ones included", None)
    output: Pointer | None = option("tokens written, reasoning included", None)
    cached: Pointer | None = option("of the input: read from a cache", None)
    cache_write: Pointer | None = option("of the input: written to a cache", None)
    cache_write_1h: Pointer | None = option("of those: kept for an hour", None)
    input_audio: Pointer | None = option("of the input: audio", None)
    output_audio: Pointer | None = option("of the output: audio", None)
    reasoning: Pointer | None = option("of the output: reasoning", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAt:
    """Where an error's words stand, by JSON Pointer, if not where the dialect has them."""

    message: Pointer | None = option("what went wrong", None)
    code: Pointer | None = option("the vendor's code", None)
    type: Pointer | None = option("the vendor's type", None)
    param: Pointer | None = option("the member at fault", None)
    retry_after: Pointer | None = option("seconds to wait", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """What an answer means; the first rule that fits counts. Without a status it is held against good ones too."""

    status: Statuses | None = option("HTTP statuses that it is for; none given: all", None)
    at: Pointer | None = option("JSON Pointer to a value that has to be there", None)
    equals: AnyJson | None = option("the value there", None)
    matches: Pattern | None = option("regular expression found in the value there, or in the body", None)
    then: str = option("what to do", choices=("retry", "rate_limited", "bad_key", "fatal"))
    seconds: float | None = option("rate_limited: how long; none given: as Retry-After says", None, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """A vendor without code."""

    dialects: DialectPaths = option("dialect -> path of its generate operation")
    base_url: HttpUrl | None = option("where the vendor's API lives; a channel may name another", None)
    auth: Auth = option("how a key is sent", Auth("bearer"))
    dialect_auth: dict[str, Auth] = option("dialect -> how a key is sent there, where it differs", {})
    operations: OperationPaths = option("operations beside generate that are passed through", OperationPaths())
    headers: HeaderRules = option("headers to add; or {set, unset, forward}", HeaderRules())
    body: list[BodyEdits] = option("changes to the JSON body, in order", [])
    parameters: Parameters = option("which members of a request it takes", Parameters())
    usage: UsageAt | None = option("where the usage stands", None)
    error: ErrorAt | None = option("where an error's words stand", None)
    errors: list[ErrorRule] = option("what its answers mean, where the status does not say it", [])
    end: str | None = option("data or name of its own terminal event, in a chat or messages stream", None)
    traits: list[str] = option("what the vendor demands beside the dialect", [])
    line: int = field(default=0, compare=False)
