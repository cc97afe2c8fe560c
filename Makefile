# make demo   sets up everything, runs the whole workflow on a demo cohort
# make test   sets up everything, runs the tests
# make help   lists the rest
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
# threads that spin while they wait would take the cores from the other worker
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest
# Two workers by default: the tests start Snakemake and Dask themselves.
WORKERS ?= 2

.PHONY: help demo test test-all test-slow test-demo bench lint format documents clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "mriqa needs Python 3.11 or newer; none was found (set PYTHON=...)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing mriqa into $(VENV): torch, MONAI and Ray among it, 2 GB or more, some minutes, once"
	@$(PIP) --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed tests/mriqc-only.txt
	@echo "Installing what the tests need"
	@$(PIP) --quiet --editable '.[test]'
	@rm -rf $(VENV)/mriqc-only
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps \
	  --target $(VENV)/mriqc-only --requirement tests/mriqc-only.txt \
	  || echo "MRIQC could not be fetched: the tests that compare with it will be skipped"
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-test
	@echo "Installing the peers that the benchmarks compare with"
	@$(PIP) --quiet --editable '.[test,bench]'
	@touch $@

demo: $(VENV)/.installed ## the whole workflow on a demo cohort, into results/demo
	@$(BIN)/mriqa demo-data data/demo
	@$(BIN)/mriqa run config/demo.yaml --profile profiles/local

test: $(VENV)/.installed-test ## the tests, without the slow ones
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "not slow and not cluster and not bench"

test-slow: $(VENV)/.installed-test ## the slow tests and those that start SLURM
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "slow and not cluster and not demo"
	$(PYTEST) -m cluster

test-demo: $(VENV)/.installed-test ## README's commands, the demo among them: a quarter of an hour or more
	$(PYTEST) -m demo

test-all: test test-slow test-demo ## all three

bench: $(VENV)/.installed-bench ## ours against the peers; writes tests/benchmarks/RESULTS.md
	$(BIN)/python tests/benchmarks/run.py

lint: $(VENV)/.installed-test ## style, types, workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow

format: $(VENV)/.installed-test ## put everything into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

documents: $(VENV)/.installed ## write the documents generated from the code
	$(BIN)/mriqa docs .

clean: ## remove the environment, demo data and results
	rm -rf $(VENV) data/demo results/demo .snakemake
