# `make demo` and `make test` need only Python 3.11+, make and a compiler: each makes .venv and installs what is pinned.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SNIPPETS := tests/snippets/node_modules/.installed

.PHONY: demo test test-all check format schema install clean

demo: install
	@rm -rf demo
	$(BIN)/bst demo --out demo

test: install check
	$(BIN)/pytest -q -m "not slow"

test-all: install check
	$(BIN)/pytest -q

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

install: $(INSTALLED) $(SNIPPETS)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[demo,dev]'
	@touch $@

# The Node and C++ programs of the model card are tested where npm is there.
$(SNIPPETS): tests/snippets/package-lock.json
	@if command -v npm >/dev/null; then \
	  ONNXRUNTIME_NODE_INSTALL=skip npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tests/snippets; fi
	@mkdir -p $(@D) && touch $@

clean:
	rm -rf .venv tests/snippets/node_modules demo build dist *.egg-info
