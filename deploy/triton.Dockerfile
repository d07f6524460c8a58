# Triton for GPUs: NVIDIA's server with its TensorRT backend, our package and OpenCV for the Python models, the gateway,
# and TensorRT's Python API, so that a plan is built by the very TensorRT that loads it.
#   docker build -f deploy/triton.Dockerfile -t triton-sod .
ARG TRITON_RELEASE=26.08
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends make python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The stub of the Python backend takes its packages from the first python on the path: this one.
ENV SOD_VENV=/opt/sod VIRTUAL_ENV=/opt/sod PATH=/opt/sod/bin:$PATH PYTHONDONTWRITEBYTECODE=1
COPY requirements/image.lock /tmp/image.lock
RUN python3 -m venv /opt/sod \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/image.lock \
    && version="$(dpkg-query -W -f='${Version}\n' 'libnvinfer[0-9]*' | sed 's/-.*//' | sort -V | tail -n 1)" \
    && cuda="$(printf '%s' "$CUDA_VERSION" | cut -d. -f1)" \
    && pip install --no-cache-dir "tensorrt-cu${cuda}==${version}.*" \
    && rm /tmp/image.lock

WORKDIR /app
COPY pyproject.toml README.md Makefile ./
COPY sod sod
COPY gateway gateway
COPY server server
COPY export export
COPY benchmarks benchmarks
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && touch /opt/sod/.serve /opt/sod/.export  # what make would install is here

# The repository and the cache are mounted: weights are not in the image.
RUN mkdir -p model_repository .cache && chown triton-server model_repository .cache
USER triton-server
VOLUME ["/app/model_repository", "/app/.cache"]
EXPOSE 8080
HEALTHCHECK --start-period=5m CMD ["python", "-m", "server.ready"]
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]
CMD ["python", "-m", "server", "--host", "0.0.0.0"]
