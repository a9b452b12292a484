# Two commands are all it takes: `make serve` and `make test`. Both set up what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is installed when this file is newer than pyproject.toml.
READY := $(VENV)/.ready

.PHONY: serve test lint format screenshots bench bench-scale profile soak clean

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

bench: $(READY)  ## beside txtai, LangChain and Haystack; DATA=folder names a BEIR-style set; needs wrk
	$(BIN)/python -m tests.benchmarks.compare $(if $(DATA),--data $(DATA))

bench-scale: $(READY)  ## how it grows to a million passages; SIZES="1e4 1e5 1e6 1e7" takes longer
	$(BIN)/python -m tests.benchmarks.scale $(if $(SIZES),--sizes $(SIZES))

profile: $(READY)  ## where the milliseconds of a question go
	$(BIN)/signpost index || [ $$? -eq 3 ]
	$(BIN)/python -m tests.benchmarks.where

soak: $(READY)  ## the long forms of the battery; SOAK_MINUTES=20 of steady traffic among them
	rm -f .soak.jsonl
	SOAK=1 BATTERY_FIGURES=$(CURDIR)/.soak.jsonl $(BIN)/python -m pytest tests/battery; \
	  status=$$?; $(BIN)/python -m tests.battery.table .soak.jsonl tests/battery/RESULTS.md; exit $$status

clean:  ## remove the virtual environment and what was built
	rm -rf $(VENV) build *.egg-info index/snapshots index/current
