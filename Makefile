# The house's chores. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
EXTRAS := di,testing,bench,dev
CODE := $(wildcard msgkit bindings converters tests samples benchmarks tools)
# Most tests wait for something most of their time, so a few more run at once than there are processors.
WORKERS := 3
# Tests of one broker stay with one worker, which starts it once.
SHARED := -n $(WORKERS) --dist loadgroup
# More for pytest or for the benchmarks: make test ARGS="-k settlement"
ARGS :=

# Installs into the environment that holds the stamp being made, with every version pinned.
# hatchling is installed rather than fetched for each build, so that it is pinned as well.
PIP = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL = $(PIP) hatchling && $(PIP) --no-build-isolation --editable
DECLARED := pyproject.toml constraints.txt tools/venv

.PHONY: help demo test brokers check lint types layers honest format bench fuzz lock clean

help: ## list the chores
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

demo: $(VENV)/.package ## a service with its orders, on the embedded broker
	@MSGKIT_URL=memory:// $(PY) -m samples.orders

test: brokers ## all tests; ALL_PYTHONS=1: the embedded part on each Python found, too
	@$(PY) -m pytest $(SHARED) $(ARGS)
ifeq ($(ALL_PYTHONS),1)
	@here=$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for version in $$(tools/venv --list); do \
	    if [ $$version != $$here ]; then $(MAKE) embedded-$$version; fi; \
	done
endif

embedded-%: .venv-%/.suite
	@echo "the embedded part on Python $*"
	@.venv-$*/bin/python -m pytest $(SHARED) -m "not broker and not slow" $(ARGS)

brokers: $(VENV)/.suite ## what real brokers need: packages, jars, an engine, images; NEWER=1: newer versions, too
	@$(PY) -m msgkit.testing.brokers install $(if $(NEWER),--newer) || echo "tests of what could not be had are skipped, and say so"

check: lint types layers honest ## the gate: style, types, layers, what is public, the docs' blocks

lint: $(VENV)/.suite
	@echo "ruff"
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .

types: $(VENV)/.suite
	@echo "mypy"
	@$(VENV)/bin/mypy --no-error-summary $(CODE)
	@echo "pyright"
	@$(VENV)/bin/pyright --pythonpath $(PY) | { grep -v '^0 errors' || true; }

layers: $(VENV)/.suite
	@echo "import-linter"
	@$(VENV)/bin/lint-imports --no-cache --no-logo

honest: $(VENV)/.suite
	@echo "what is public, and the docs' blocks"
	@$(PY) -m pytest -q -m "not slow" tests/test_house.py tests/test_docs.py

format: $(VENV)/.suite ## put the code in order
	@$(VENV)/bin/ruff check --quiet --fix . || true
	@$(VENV)/bin/ruff format --quiet .

bench: $(VENV)/.suite ## what a message costs above the client library
	@$(PY) -m benchmarks overhead $(ARGS)

fuzz: $(VENV)/.suite ## ten minutes of whatever RocketMQ may answer; SECONDS=60: shorter; on Linux
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.1.0
	@$(PY) -m tests.rocketmq.fuzz $(or $(SECONDS),600)

lock: ## pin the newest versions that fit, for every Python found
	@tools/lock "$(EXTRAS)"

clean: ## forget environments and caches
	@rm -rf .venv* build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.package: $(DECLARED)
	@tools/venv $(@D)
	@echo "installing msgkit into $(@D)"
	@$(INSTALL) .
	@touch $@

$(VENV)/.suite: $(VENV)/.package
	@echo "installing the suite and the gate into $(@D)"
	@$(INSTALL) '.[$(EXTRAS)]'
	@touch $@

.venv-%/.suite: $(DECLARED)
	@tools/venv $(@D) $*
	@echo "installing msgkit, the suite and the gate into $(@D)"
	@$(INSTALL) '.[$(EXTRAS)]'
	@touch $@
.PRECIOUS: .venv-%/.suite
