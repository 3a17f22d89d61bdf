"""The gateway under gunicorn's own command."""

import sys
from pathlib import Path

from live_servers import CLIENT_KEY, UPSTREAM_KEY, Process, answers, free_port, until


class Gunicorn(Process):
    """The gateway under gunicorn's own command, with *options* that ``gateway serve`` does not have."""

    def __init__(self, folder, yaml, kind, *options, settings="conf/gunicorn.conf.py"):
        config = folder / "gateway.yaml"
        config.write_text(yaml)
        self.port = free_port()
        command = [str(Path(sys.executable).with_name("gunicorn")), "-c", settings, "--bind", f"127.0.0.1:{self.port}",
                   "--worker-class", kind, *options, "wsgi:app"]  # fmt: skip
        environment = {"GATEWAY_CONFIG": str(config), "CLIENT_KEY": CLIENT_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
        super().__init__(command, folder, "gunicorn", environment)
        until(lambda: answers(self.port), "an answer")
