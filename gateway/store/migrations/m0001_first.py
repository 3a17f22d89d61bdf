"""Keys, teams, and the ledger's rows and sums."""

NAME = "first"
STATEMENTS = (
    """CREATE TABLE schema_version (
        version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL, release TEXT NOT NULL)""",
    """CREATE TABLE keys (
        name TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, team TEXT NOT NULL, settings TEXT NOT NULL,
        note TEXT NOT NULL, created BIGINT NOT NULL, expires BIGINT, revoked BIGINT)""",
    "CREATE INDEX keys_by_team ON keys (team)",
    "CREATE INDEX keys_by_owner ON keys (owner)",
    """CREATE TABLE secrets (
        digest TEXT NOT NULL PRIMARY KEY, "key" TEXT NOT NULL REFERENCES keys (name), prefix TEXT NOT NULL,
        created BIGINT NOT NULL, until BIGINT)""",
    'CREATE INDEX secrets_by_key ON secrets ("key")',
    """CREATE TABLE teams (
        name TEXT NOT NULL PRIMARY KEY, settings TEXT NOT NULL, note TEXT NOT NULL, created BIGINT NOT NULL)""",
    """CREATE TABLE changes (
        number BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL)""",
    "CREATE TABLE newest_change (number BIGINT NOT NULL)",
    "INSERT INTO newest_change (number) VALUES (1)",
    "INSERT INTO changes (number, at, kind, name) VALUES (1, 0, 'all', '')",
    """CREATE TABLE calls (
        id TEXT NOT NULL PRIMARY KEY, request_id TEXT NOT NULL, at BIGINT NOT NULL, "key" TEXT NOT NULL,
        team TEXT NOT NULL, channel TEXT NOT NULL, provider TEXT NOT NULL, public_model TEXT NOT NULL,
        upstream_model TEXT NOT NULL, dialect TEXT NOT NULL, operation TEXT NOT NULL, status INTEGER NOT NULL,
        outcome TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, tried TEXT NOT NULL,
        input BIGINT, output BIGINT, cached BIGINT, cache_write BIGINT, cache_write_1h BIGINT, input_audio BIGINT,
        output_audio BIGINT, reasoning BIGINT, images BIGINT, seconds BIGINT, source TEXT NOT NULL, cost BIGINT,
        queued BIGINT NOT NULL, first_event BIGINT, total BIGINT NOT NULL, bytes_out BIGINT NOT NULL,
        machine TEXT NOT NULL, worker TEXT NOT NULL)""",
    "CREATE INDEX calls_by_time ON calls (at)",
    'CREATE INDEX calls_by_key ON calls ("key", at)',
    "CREATE INDEX calls_by_model ON calls (public_model, at)",
    """CREATE TABLE days (
        day TEXT NOT NULL, "key" TEXT NOT NULL, team TEXT NOT NULL, channel TEXT NOT NULL, provider TEXT NOT NULL,
        public_model TEXT NOT NULL, dialect TEXT NOT NULL, outcome TEXT NOT NULL, calls BIGINT NOT NULL,
        attempts BIGINT NOT NULL, input BIGINT NOT NULL, output BIGINT NOT NULL, cached BIGINT NOT NULL,
        cache_write BIGINT NOT NULL, cache_write_1h BIGINT NOT NULL, input_audio BIGINT NOT NULL,
        output_audio BIGINT NOT NULL, reasoning BIGINT NOT NULL, unmetered BIGINT NOT NULL, cost BIGINT NOT NULL,
        unpriced BIGINT NOT NULL, total BIGINT NOT NULL, bytes_out BIGINT NOT NULL,
        PRIMARY KEY (day, "key", team, channel, provider, public_model, dialect, outcome))""",
    'CREATE INDEX days_by_key ON days ("key", day)',
)
