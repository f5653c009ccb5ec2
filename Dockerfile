# Builds with BuildKit and with the classic builder. Deployment: docker/README.md.
ARG BASE_IMAGE=python:3.11-slim-bookworm


# The server's requirements as pyproject.toml states them, torch apart. A change of
# pyproject.toml that leaves them as they are leaves the layers made from them cached.
FROM ${BASE_IMAGE} AS requirements
# Empty: the newest versions that pyproject.toml allows; `cuda` or `cpu`: those of docker/pins, by
# their hashes.
ARG PINS=
COPY pyproject.toml docker/pins/*.txt /source/
RUN mkdir /requirements && cd /requirements \
    && if [ -n "$PINS" ]; then \
        cp "/source/torch-$PINS.txt" torch.txt && cp /source/others.txt others.txt && exit; fi \
    && python3 -c '\
import pathlib, re, tomllib; \
project = tomllib.loads(pathlib.Path("/source/pyproject.toml").read_text())["project"]; \
extras = project["optional-dependencies"]; \
wanted = project["dependencies"] + extras["server"] + extras["redis"] + extras["telemetry"]; \
is_torch = [re.match(r"torch(?![\w.-])", line) is not None for line in wanted]; \
torch = [line for line, yes in zip(wanted, is_torch) if yes]; \
others = [line for line, yes in zip(wanted, is_torch) if not yes]; \
assert len(torch) == 1, wanted; \
pathlib.Path("torch.txt").write_text("\n".join(torch) + "\n"); \
pathlib.Path("others.txt").write_text("\n".join(others) + "\n")'


FROM ${BASE_IMAGE} AS wheel
COPY pyproject.toml README.md LICENSE /source/
COPY app /source/app
COPY models /source/models
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel /source


FROM ${BASE_IMAGE} AS environment
LABEL org.opencontainers.image.title="Inkling" \
      org.opencontainers.image.description="Few-shot image classification over REST" \
      org.opencontainers.image.licenses="Apache-2.0"

# Root owns the code; the server's user owns /var/lib/inkling alone, and a new named volume
# mounted there takes this ownership over.
RUN groupadd --gid 10001 inkling \
    && useradd --uid 10001 --gid inkling --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin inkling \
    && install --directory --owner=inkling --group=inkling --mode=0700 /var/lib/inkling \
    && python3 -m venv --without-pip /opt/inkling

# The largest layer comes before everything that changes more often. Empty: the default package
# index, whose wheels carry the CUDA libraries; else the URL of an index of CPU-only wheels.
# Headers and tests of libraries go from each layer: they are large, and nothing here reads them.
ARG TORCH_INDEX_URL=
COPY --from=requirements /requirements/torch.txt /requirements/
RUN python3 -m pip --python /opt/inkling/bin/python3 install --no-cache-dir --no-compile \
        ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
        --requirement /requirements/torch.txt \
    && cd /opt/inkling/lib/python3.*/site-packages \
    && rm -r torch/include torch/test torch/bin/*test* \
    && find networkx sympy -type d -name tests -prune -exec rm -r {} +

COPY --from=requirements /requirements/others.txt /requirements/
RUN python3 -m pip --python /opt/inkling/bin/python3 install --no-cache-dir --no-compile \
        --requirement /requirements/others.txt \
        --requirement /requirements/torch.txt \
    && cd /opt/inkling/lib/python3.*/site-packages \
    && find llvmlite numba scipy -type d -name tests -prune -exec rm -r {} +

# With its requirements installed, the package itself: nothing but its wheel.
COPY --from=wheel /wheel /wheel
RUN python3 -m pip --python /opt/inkling/bin/python3 install --no-cache-dir --no-index --no-deps \
        /wheel/*.whl

# The server cannot write to its read-only file system. What it imports is hence compiled here, by
# doing all that it does: its bytecode, which for all modules of all libraries would be twice as
# large, and its loops, for the processor that builds; on another kind it does that when it starts.
ENV PATH=/opt/inkling/bin:$PATH \
    NUMBA_CACHE_DIR=/opt/inkling/compiled \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    INKLING_HOST=0.0.0.0 \
    INKLING_SERVE_ANYBODY=true \
    INKLING_SESSION_FOLDER=/var/lib/inkling

RUN unset PYTHONDONTWRITEBYTECODE && inkling compile \
    && INKLING_SESSION_STORE=memory inkling demo >/dev/null \
    && python3 -c "import opentelemetry.exporter.otlp.proto.http.trace_exporter, redis"


# What the image holds of Python packages, as CycloneDX.
FROM environment AS contents
RUN python3 -m venv /opt/cyclonedx \
    && /opt/cyclonedx/bin/pip install --no-cache-dir "cyclonedx-bom>=7" \
    && /opt/cyclonedx/bin/cyclonedx-py environment --output-reproducible \
        --output-file /contents.cdx.json /opt/inkling/bin/python3


FROM environment
COPY --from=contents /contents.cdx.json /opt/inkling/share/contents.cdx.json

# Sessions: a writable place of their own where the root is read-only, named or not.
VOLUME /var/lib/inkling
USER 10001:10001
EXPOSE 8000

# By Python, since slim images have no curl; by http.client, since it heeds no proxy variables.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["python3", "-I", "-c", "\
import http.client, os, sys; \
port = int(os.environ.get('INKLING_PORT', '8000')); \
server = http.client.HTTPConnection('127.0.0.1', port, timeout=4); \
server.request('GET', '/readyz'); \
sys.exit(server.getresponse().status != 200)"]

CMD ["inkling", "serve"]
