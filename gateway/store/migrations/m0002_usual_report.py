"""The days' sums in the order of the usual report: by key and model."""

NAME = "usual report"
STATEMENTS = (
    "DROP INDEX days_by_key",
    'CREATE INDEX days_by_key_and_model ON days ("key", public_model)',
)
