# Everything a newcomer needs; `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup run template test test-unit fault week lint bench bench-large bench-peers test-sfn-local build clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The processes that the tests start would each compile the package anew if the environment forbade to keep bytecode.
export PYTHONDONTWRITEBYTECODE :=
# More than the processors of a small machine, because most tests wait for processes. A file's tests share an engine.
SIDE_BY_SIDE := -n 4 --dist loadfile
# Of simulated runs of each kind in `make fault`.
SEEDS ?= 6500

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the project's packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP) ## Install everything into .venv

run: $(STAMP) ## Run two schedules with real jobs on the embedded engine, end to end
	@$(BIN)/python -m universal_scheduler.cli.demo

test: $(STAMP) ## Run all tests that need only this machine, several side by side
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE)

# They wait for nothing, and each process reads all of them first: two are faster than four.
test-unit: $(STAMP) ## Run the unit tests alone, in a few seconds
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/unit

fault: $(STAMP) ## Run simulated runs with a million injected faults, some ten minutes; SEEDS=100 makes fewer
	@USCHED_FAULT_SEEDS=$(SEEDS) USCHED_CLOCK_SCHEDULES=500 USCHED_CLOCK_DAYS=30 USCHED_OUTAGE_SCHEDULES=1000 USCHED_WEEK_SCHEDULES=2000 USCHED_CRASHES=300 USCHED_SERVICE_KILLS=50 USCHED_JOB_KILLS=100 $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/fault

week: $(STAMP) ## Run a week of 2,000 cron schedules on an engine whose clock jumps from one start to the next, an hour
	@USCHED_MACHINE_SCHEDULES=2000 USCHED_MACHINE_DAYS=7 $(BIN)/python -m pytest -q -s tests/fault/test_machine_week.py

template: $(STAMP) ## Put template.yaml together from its parts in template/
	@$(BIN)/python template/assemble.py

lint: $(STAMP) ## Check format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(STAMP) ## Measure the workloads on every side, reads and large runs; BEFORE=REVISION beside an earlier revision
	@$(BIN)/python -m benchmarks $(if $(BEFORE),--before $(BEFORE))

bench-large: $(STAMP) ## Measure 10,000 jobs, the same in layers, an array of 10,000, and an interruption
	@$(BIN)/python -m benchmarks.large

bench-peers: $(STAMP) ## Install Luigi, Dagster, Prefect and Airflow, and measure the same workloads with each
	@$(BIN)/python -m benchmarks.peers

test-sfn-local: $(STAMP) ## Run the end-to-end paths on Step Functions Local (needs SFN_ENDPOINT_URL or Docker)
	@if [ -n "$$SFN_ENDPOINT_URL" ]; then \
	  $(BIN)/python -m pytest -q -m sfn_local tests/e2e; \
	elif docker info >/dev/null 2>&1; then \
	  docker compose up --detach --wait && \
	  { SFN_ENDPOINT_URL=http://127.0.0.1:8083 $(BIN)/python -m pytest -q -m sfn_local tests/e2e; \
	    code=$$?; docker compose down; exit $$code; }; \
	else \
	  echo "SKIPPED: there is no Step Functions Local: SFN_ENDPOINT_URL is not set and no Docker engine answers."; \
	  echo "         'make test' has run the same paths on the embedded engine's Step Functions."; \
	fi

build: $(STAMP) ## Build the zip for AWS Lambda (build/lambda.zip), with its dependencies
	@$(BIN)/python -m universal_scheduler.local.package --with-dependencies

clean: ## Remove everything that the other targets have made
	rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
