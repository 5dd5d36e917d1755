# Each target does all of its own set-up on a fresh machine.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The compiled copy stands apart, so that it never hides a change in the sources.
FAST := build/fast
HOT := $(addprefix edgesim/,core/capacity.py core/power.py core/signals.py hardware/battery.py hardware/memory.py \
	hardware/phone.py hardware/processor.py \
	hardware/thermal.py network/flows.py network/mobility.py network/radio.py workloads/computation.py workloads/errand.py \
	workloads/inference.py)

.PHONY: run test test-slow check bench fast clean

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

bench: fast  ## every benchmark, in pure Python and compiled
	$(BIN)/python benchmarks/cost.py
	-$(BIN)/python benchmarks/kernel.py
	PYTHONPATH=$(FAST) $(BIN)/python benchmarks/kernel.py

fast: $(READY)  ## a copy of the package with its hottest modules compiled; needs a C compiler
	rm -rf $(FAST) && mkdir -p $(FAST)
	cp -r edgesim device_profiles scenarios $(FAST)
	printf '[mypy]\nignore_missing_imports = True\n' > $(FAST)/mypy.ini
	cd $(FAST) && ../../$(BIN)/mypyc $(HOT) > mypyc.log 2>&1 || (tail -20 mypyc.log; false)

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,data]'
	touch $@
