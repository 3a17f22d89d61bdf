"""The tables, as they are now. migrations/ has how they came to be, and a test that both agree.

Times are microseconds since 1970 (UTC), money is micro-USD.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()

# The key's rights stand in `settings`, as JSON of the same form as one of `keys:` in gateway.yaml, and
# are read by the same checker; what is searched for has columns.
keys = Table(
    "keys", metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Index("keys_by_team", "team"),
    Index("keys_by_owner", "owner"),
)  # fmt: skip

# The secrets of a key: the present one, and those of before that have not ended yet.
secrets = Table(
    "secrets", metadata,
    Column("digest", Text, primary_key=True),
    Column("key", Text, ForeignKey("keys.name"), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("until", BigInteger),
    Index("secrets_by_key", "key"),
)  # fmt: skip

teams = Table(
    "teams", metadata,
    Column("name", Text, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)  # fmt: skip

# What was changed, for the workers, which look at it all the time. Numbers have no gaps and become
# visible in order: whoever writes one holds the row of the newest until it is committed.
changes = Table(
    "changes", metadata,
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # key, team, all
    Column("name", Text, nullable=False),
)  # fmt: skip

newest_change = Table("newest_change", metadata, Column("number", BigInteger, nullable=False))

schema_version = Table(
    "schema_version", metadata,
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("release", Text, nullable=False),
)  # fmt: skip

# Tokens by kind, as in gateway.usage.
TOKENS = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "input_audio", "output_audio", "reasoning",
)  # fmt: skip

calls = Table(
    "calls", metadata,
    Column("id", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("public_model", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried", Text, nullable=False),
    *(Column(name, BigInteger) for name in (*TOKENS, "images", "seconds")),  # NULL: not known
    Column("source", Text, nullable=False),
    Column("cost", BigInteger),  # NULL: not known
    Column("queued", BigInteger, nullable=False),
    Column("first_event", BigInteger),
    Column("total", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("machine", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Index("calls_by_time", "at"),
    Index("calls_by_key", "key", "at"),
    Index("calls_by_model", "public_model", "at"),
)  # fmt: skip

# Sums of `calls`, kept in the transaction that writes those: reports over millions of rows read these.
days = Table(
    "days", metadata,
    Column("day", Text, primary_key=True),  # 2026-11-21, UTC
    Column("key", Text, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("public_model", Text, primary_key=True),
    Column("dialect", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in TOKENS),
    Column("unmetered", BigInteger, nullable=False),  # calls whose tokens are not known
    Column("cost", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),  # calls whose cost is not known
    Column("total", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Index("days_by_key", "key", "day"),
)  # fmt: skip
