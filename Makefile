# The recipes that people and CI share. Everything runs from one virtual environment, made once from the lock.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := --quiet --quiet --require-hashes --no-build-isolation
RESOLVE := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock"

# Without bytecode every start of the interpreter compiles what it imports, five times slower.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint bench soak lock clean

help:
	@echo "make demo   the main job on a year of New York flights, and a model that retrains itself"
	@echo "make test   lint, types, import floors, all tests"
	@echo "make lint   format, lint, types, import floors"
	@echo "make bench  compare speed and memory with the alternatives; writes benchmarks/RESULTS.md"
	@echo "make soak   all tests, with many more random examples"
	@echo "make lock   resolve the requirements again (needs uv; UPGRADE=--upgrade takes newer versions)"
	@echo "make clean  remove what the other targets made"

demo: $(VENV)/.project
	@$(BIN)/python -m demo

test: lint $(VENV)/feast/.packages
	@$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.project
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.project
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.project $(VENV)/feast/.packages
	@$(BIN)/python -m pytest -n $(WORKERS) -m "" --hypothesis-profile=soak

lock:
	@$(RESOLVE) $(UPGRADE) --output-file requirements/build.txt requirements/build.in
	@$(RESOLVE) $(UPGRADE) --output-file requirements/feast.txt requirements/feast.in
	@$(RESOLVE) $(UPGRADE) --extra demo --extra dev --output-file requirements/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist data *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# setuptools comes first: source distributions in the lock are built with it, not with one fetched unchecked.
$(VENV)/.packages: requirements/build.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=...")'
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages (about 350 MB, once)"
	@$(PIP) install $(LOCKED) --requirement requirements/build.txt
	@$(PIP) install $(LOCKED) --no-compile --requirement requirements/dev.txt
	@echo "Compiling them (once)"
	@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib
	@touch $@

# Clients of others ask our server in tests: those of Feast and Triton; their packages stay apart from ours.
$(VENV)/feast/.packages: $(VENV)/.packages requirements/feast.txt
	@echo "Installing the clients of Feast and Triton for tests (about 480 MB, once)"
	@$(PYTHON) -m venv $(VENV)/feast
	@$(VENV)/feast/bin/python -m pip --disable-pip-version-check install --quiet --quiet --require-hashes --only-binary :all: \
		--no-compile --requirement requirements/feast.txt
	@touch $@

$(VENV)/.project: $(VENV)/.packages pyproject.toml
	@$(PIP) install --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@
