# The connector with every driver, pinned by requirements/image.lock. Build:  docker build -t connector .
# Run it on a project:
#   docker run -v "$PWD:/project:ro" -v connector-state:/state -p 8091:8091 -e CONNECTOR_SERVE_TOKEN -e PENDO_INTEGRATION_KEY connector
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
# The packages first: they change seldom, and their layer is kept then.
COPY requirements/image.lock requirements/image.lock
RUN python -m venv /opt/connector \
    && /opt/connector/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/image.lock
COPY pyproject.toml README.md LICENSE connector.yml sandbox.yml ./
COPY models models
COPY sync_configs sync_configs
COPY connector connector
# Built with the tools of the lock, without anything fetched; then these go, pip too: the image installs nothing more.
RUN /opt/connector/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/connector/bin/pip uninstall --yes --quiet editables hatchling pip

FROM python:${PYTHON}
RUN groupadd --gid 10001 connector \
    && useradd --uid 10001 --gid connector --no-create-home --home-dir /project --shell /usr/sbin/nologin connector \
    && install --directory --owner=connector --group=connector --mode=0750 /project /state
COPY --from=build /opt/connector /opt/connector
# Below the volume: a restore renames the state directory, and nobody can rename a volume.
ENV PATH=/opt/connector/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CONNECTOR_STATE_DIR=/state/connector
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
WORKDIR /project
VOLUME ["/state"]
EXPOSE 8091
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8091/healthz', timeout=4)"]
ENTRYPOINT ["connector"]
CMD ["serve", "--host", "0.0.0.0", "--log-format", "json"]
