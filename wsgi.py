"""The WSGI entry point: ``gunicorn -c conf/gunicorn.conf.py wsgi:app``."""

import os
from pathlib import Path

from gateway.app import create_app

app = create_app(Path(os.environ.get("GATEWAY_CONFIG", "conf/gateway.yaml")))
app.extensions["gateway"].begin()  # also under settings that are not ours: limits and health are shared from here on
