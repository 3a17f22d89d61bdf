# docker build -t gateway . ; docs/deploying.md says how it is run. Nothing is compiled, and nothing that
# could build or install is left in the image.
FROM python:3.11-slim AS libraries
COPY requirements.lock .
RUN python -m venv /venv
RUN /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
RUN /venv/bin/python -m pip uninstall --yes pip setuptools

FROM python:3.11-slim
RUN python -m pip uninstall --yes pip setuptools wheel \
 && useradd --uid 10001 --home-dir /var/lib/gateway --create-home --shell /usr/sbin/nologin gateway
COPY --from=libraries /venv /venv
COPY conf /app/conf
COPY gateway /app/gateway
COPY plugins /app/plugins
RUN printf '#!/bin/sh\nexec /venv/bin/python -m gateway "$@"\n' > /usr/local/bin/gateway && chmod 0755 /usr/local/bin/gateway
# The bytecode is not written at run time: the file system may be read-only.
RUN /venv/bin/python -m compileall -q /app
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/etc/gateway/gateway.yaml GATEWAY_BIND=0.0.0.0:8080 GATEWAY_WORKERS=2
USER 10001:10001
WORKDIR /var/lib/gateway
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["/venv/bin/python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GATEWAY_BIND'].rpartition(':')[2] + '/healthz', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
