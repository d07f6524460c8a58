# The image for CPUs: the gateway and the embedded Triton with OpenVINO, on Debian's Python. `make image` builds it:
#   make image                        docker or podman, whichever is there; the image is triton-sod-cpu:<version>
#   make image BASE=<a Debian 12>     another base
# It runs as any user, on a read-only root and with a /tmp that may be noexec:
#   docker run --read-only --tmpfs /tmp --shm-size 1g --cap-drop all -p 127.0.0.1:8080:8080 triton-sod-cpu
# The demo model is in /models; a volume mounted there replaces it.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS runtime
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpython3.11 python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* \
        /usr/share/doc/* /usr/share/man/* /usr/share/locale/*

FROM runtime AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip
# image.lock holds what the gateway and the Python models need. Of serve.lock the image takes OpenVINO and the wheel that
# carries Triton's binaries; what their Python packages would need besides is not imported.
COPY requirements/image.lock requirements/serve.lock deploy/trim /build/
# A package index of one's own: a pip.conf, and the certificates that it names, as secrets, which no layer keeps.
RUN --mount=type=secret,id=pip-conf --mount=type=secret,id=ca-certificates \
    export PIP_CONFIG_FILE=/etc/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 \
    && { [ ! -s /run/secrets/pip-conf ] || export PIP_CONFIG_FILE=/run/secrets/pip-conf; } \
    && { [ ! -s /run/secrets/ca-certificates ] || export PIP_CERT=/run/secrets/ca-certificates; } \
    && python3 -m venv --without-pip /opt/sod \
    && /build/trim lock /build/image.lock /build/serve.lock > /build/cpu.lock \
    && python3 -m pip --python /opt/sod/bin/python install \
        --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: -r /build/cpu.lock \
    && /build/trim packages /opt/sod
WORKDIR /app
COPY sod sod
COPY gateway gateway
# The demo page has links to the example images.
COPY docs/examples docs/examples
COPY server server
# The backends are put together here, because at run time there may be no folder that programs may run from. Files are
# compiled here, because the root is read-only when they are imported.
RUN /opt/sod/bin/python -m server.installation \
    && /build/trim binaries /opt/sod \
    && /opt/sod/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sod/lib /opt/sod/share /app

FROM runtime
COPY --from=build /opt/sod /opt/sod
COPY LICENSE NOTICE /app/
COPY --from=build /app /app
COPY model_repository /models
WORKDIR /app
ENV PATH=/opt/sod/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SOD_LOG_FORMAT=json
# Labels come last, so that a new version does not rebuild the layers above.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-sod-cpu" \
    org.opencontainers.image.description="PP-YOLOE+ SOD small-object detection: gateway and Triton with OpenVINO" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=65s --start-period=5m CMD ["python", "-m", "server.ready"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--"]
CMD ["python", "-m", "server", "--host", "0.0.0.0", "--model-repository", "/models"]
