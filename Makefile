# Logferry's commands. `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test chaos bench screenshots lint format sandbox lock clean browser environment environment-dev environment-bench

# Airflow is many processes: compiled modules must be kept, or each of them compiles Airflow again.
unexport PYTHONDONTWRITEBYTECODE
# The interpreter for .venv, for example make run PYTHON=python3.12 (default: the newest supported one).
export PYTHON

BIN := .venv/bin
LOCKS := requirements requirements-dev requirements-bench requirements-compose requirements-uv

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: environment ## export yesterday's logs through a local Airflow, show the result, stay up until Ctrl-C
	@exec $(BIN)/python -m logferry_local

# Three at a time, as many a test waits for a process of Airflow; in the order of tests/conftest.py, the longest first.
test: lint browser ## check style and types, then run every test
	@exec $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

chaos: environment-dev ## random faults, kills and races for five minutes; is the lake the truth? (ARGS="--seed N")
	@exec $(BIN)/python -m tests.chaos --seconds 300 $(ARGS)

bench: environment-bench ## measure Logferry beside its peers, into benchmarks/RESULTS.md (ARGS="--quick", ARGS="--help")
	@exec $(BIN)/python -m benchmarks $(ARGS)

screenshots: environment-dev browser ## take the pictures of the documentation anew, from a running Airflow
	@exec $(BIN)/python -m scripts.screenshots

lint: environment-dev ## ruff and mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'logferry: the files above are not formatted: run make format.' >&2; exit 1; }
	@$(BIN)/mypy

format: environment-dev ## put the code into shape
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

sandbox: environment ## start the local stand-ins for the log APIs alone
	@exec $(BIN)/python -m logferry_sandbox

lock: environment ## write the requirements*.txt anew from the .in files (make lock UPGRADE=1 raises versions)
	@for name in $(LOCKS); do \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	        --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) $$name.in -o $$name.txt || exit 1; \
	done

clean: ## remove the environment and the caches; exported data and Airflow's state stay
	@rm -rf .venv .venv-bench build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find benchmarks dags include plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +

browser:
	@scripts/browser.sh >/dev/null

environment:
	@scripts/environment.sh

environment-dev:
	@scripts/environment.sh dev

environment-bench:
	@scripts/environment.sh bench
