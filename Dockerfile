# syntax=docker/dockerfile:1
# The command `bst` in a container, from the wheel. In a clone:
#
#     docker build -t bst .
#     docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" bst train events.csv --out run

FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml MANIFEST.in README.md LICENSE constraints.txt ./
COPY bst bst
COPY export export
COPY bench bench
RUN pip install --no-cache-dir --constraint constraints.txt setuptools \
 && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim
# torch comes first, in its CPU build: PyPI's for Linux carries CUDA, which takes several GB.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /tmp/
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt \
      --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch \
 && pip install --no-cache-dir --constraint /tmp/constraints.txt /tmp/wheels/*.whl \
 && rm -r /tmp/wheels /tmp/constraints.txt \
 && useradd --create-home --uid 1000 bst
# What libraries keep for themselves goes where any user may write, whoever `--user` says it is.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib ORT_DISABLE_TELEMETRY=1 PYTHONUNBUFFERED=1
USER bst
WORKDIR /work
ENTRYPOINT ["bst"]
CMD ["--help"]
