"""The ledger under fire: 5,000 calls, workers killed at random, the database away for 20 seconds.

    python -m benchmarks.ledger_soak [--calls 5000] [--away 20] [--sqlite]

Runs the live test of the ledger at that size, on PostgreSQL or on SQLite (which cannot be away).
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST = "tests/live/test_live_ledger.py::test_the_ledger_equals_the_upstreams_own_log"


def main() -> None:
    parser = argparse.ArgumentParser(description="Every call in the ledger, whoever is killed.")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--away", type=float, default=20.0, help="least seconds without the database")
    parser.add_argument("--kills", type=int, default=40, help="of workers")
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    kind = "sqlite-gthread" if options.sqlite else "postgresql-gevent"
    size = {"LEDGER_CALLS": options.calls, "LEDGER_AWAY": options.away, "LEDGER_KILLS": options.kills}
    command = [sys.executable, "-m", "pytest", "-q", "--durations=1", f"{TEST}[{kind}]"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {name: str(value) for name, value in size.items()})
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
