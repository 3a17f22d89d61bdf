"""The WSGI entry point: ``gunicorn -c conf/gunicorn.conf.py wsgi:app``.

Other WSGI servers may serve it, too: it begins with its first call, behind whatever forks there are.
"""

import os
from pathlib import Path

from gateway.app import create_app

app = create_app(Path(os.environ.get("GATEWAY_CONFIG", "conf/gateway.yaml")))
