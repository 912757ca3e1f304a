# Needs Python 3.11 to 3.13 and make; everything else is installed into $(VENV).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo ui test lint proof bench clean

help:
	@echo "make demo   run the main job end to end, offline, on every Python package installed here"
	@echo "make ui     the same, and leave the Airflow UI up"
	@echo "make test   run all tests"
	@echo "make lint   run ruff, mypy and import-linter"
	@echo "make proof  run the long tests too"
	@echo "make bench  measure speed and memory"

demo: $(VENV)/.demo
	$(BIN)/python -m demo

ui: $(VENV)/.demo
	$(BIN)/python -m demo --stay

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not proof and not live"

proof: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not live"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .demo .bench

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo,dev]"
	touch $@ $(VENV)/.demo
