# The image for GPUs: NVIDIA's Triton with its TensorRT backend, this package with OpenCV for the Python models, the
# gateway, and TensorRT's Python API, so that a plan is built by the same TensorRT that loads it.
# `deploy/in-image` builds and runs it; by hand:
#   docker build -f deploy/triton.Dockerfile --build-arg VERSION="$(deploy/version)" -t triton-sod .
ARG TRITON_RELEASE=26.08
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends make python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Triton's Python backend imports packages from the first python on the PATH, so this environment comes first.
ENV SOD_VENV=/opt/sod VIRTUAL_ENV=/opt/sod PATH=/opt/sod/bin:$PATH PYTHONDONTWRITEBYTECODE=1
COPY requirements/image.lock /tmp/image.lock
RUN python3 -m venv /opt/sod \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/image.lock \
    && version="$(dpkg-query -W -f='${Version}\n' 'libnvinfer[0-9]*' | sed 's/-.*//' | sort -V | tail -n 1)" \
    && cuda="$(printf '%s' "$CUDA_VERSION" | cut -d. -f1)" \
    && pip install --no-cache-dir "tensorrt-cu${cuda}==${version}.*" \
    && rm /tmp/image.lock

WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE Makefile ./
COPY sod sod
COPY gateway gateway
COPY server server
COPY export export
COPY benchmarks benchmarks
# The demo page has links to the example images.
COPY docs/examples docs/examples
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && touch /opt/sod/.serve /opt/sod/.export  # make's stamps: it has nothing to install in the image

# The model repository and the cache are mounted. Weights are not in the image.
RUN mkdir -p model_repository .cache && chown triton-server model_repository .cache
# Labels come last, so that a new version does not rebuild the layers above.
ARG VERSION=unknown
LABEL org.opencontainers.image.title="triton-sod" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.description="PP-YOLOE+ SOD small-object detection on NVIDIA Triton"
USER triton-server
VOLUME ["/app/model_repository", "/app/.cache"]
EXPOSE 8080
HEALTHCHECK --start-period=5m CMD ["python", "-m", "server.ready"]
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]
CMD ["python", "-m", "server", "--host", "0.0.0.0"]
