# One command each: `make demo`, `make test`, `make docs`. They build the project's own environment in .venv first.
#   make demo PYTHON=python3.12        another interpreter, 3.10 to 3.13
#   make test WORKERS=4                test files side by side, 2 GB of memory each
#   make soak KILLS=100 EXAMPLES=5000  more kills, and more examples of each property

VENV     := .venv
BEAM     := .venv-beam
PY       := $(VENV)/bin/python
DEMO     := runs/demo
WORKERS  ?= 2
KILLS    ?= 30
EXAMPLES ?= 1000
INSTALL  := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# numpy 2.2, the last one for Python 3.10, describes its types in another way than later versions.
HAS_TYPES := import sys; sys.exit(sys.version_info < (3, 11))
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

# TensorFlow's start-up notes say nothing about the run, and its failures come as exceptions.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test test-beam soak lint browser docs env test-env docs-env beam-env same-python tensorboard clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: env ## Train DSEH on real handwritten digits, print its MAP, draw its figures
	$(PY) -m experiments.run --workdir=$(DEMO) --data_dir=data --rounds=2 --imgnet_epochs=12
	$(PY) -m experiments.evaluate --workdir=$(DEMO)
	$(PY) -m figures.all --runs=$(DEMO) --out=$(DEMO)/figures
	@echo
	@echo "Tables and pictures: $(DEMO)/figures"
	@echo "Training curves:     $(VENV)/bin/tensorboard --logdir $(DEMO)/tensorboard"

test: lint browser ## Lint, then run the whole test suite
	$(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test-beam: beam-env ## Run the tests of Apache Beam, in an environment of its own
	$(BEAM)/bin/python -m pytest tests/encoding/test_beam.py tests/experiments/test_encode_beam.py

soak: test-env ## Kill runs at random moments; long property tests; runs with other numbers of threads
	$(PY) -m tests.faults.soak --kills=$(KILLS)
	$(PY) -m tests.faults.determinism
	HYPOTHESIS_EXAMPLES=$(EXAMPLES) $(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadfile \
	  $$(grep -rlE 'HYPOTHESIS_EXAMPLES|import .*examples' tests --include='test_*.py')

lint: test-env ## Check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@if $(PY) -c '$(HAS_TYPES)'; then echo "$(PY) -m mypy" && $(PY) -m mypy; else echo "Types are checked on Python 3.11 and later"; fi

# The page of experiments.serve is tested in a browser. Debian's and Ubuntu's is installed where this may be done; without
# one, that test is skipped.
browser: ## Install Chromium and its driver with apt, as root
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium, for the test of a page"; \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "No Chromium with chromedriver here: the test of the page is skipped"

docs: docs-env ## Build the documentation; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "Documentation: build/site/index.html"

tensorboard: env ## Open TensorBoard on the demo's run
	$(VENV)/bin/tensorboard --logdir $(DEMO)/tensorboard

clean: ## Remove .venv, build products and caches; runs/ and data/ stay
	rm -rf $(VENV) $(BEAM) build dist dseh_tf.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find benchmarks dseh_tf experiments figures tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps make the second call instant; a change of what is required installs again.
env: $(VENV)/.installed
test-env: $(VENV)/.installed-test
docs-env: $(VENV)/.installed-docs
beam-env: $(BEAM)/.installed

$(VENV)/.installed: setup.py constraints.txt | $(VENV)/bin/pip
	@echo "Installing the library into $(VENV) (a few minutes the first time)"
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: setup.py constraints.txt | $(VENV)/bin/pip
	@echo "Installing the library and its test tools into $(VENV) (a few minutes the first time)"
	$(INSTALL) --editable '.[duckdb,litert,onnx,pgvector,search,serve,test]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-docs: setup.py constraints.txt | $(VENV)/bin/pip
	@echo "Installing the library and its documentation tools into $(VENV) (a few minutes the first time)"
	$(INSTALL) --editable '.[docs]'
	@touch $(VENV)/.installed $@

# Without the constraints: Beam needs older versions of protobuf, pillow and pyarrow than they name.
$(BEAM)/.installed: setup.py | $(VENV)/bin/pip
	@echo "Installing the library with Apache Beam into $(BEAM) (a few minutes the first time)"
	$(PY) -m venv $(BEAM)
	$(BEAM)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[beam,test]'
	@touch $@

# Without PYTHON=..., the first of these that starts and is in the range.
$(VENV)/bin/pip:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10); do \
	  if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	found="$$($(or $(PYTHON),python3) --version 2>&1 | head -n 1)"; \
	echo "dseh_tf needs Python 3.10 to 3.13; $(or $(PYTHON),python3) is: $$found. Name one with 'make PYTHON=python3.12 ...'." >&2; \
	exit 1

# An environment made with another interpreter is not replaced silently.
ifdef PYTHON
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
$(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-docs: | same-python
env test-env docs-env: same-python
same-python: | $(VENV)/bin/pip
	@asked="$$($(PYTHON) -c '$(VERSION)')"; has="$$($(PY) -c '$(VERSION)')"; \
	if [ "$$asked" != "$$has" ]; then \
	  echo "$(VENV) was made with Python $$has, PYTHON=$(PYTHON) is $$asked: 'make clean' first." >&2; exit 1; \
	fi
endif
