# Everything happens in one virtual environment, made and filled on first use.
#   make demo                      the demonstration: particles in, hits and pictures out
#   make test PYTHON=python3.12    another interpreter
#   make test WORKERS=8            in more processes than two
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu    PyTorch without CUDA, where PyPI's build carries it

PYTHON      ?= python3
VENV        ?= .venv
TORCH_INDEX ?=
WORKERS     ?= 2

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH   := $(shell grep '^torch==' constraints.txt)
ROOT    := $(shell grep '^root==' constraints.txt)
# where PYTHONDONTWRITEBYTECODE is set, each of the many processes of the tests would compile all that it imports
PYTEST  := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
# tests in several processes, those that start ranks with mpiexec all in one of them; tests/conftest.py has the order
BESIDE  := --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

MADE      := $(VENV)/.made
FOR_DEMO  := $(VENV)/.for-demo
FOR_TEST  := $(VENV)/.for-test
FOR_LINT  := $(VENV)/.for-lint
FOR_DOCS  := $(VENV)/.for-docs

.DEFAULT_GOAL := help
.PHONY: help demo native pictures docs test test-fast lint format bench bench-parallel build clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(FOR_DEMO)  ## convert the example events and draw them (installs neither PyTorch nor ROOT)
	$(BIN)/python examples/demo/demo.py

pictures: demo  ## the demo, and its pictures into the documents
	cp examples/demo/output/*.png docs/images/

docs: $(FOR_TEST) $(FOR_DOCS)  ## the documentation as a site, in docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

test: $(FOR_TEST)  ## all tests
	$(PYTEST) $(BESIDE) -m 'slow or not slow'

test-fast: $(FOR_TEST)  ## the tests without the slow ones
	$(PYTEST) $(BESIDE) -m 'not slow'

lint: $(FOR_TEST) $(FOR_LINT)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(FOR_LINT)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(FOR_DEMO)  ## speed and memory on one core, written to benchmarks/results
	$(BIN)/python benchmarks/run.py

bench-parallel: $(FOR_TEST)  ## training on two ranks, beside torch's own way; for a machine with nothing else to do
	$(BIN)/python benchmarks/training/parallel.py

native:  ## compile the native engine into fastcalo/_native, where load_model finds it (needs cmake and a C++ compiler)
	cmake -S integration/cpp -B build/native -DCMAKE_BUILD_TYPE=Release -DFASTCALO_BUILD_TESTS=OFF
	cmake --build build/native --parallel $(WORKERS) --target fastcalo
	mkdir -p fastcalo/_native
	cp -L build/native/src/libfastcalo.$(if $(filter Darwin,$(shell uname)),dylib,so) fastcalo/_native/

build: $(FOR_LINT)  ## wheel and sdist, in dist/
	$(BIN)/python -m build --quiet

clean:  ## remove the environment and what the tools left
	rm -rf $(VENV) build dist docs/_build docs/reference/generated examples/demo/output .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fastcalo needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(FOR_DEMO): $(MADE) pyproject.toml constraints.txt
	$(INSTALL) --editable '.[demo]'
	touch $@

# PyTorch alone and first, so that no other package chooses its build
$(FOR_TEST): $(MADE) pyproject.toml constraints.txt
	$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	$(INSTALL) --pre $(ROOT)
	$(INSTALL) --editable '.[test]'
# the rest of torch, too, before several processes do it at the same time
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true
	touch $@

$(FOR_LINT): $(MADE) constraints.txt
	$(INSTALL) build mypy pre-commit ruff
	touch $@

$(FOR_DOCS): $(MADE) pyproject.toml constraints.txt
	$(INSTALL) --editable '.[docs]'
	touch $@
