# `make demo` and `make test` need only Python 3.11+, make and a compiler: each makes .venv and installs what is pinned.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-all check format install clean

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

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[demo,dev]'
	@touch $@

clean:
	rm -rf .venv demo build dist *.egg-info
