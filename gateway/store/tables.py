"""The tables, as they are now. migrations/ has how they came to be, and a test that both agree.

Times are microseconds since 1970 (UTC), money is micro-USD.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()


def _texts(*names: str) -> list[Column]:
    return [Column(name, Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[Column]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _if_known(*names: str) -> list[Column]:
    return [Column(name, BigInteger) for name in names]


# The key's rights stand in `settings`, as JSON of the same form as one of `keys:` in gateway.yaml, and
# are read by the same checker; what is searched for has columns.
keys = Table(
    "keys", metadata,
    Column("name", Text, primary_key=True),
    *_texts("owner", "team", "settings", "note"),
    *_numbers("created"),
    *_if_known("expires", "revoked"),
    Index("keys_by_team", "team"),
    Index("keys_by_owner", "owner"),
)  # fmt: skip

# The secrets of a key: the present one, and those of before that have not ended yet.
secrets = Table(
    "secrets", metadata,
    Column("digest", Text, primary_key=True),
    Column("key", Text, ForeignKey("keys.name"), nullable=False),
    *_texts("prefix"),
    *_numbers("created"),
    *_if_known("until"),
    Index("secrets_by_key", "key"),
)  # fmt: skip

teams = Table(
    "teams", metadata,
    Column("name", Text, primary_key=True),
    *_texts("settings", "note"),
    *_numbers("created"),
)  # fmt: skip

# What was changed, for the workers, which look at it all the time. Numbers have no gaps and become
# visible in order: whoever writes one holds the row of the newest until it is committed.
changes = Table(
    "changes", metadata,
    Column("number", BigInteger, primary_key=True),
    *_numbers("at"),
    *_texts("kind", "name"),  # kinds are key, team, all
)  # fmt: skip

newest_change = Table("newest_change", metadata, *_numbers("number"))

schema_version = Table(
    "schema_version", metadata,
    Column("version", Integer, primary_key=True),
    *_texts("name", "release"),
    *_numbers("at"),
)  # fmt: skip

# Tokens by kind, as in gateway.usage.
TOKENS = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "input_audio", "output_audio", "reasoning",
)  # fmt: skip

calls = Table(
    "calls", metadata,
    Column("id", Text, primary_key=True),
    *_texts("request_id"),
    *_numbers("at"),
    *_texts(
        "key", "team", "channel", "provider", "public_model", "upstream_model", "dialect", "operation", "outcome",
        "error", "tried", "source", "machine", "worker",
    ),
    Column("status", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    *_if_known(*TOKENS, "images", "seconds", "cost", "first_event"),
    *_numbers("queued", "total", "bytes_out"),
    Index("calls_by_time", "at"),
    Index("calls_by_key", "key", "at"),
    Index("calls_by_model", "public_model", "at"),
)  # fmt: skip

# Sums of `calls`, kept in the transaction that writes those: reports over millions of rows read these.
# A `day` is 2026-11-21 (UTC); `unmetered` and `unpriced` are calls whose tokens, whose cost is not known.
_DAYS_OF = ("day", "key", "team", "channel", "provider", "public_model", "dialect", "outcome")
days = Table(
    "days", metadata,
    *(Column(name, Text, primary_key=True) for name in _DAYS_OF),
    *_numbers("calls", "attempts", *TOKENS, "unmetered", "cost", "unpriced", "total", "bytes_out"),
    Index("days_by_key_and_model", "key", "public_model"),  # so that the usual report needs no sorting
)  # fmt: skip
