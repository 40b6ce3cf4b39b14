# `make demo` and `make test` need only Python 3.11+, make and a compiler: each makes .venv and installs what is pinned.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
LOCKS := requirements-torch.lock requirements.lock requirements-cuda.lock
# What comes from npm: ONNX Runtime for Node, for browsers, and its C++ headers. Without npm, tests that want it skip.
NPM := clients/js tests/clients/headers
TRITON := tests/triton/.venv/.installed
CLUSTERS := tests/clusters/.venv/.installed
TOOLS := tools/.venv/.installed

.PHONY: demo serve test-quick test tested test-all test-gpu gpu-wheels clients-test check format schema docs install lock audit
.PHONY: licences package package-check clean

demo: install
	@rm -rf demo
	$(BIN)/bst demo --out demo

serve: install
	$(BIN)/bst demo --out demo --serve

# Workers have whole files each, and share the bundles that they build (tests/builds.py). Three keep two cores busy: at
# times one waits for a bundle, or for a process that it has started. Each computes with one thread: with two, threads of
# tiny models wait for each other, and took three times as long beside another process.
# Python writes its byte code, whatever the environment says: tests start many processes, which read it.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder

# Without a bundle: what to run after every change.
test-quick: install
	$(PYTEST) -m "not slow and not bundle"

# Types are checked beside the tests: mypy keeps one core busy for most of a minute.
test: install
	@$(MAKE) --no-print-directory -j 2 check tested

tested: install
	$(PYTEST) -m "not slow"

test-all: install check $(TRITON) $(CLUSTERS)
	$(PYTEST)

# On a machine with a CUDA device, which needs no network: its Python has torch, and `wheels/` the rest (`make gpu-wheels`
# elsewhere, then copied). Without `wheels/` the packages must be there already.
test-gpu:
	$(PYTHON) -m venv --system-site-packages .venv-gpu
	@if [ -d wheels ]; then .venv-gpu/bin/pip install -q --no-index --find-links wheels bst-recommender; fi
	rm -rf gpu
	.venv-gpu/bin/python -m bench.gpu --out gpu

# For the Python of the machine with the GPU. Of these only those are installed there that it lacks.
GPU_PYTHON ?= 3.12
gpu-wheels: install
	rm -rf wheels
	$(BIN)/pip download -q -d wheels -c constraints.txt --only-binary=:all: --python-version $(GPU_PYTHON) \
	  --platform manylinux2014_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_28_x86_64 \
	  $$($(BIN)/python -c "import tomllib; needs = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
	    print(*[one for one in needs if not one.startswith('torch>')])")
	$(BIN)/pip wheel -q --no-deps --no-build-isolation -w wheels .

clients-test: install
	$(BIN)/pytest -q tests/clients

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: install
	$(BIN)/python -c "import json, export.contract.manifest; print(json.dumps(export.contract.manifest.manifest_schema(), indent=2))" \
	  > docs/reference/manifest.schema.json
	$(BIN)/python -c "import json, bench.record.record; print(json.dumps(bench.record.record.record_schema(), indent=2))" \
	  > docs/reference/bench.schema.json
	$(BIN)/python -m tools.client_schema
	$(BIN)/python -m tools.reference

# The site in site/, which opens from the folder or from any server of files, without a network.
docs: install
	$(BIN)/python -m tools.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED) $(NPM:=/node_modules/.installed)

# Each file is held to a sha256. torch goes first, in the build that pip is set up to take: held to hashes, pip would rather
# have PyPI's, which on Linux wants the libraries of CUDA. The last line takes nothing from anywhere: it fails where the
# locks lack something.
$(INSTALLED): pyproject.toml $(LOCKS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip download -q --no-deps -c constraints.txt -d .venv/torch torch
	$(BIN)/pip install -q --no-deps --no-index -f .venv/torch --require-hashes -r requirements-torch.lock
	@rm -r .venv/torch
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements.lock
	@if $(BIN)/python -c "from importlib.metadata import requires; exit('nvidia' not in str(requires('torch')))"; then \
	  $(BIN)/pip install -q --no-deps --require-hashes -r requirements-cuda.lock; fi
	$(BIN)/pip install -q --no-index --no-build-isolation -e '.[demo,dev,docs]'
	@touch $@

$(TOOLS): tools/requirements.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --no-deps --require-hashes -r $<
	@touch $@

# `make lock OPTIONS=--upgrade` takes the newest versions, `OPTIONS='--upgrade-package torch'` one.
lock: $(TOOLS)
	$(<D)/bin/python tools/lock.py $(OPTIONS)

# Asks PyPI and npm for known vulnerabilities. `--strict`: what could not be asked about is a failure too.
audit: $(TOOLS) $(NPM:=/node_modules/.installed)
	$(<D)/bin/pip-audit --strict --require-hashes --disable-pip $(patsubst %,-r %,$(LOCKS) tools/requirements.lock)
	@for folder in $(NPM); do npm audit --prefix $$folder || exit 1; done

licences: install
	$(BIN)/python tools/licences.py

# The wheel is built from the sdist, so that nothing of an earlier build gets in. The last line is what a person copies.
package: install
	@rm -rf dist
	@$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')" >/dev/null
	@$(BIN)/pip wheel -q --no-deps --no-build-isolation -w dist dist/*.tar.gz
	@rm -rf bst_recommender.egg-info
	@echo pip install -c constraints.txt dist/*.whl

package-check: $(TOOLS)
	$(<D)/bin/python tools/package_check.py

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

# Ray and Spark for slow tests, some 700 MB; all else is found in .venv, so that torch is not installed twice.
$(CLUSTERS): tests/clusters/requirements.txt $(INSTALLED)
	$(BIN)/python -m venv $(@D)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > $$($(@D)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth
	$(@D)/bin/pip install -q --no-deps -r $<
	@touch $@

clean:
	rm -rf .venv .venv-gpu wheels gpu tests/triton/.venv tests/clusters/.venv tools/.venv $(NPM:=/node_modules) demo site build dist *.egg-info
