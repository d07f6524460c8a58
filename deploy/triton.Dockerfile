# The image for GPUs: NVIDIA's Triton with its TensorRT backend, this package with OpenCV for the Python models, the
# gateway, and TensorRT's Python API, so that a plan is built by the same TensorRT that loads it.
# `deploy/in-image` builds and runs it; `make image GPU=1` builds it as triton-sod:<version>.
# It runs as any user, and on a read-only root with a writable /tmp and mounted models:
#   docker run --gpus all --read-only --tmpfs /tmp --shm-size 2g --cap-drop all -p 127.0.0.1:8080:8080 \
#     -v ./model_repository:/app/model_repository:ro triton-sod
ARG TRITON_RELEASE=26.08
ARG BASE=nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

FROM ${BASE} AS build
USER root
# An older release than the one that SECURITY.md names is refused here, before anything else is downloaded.
COPY server/__init__.py server/errors.py server/installation.py /build/server/
RUN cd /build && python3 -c 'import sys, server.installation as i; sys.exit(i.release_problem(i.find_installation().release) or None)'
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY requirements/image.lock deploy/tensorrt-wheel /build/
# TENSORRT_WHEEL=none leaves TensorRT's Python API out; trtexec then builds the plans (docs/export.md).
ARG TENSORRT_WHEEL=required
RUN --mount=type=secret,id=pip-conf --mount=type=secret,id=ca-certificates \
    export PIP_CONFIG_FILE=/etc/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 \
    && { [ ! -s /run/secrets/pip-conf ] || export PIP_CONFIG_FILE=/run/secrets/pip-conf; } \
    && { [ ! -s /run/secrets/ca-certificates ] || export PIP_CERT=/run/secrets/ca-certificates; } \
    && python3 -m venv /opt/sod \
    && /opt/sod/bin/pip install --no-cache-dir --no-deps --require-hashes -r /build/image.lock \
    && { [ "$TENSORRT_WHEEL" = none ] || /build/tensorrt-wheel /opt/sod/bin/pip; }
WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE Makefile ./
COPY sod sod
COPY gateway gateway
COPY server server
COPY export export
COPY benchmarks benchmarks
# The demo page has links to the example images.
COPY docs/examples docs/examples
RUN /opt/sod/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && touch /opt/sod/.serve /opt/sod/.export  # make's stamps: it has nothing to install in the image

FROM ${BASE}
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends make tini \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/sod /opt/sod
COPY --from=build /app /app
# Triton's Python backend imports packages from the first python on the PATH, so this environment comes first.
ENV SOD_VENV=/opt/sod VIRTUAL_ENV=/opt/sod PATH=/opt/sod/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
# The model repository and the cache are mounted. Weights are not in the image.
RUN mkdir -p model_repository .cache && chown triton-server model_repository .cache
# Labels come last, so that a new version does not rebuild the layers above.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-sod" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.description="PP-YOLOE+ SOD small-object detection on NVIDIA Triton"
USER triton-server
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=65s --start-period=5m CMD ["python", "-m", "server.ready"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/opt/nvidia/nvidia_entrypoint.sh"]
CMD ["python", "-m", "server", "--host", "0.0.0.0"]
