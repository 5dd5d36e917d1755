# Each target does all of its own set-up on a fresh machine.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-slow check bench clean

run: $(READY)  ## the quickstart: three phones, four models, five controllers
	$(BIN)/edgesim run quickstart

test: $(READY)  ## the default tests and the notebooks
	$(BIN)/python -m pytest -n 2 -q

test-slow: $(READY)  ## the heavier tests
	$(BIN)/python -m pytest -n 2 -q -m slow

check: $(READY)  ## style, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## every benchmark, one after the other
	$(BIN)/python benchmarks/kernel.py

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
