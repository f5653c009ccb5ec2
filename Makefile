# Every target makes its own environment when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# For example TORCH_INDEX="--index-url URL-of-a-CPU-only-wheel-index"
TORCH_INDEX ?=
SEED ?= 0

.PHONY: serve demo test lint format clean

serve: $(VENV)/server
	$(BIN)/inkling serve

demo: $(VENV)/server
	$(BIN)/inkling demo --seed $(SEED)

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/torch: $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH_INDEX) "torch>=2.11" "torchvision>=0.26"
	touch $@

$(VENV)/server: pyproject.toml $(VENV)/torch
	$(BIN)/python -m pip install --quiet --editable '.[server]'
	$(BIN)/inkling compile
	touch $@

$(VENV)/dev: pyproject.toml $(VENV)/torch
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	mkdir -p $(VENV)/typing && ln -sfn ../../app $(VENV)/typing/inkling
	$(BIN)/inkling compile
	touch $@ $(VENV)/server

# The page in Chromium (Debian: apt install chromium); pictures of it go to build/screenshots. An
# exported file is run there too where build/web has onnxruntime-web, see tests/browser/browser_onnx.py.
.PHONY: test-browser page-speed

test-browser: $(VENV)/browser
	$(BIN)/python -m pytest tests/browser -o python_files='browser_*.py'

page-speed: $(VENV)/browser
	$(BIN)/python -m pytest -s tests/browser -o python_files='speed_*.py'

$(VENV)/browser: pyproject.toml $(VENV)/dev
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	touch $@

# Load runs, some minutes each: kills, thousands of sessions, many clients. See tests/load.
.PHONY: load

load: $(VENV)/dev
	$(BIN)/python -m pytest -s tests/load -o python_files='load_*.py'

# Beside plain PyTorch, a bare FastAPI server and LitServe; about half an hour, on a machine that does
# nothing else. BENCHMARK_FLAGS may name source trees: --learn2learn TREE --higher TREE.
BENCHMARK_OUT ?= build/benchmarks
BENCHMARK_FLAGS ?=
.PHONY: benchmark

benchmark: $(VENV)/benchmark
	$(BIN)/python -W ignore -m tests.benchmarks --out $(BENCHMARK_OUT) $(BENCHMARK_FLAGS)

$(VENV)/benchmark: pyproject.toml $(VENV)/torch
	$(BIN)/python -m pip install --quiet --editable '.[benchmark]'
	touch $@

# The image and its check; both need docker. See docker/README.md.
DOCKER_BUILD_FLAGS ?=
SMOKE_PORT ?= 8000

.PHONY: docker-build docker-smoke

docker-build:
	docker build $(DOCKER_BUILD_FLAGS) --tag inkling .

docker-smoke: docker-build
	docker run --detach --rm --name inkling-smoke --init --read-only --tmpfs /tmp:size=256m \
		--cap-drop ALL --security-opt no-new-privileges \
		--publish 127.0.0.1:$(SMOKE_PORT):8000 inkling
	$(PYTHON) docker/smoke.py http://127.0.0.1:$(SMOKE_PORT); status=$$?; \
		[ $$status -eq 0 ] || docker logs inkling-smoke; \
		docker stop inkling-smoke; exit $$status
