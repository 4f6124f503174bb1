# Few verbs; `make help` lists them. Every one makes what it needs: .venv from uv.lock, Debian packages for tests.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo build/uv/bin/uv)
# Modules are compiled once, not by each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
STAMP := .venv/.synced
ARGS ?=
NAME ?=

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build/uv/bin/uv:
	@tools/require-python
	@echo "Fetching uv $(UV_VERSION) into build/uv" >&2
	@python3 -m venv build/uv
	@build/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) >&2

$(STAMP): pyproject.toml uv.lock $(filter build/%,$(UV))
	@echo "Installing the locked dependencies into .venv" >&2
	@$(UV) sync --quiet --frozen --all-extras >&2
	@touch $@

.PHONY: venv
venv: $(STAMP) ## .venv with the locked dependencies

.PHONY: demo
demo: $(STAMP) ## The main job on this machine; ARGS="--once --json", ARGS="--nat hard" (root)
	@$(BIN)/farsite demo $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Formatting, lint, types, import contracts, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(UV) lock --check --quiet

# libdatachannel, one of the peers our association is tested with, comes as a module for Node.
export NODE_PATH := $(CURDIR)/build/node/node_modules

.PHONY: packages
packages:
	@tools/install-packages
	@if command -v npm >/dev/null && [ ! -d "$(NODE_PATH)/node-datachannel" ]; then \
	    npm install --silent --no-audit --no-fund --no-save --prefix build/node node-datachannel@0.33.4; fi

# Servers, processes and links are real, so is the time they take on a machine that others use too: what fails is run
# again, twice at most, and stands in the summary as RERUN, passed or not.
# The lab mostly waits, for one process at a time: everything else runs beside it.
.PHONY: test
test: $(STAMP) packages ## Everything CI runs: lint and all tests, against real servers
	@mkdir -p build/lab
	@$(MAKE) --no-print-directory lab >build/lab/output.txt 2>&1 & lab=$$!; \
	    $(MAKE) --no-print-directory lint || { kill $$lab; exit 1; }; \
	    $(MAKE) --no-print-directory tests && failed=0 || failed=$$?; \
	    echo "Waiting for the lab (build/lab/output.txt)"; \
	    wait $$lab || failed=$$?; \
	    cat build/lab/output.txt; exit $$failed

.PHONY: tests
tests: $(STAMP) packages ## All tests but the lab's; ARGS="-k name"
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/lab --reruns 2 $(ARGS)

.PHONY: lab
lab: $(STAMP) packages ## The NAT grid in network namespaces (root, Linux); writes build/lab/nat.md
	$(BIN)/python -m pytest tests/lab -m lab --reruns 2

.PHONY: bench
bench: $(STAMP) packages ## All benchmarks, or one: NAME=tunnel-local; writes build/bench/*.json
	$(BIN)/python -m tests.bench $(NAME)

.PHONY: format
format: $(STAMP) ## Format and fix what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## Remove .venv and build
	rm -rf .venv build
