# `make demo` and `make test` need only Python 3.11+, make and a compiler: each makes .venv and installs what is pinned.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# What comes from npm: ONNX Runtime for Node, for browsers, and its C++ headers. Without npm, tests that want it skip.
NPM := clients/node clients/web tests/clients/headers
TRITON := tests/triton/.venv/.installed

.PHONY: demo serve test test-all clients-test check format schema install clean

demo: install
	@rm -rf demo
	$(BIN)/bst demo --out demo

serve: install
	$(BIN)/bst demo --out demo --serve

test: install check
	$(BIN)/pytest -q -m "not slow"

test-all: install check $(TRITON)
	$(BIN)/pytest -q

clients-test: install
	$(BIN)/pytest -q tests/clients

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: install
	$(BIN)/python -c "import json, export.manifest; print(json.dumps(export.manifest.manifest_schema(), indent=2))" \
	  > docs/manifest.schema.json
	$(BIN)/python -c "import json, bench.record; print(json.dumps(bench.record.record_schema(), indent=2))" \
	  > docs/bench.schema.json

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED) $(NPM:=/node_modules/.installed)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[demo,dev]'
	@touch $@

%/node_modules/.installed: %/package-lock.json
	@if command -v npm >/dev/null; then \
	  ONNXRUNTIME_NODE_INSTALL=skip npm ci --silent --ignore-scripts --no-audit --no-fund --prefix $*; fi
	@mkdir -p $(@D) && touch $@

# A Triton server for one slow test, and the Python that it runs. There is one for Linux on x86-64, up to Python 3.12.
$(TRITON): tests/triton/requirements.txt
	@if $(PYTHON) -c "import os, sys; u = os.uname(); \
	  sys.exit((u.sysname, u.machine) != ('Linux', 'x86_64') or sys.version_info >= (3, 13))"; then \
	  $(PYTHON) -m venv $(@D) && $(@D)/bin/pip install -q --no-deps -r $<; fi
	@mkdir -p $(@D) && touch $@

clean:
	rm -rf .venv tests/triton/.venv $(NPM:=/node_modules) demo build dist *.egg-info
