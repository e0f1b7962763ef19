# Everything a fresh clone needs: python3 (3.11 or newer, with venv) and make.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
JOBS   ?= 2
PIP     = $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test lint types bench fuzz format clean

demo: $(VENV)/.installed
	$(BIN)/pageout demo

test: $(VENV)/.dev
	$(BIN)/pytest -q -n $(JOBS)
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q -n $(JOBS) tests/kernel tests/engine tests/test_against_naive.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

INPUTS ?= 1000000
SEED   ?= 0

fuzz: $(VENV)/.fuzz
	$(BIN)/python -W ignore -m tests.fuzz.guided --inputs $(INPUTS) --seed $(SEED)

bench: $(VENV)/.bench
	$(BIN)/python -m bench

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The build backend comes first, pinned like all else, so that no build downloads an untested one.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pageout needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt hatchling editables
	$(PIP) install -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[bench]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[fuzz]'
	@touch $@
