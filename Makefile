# Needs Python 3.11 to 3.13 and make; everything else is installed into $(VENV).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# An older line of Airflow, 3.1 or 3.2, for any of the targets; without it the one in constraints.txt.
AIRFLOW ?=
VENV ?= .venv$(AIRFLOW:%=-%)
BIN := $(VENV)/bin
CONSTRAINTS := $(AIRFLOW:%=constraints-%.txt) constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo ui examples docs test
.PHONY: test-matrix test-on-3.1 test-on-3.2 lint proof bench bench-peers clean

help:
	@echo "make demo   run the main job end to end, offline, on every Python package installed here"
	@echo "make ui     the same, and leave the Airflow UI up"
	@echo "make examples  run every example Dag on a real Airflow, and check what each has made"
	@echo "make docs   build the documentation into .docs"
	@echo "make test   run all tests"
	@echo "make test-matrix  the same on Airflow 3.1 and 3.2 too; make test AIRFLOW=3.1 on one of them"
	@echo "make lint   run ruff, mypy and import-linter"
	@echo "make proof  run the long tests too"
	@echo "make bench  measure speed and memory"
	@echo "make bench-peers  play the same faults with the official operators, half an hour"

demo: $(VENV)/.demo
	$(BIN)/python -m demo

ui: $(VENV)/.demo
	$(BIN)/python -m demo --stay

examples: $(VENV)/.dev
	$(BIN)/python -m pytest tests/system/test_examples.py

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -n -b html docs .docs

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not proof and not live"

test-matrix: test test-on-3.2 test-on-3.1

test-on-3.1 test-on-3.2: test-on-%:
	$(MAKE) test AIRFLOW=$* VENV=.venv-$*

proof: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not live"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench

bench-peers: $(VENV)/.dev
	$(BIN)/python -m bench.peers

clean:
	rm -rf $(VENV) .venv-3.1 .venv-3.2 .demo .bench .docs

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The first word on a package counts.
$(VENV)/constraints.txt: $(CONSTRAINTS) | $(BIN)/python
	awk -F '==' '!/^#/ && !seen[$$1]++' $^ > $@

$(VENV)/.demo: pyproject.toml $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable ".[demo,dev]"
	touch $@ $(VENV)/.demo
