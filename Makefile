# Two commands are all it takes: `make serve` and `make test`. Both set up what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is installed when this file is newer than pyproject.toml.
READY := $(VENV)/.ready

.PHONY: serve test lint format screenshots clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fast,test]'
	touch $(READY)

serve: $(READY)  ## build the index from corpus/ where it is missing or out of date, then serve on port 8000
	$(BIN)/signpost index || [ $$? -eq 3 ]
	$(BIN)/signpost serve

test: $(READY)  ## run all tests
	$(BIN)/python -m pytest

lint: $(READY)  ## format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict bot tests

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

screenshots: $(READY)  ## make the README's pictures again
	$(BIN)/python tests/screenshots.py

clean:  ## remove the virtual environment and what was built
	rm -rf $(VENV) build *.egg-info index/snapshots index/current
