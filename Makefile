# `make setup demo` needs nothing but Python 3.11 or newer; PYTHON=... chooses which.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As commands/main.py has it for the services.
export OPENBLAS_NUM_THREADS ?= 1
PACKAGES := braid substrate embedding rdl cloudnets protocol runtime orchestrator agents simulations commands migrations

.PHONY: help setup demo test hunt check format protos lock testbed chaos bench clean

help:  ## these lines
	@sed -nE 's/^([a-z]+):.*  ## (.*)/\1\t\2/p' Makefile | expand -t 10

setup: $(VENV)/.ready  ## the virtual environment .venv, from the lock file

$(VENV)/.ready: requirements.lock pyproject.toml braid/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Braid needs Python 3.11 or newer; this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e ./braid -e .
	@touch $@

demo: setup  ## a world of nine domains on this machine, and reservations through it
	$(BIN)/braid demo

test: setup  ## all tests
	$(BIN)/pytest -q -rs -n 2 --dist loadfile

HUNTED ?= tests/substrate tests/embedding tests/cloudnets tests/rdl tests/protocol
hunt: setup  ## properties on new random examples, as long as one likes; `make test` repeats its own
	$(BIN)/pytest -q -n 2 --dist loadfile --hypothesis-profile=hunt --timeout 300 $(HUNTED)

check: setup  ## formatting, lint, types, imports, generated code, wheels
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(addprefix -p ,$(PACKAGES))
	$(BIN)/mypy -p tools -p benchmarks
	for part in tests/conftest.py tests/*/; do $(BIN)/mypy --follow-imports=silent $$part || exit 1; done
	$(BIN)/python tools/budget.py
	$(BIN)/lint-imports --no-logo
	tools/check_protos.sh
	$(BIN)/python tools/check_wheels.py

format: setup  ## formats the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

PROTOS_OUT ?= .
protos: setup  ## the generated code of braid/v1 from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m grpc_tools.protoc -Iprotos \
	  --python_out=$(PROTOS_OUT) --grpc_python_out=$(PROTOS_OUT) \
	  --mypy_out=quiet:$(PROTOS_OUT) --mypy_grpc_out=quiet:$(PROTOS_OUT) protos/braid/v1/*.proto

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-package braid-client --custom-compile-command "make lock" --upgrade
lock: setup  ## new lock files: the newest versions that pyproject.toml allows
	$(COMPILE) --all-extras -o requirements.lock pyproject.toml braid/pyproject.toml
	$(COMPILE) -c requirements.lock -o deploy/requirements.lock pyproject.toml

testbed: setup  ## the same world in containers: up, a reservation from outside, down
	tools/testbed.sh

KILLS ?= 1000
SEED ?= 1
chaos: setup  ## two orchestrators, five agents, load, and a thousand kill -9: every promise kept
	$(BIN)/python tools/chaos.py --kills $(KILLS) --seed $(SEED)

bench: setup  ## how fast it is, beside a naive system in the same run, in a quarter of an hour: a table, and benchmarks/results.json
	$(BIN)/python -m benchmarks.bench

clean:  ## removes what the other targets made
	rm -rf $(VENV) build dist wheelhouse .braid .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache braid/build ./*.egg-info braid/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
