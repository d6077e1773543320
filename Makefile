# `make` alone lists the targets. What each one needs is installed first, once: a stamp file under .venv remembers it.
PYTHON ?= python3
ATP_SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))')

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
LOCKED := --require-hashes --only-binary :all: --requirement
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --only-binary :all: --no-annotate --custom-compile-command 'make lock'

# Whole modules beside each other: a test waits more than it computes.
BESIDE := --numprocesses 3 --dist loadfile

# Tests that open whole platforms, servers and keepers by the dozen: `make test` runs them.
DOORS := api app cli contracts docs faults ops web

.DEFAULT_GOAL := help
.PHONY: help run test soak check lint bench tools lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/runtime.stamp ## serve on http://127.0.0.1:8600, data in ./var/atp (Ctrl-C stops it)
	@exec $(BIN)/atp serve --data ./var/atp --listen 127.0.0.1:8600

test: tools ## every kind of test with bounded counts, then the lint (ATP_SEED=N repeats a run)
	@ATP_SEED=$(ATP_SEED) $(BIN)/python -m pytest $(BESIDE)
	@$(MAKE) --no-print-directory lint

soak: tools ## the same tests with the acceptance counts: hours, not minutes
	@ATP_SOAK=1 ATP_SEED=$(ATP_SEED) $(BIN)/python -m pytest --timeout 14400

check: lint ## format, lint, types, contracts, fast tests below the doors: under a minute, offline
	@ATP_SEED=$(ATP_SEED) $(BIN)/python -m pytest $(BESIDE) -m 'not whole and not slow' --timeout 20 $(DOORS:%=--ignore=tests/%)

lint: .venv/dev.stamp ## format, lint, types and import contracts alone
	@$(BIN)/ruff format --check --quiet . || { echo 'hint: .venv/bin/ruff format .'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

bench: .venv/dev.stamp ## measure the goals and print their ratios
	@$(BIN)/python -m benchmarks

tools: .venv/dev.stamp ## install what the whole suite needs: Debian packages (as root), foreign verifiers
	@$(BIN)/python -m tests.services.install

lock: .venv/dev.stamp ## pin the newest allowed versions into requirements*.lock
	@$(LOCK) pyproject.toml --group build --output-file requirements.lock
	@$(LOCK) pyproject.toml --group build --group dev --all-extras --constraint requirements.lock --output-file requirements-dev.lock
	@$(LOCK) --group go --output-file requirements-go.lock

clean: ## remove what the other targets made, but the data of `make run`
	rm -rf .venv .tools .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'could not start: $(PYTHON) is older than Python 3.11 (hint: make PYTHON=/path/to/python3.11)' >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: .venv/bin/python requirements.lock pyproject.toml
	$(PIP) $(LOCKED) requirements.lock
	$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/dev.stamp: .venv/runtime.stamp requirements-dev.lock
	$(PIP) $(LOCKED) requirements-dev.lock
	@touch $@
