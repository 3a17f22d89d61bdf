"""gunicorn's settings: ``gunicorn -c conf/gunicorn.conf.py wsgi:app``.

They are those of ``gateway serve``; what you set below them wins.
"""

from gateway.serving import SETTINGS

globals().update(SETTINGS)

# bind = "unix:/run/gateway/gateway.sock"
# workers = 2
