# Each target sets up what it needs. With uv on the machine uv is used; otherwise a virtual environment is made and
# pip brings uv into it; either way every version comes from uv.lock.
#   make demo          the whole road in one story (OUT=demo-out, ARGS="--serve" keeps the space running)
#   make test          all tests, on SQLite and on PostgreSQL
#   make check         ruff, mypy --strict, import-linter, the lock
#   make bench         the benchmarks
#   make schemas       the specification's JSON Schemas, out of the official kit's jars (Java 17, Maven): with them at hand,
#                      make test holds every message it sees against them
#   make conformance   what others verify with: the official Dataspace Protocol kit on SQLite and on PostgreSQL (needs
#                      Java 17, Maven and Go), the specification's JSON Schemas, EDC, versitygw, gVisor, Go's sumdb/tlog,
#                      pymerkle, Spark against DuckDB (ARGS="--runs 3")

OUT ?= demo-out
ARGS ?=
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)
RUN := .venv/bin
PROGRAMS := .venv-programs
QUESTIONS := catalogue crawl exchange isolation jobs reconstruction sandbox search start utility delivery
PACKAGES := hexi connector ledger marketplace privacy registry sandbox

.PHONY: demo test schemas check bench conformance setup clean

setup: .venv/.hexi-ready $(PROGRAMS)/hexi-environment.json

.venv/.hexi-ready: uv.lock pyproject.toml
	@echo "Setting up .venv from uv.lock (once; some 400 MB of packages)..."
	@if ! command -v uv >/dev/null 2>&1 && ! [ -x .venv/bin/uv ]; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Hexi needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }; \
	  $(PYTHON) -m venv .venv || { echo "python3 -m venv failed: install python3-venv, or uv" >&2; exit 2; }; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"; \
	fi
	@UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --inexact --quiet --compile-bytecode
	@$(RUN)/python -m compileall -q $(PACKAGES)
	@touch $@

# What programs in the sandbox may import: an environment of its own, sealed. Bytecode of a kind that carries no times, so
# that the same lock gives the same seal.
$(PROGRAMS)/hexi-environment.json: .venv/.hexi-ready
	@UV_PROJECT_ENVIRONMENT=$(PROGRAMS) $(UV) sync --frozen --quiet --only-group programs --no-install-project \
	  --python $(RUN)/python
	@$(PROGRAMS)/bin/python -m compileall -q --invalidation-mode unchecked-hash -s $(PROGRAMS)/lib -p /lib $(PROGRAMS)/lib
	@$(RUN)/hexi sandbox environment --seal > /dev/null

demo: setup
	@$(RUN)/python -m examples.longyizhen --out "$(OUT)" $(ARGS)

test: setup
	$(RUN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=93 $(ARGS)

schemas: setup
	@$(RUN)/python -m tests.conformance.schemas

check: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(UV) lock --check

bench: setup
	@for question in $(QUESTIONS); do echo "== $$question"; $(RUN)/python -m benchmarks.$$question || exit 1; done

conformance: setup
	@UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --inexact --quiet --extra spark
	@$(RUN)/python -m tests.conformance $(ARGS)

clean:
	rm -rf .venv $(PROGRAMS) demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
