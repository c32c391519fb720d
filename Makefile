# Every target sets up .venv by itself and is quick when it is already set up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
READY := $(VENV)/.ready
DEMO_OUT ?= runs/demo

# Where Python may keep no compiled modules, every program that a test starts compiles torch anew: seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-all check extras bench docs counts clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install, then the whole job on generated videos, ending in a report"
	@echo "make test    install, then the tests that take seconds: under ten minutes on two cores"
	@echo "make test-all  all tests, the slow ones (trainings, parity of large models) included"
	@echo "make check   lint, types, architecture"
	@echo "make extras  whether the pinned versions fit all extras on every supported Python"
	@echo "make bench   speed against what you would use instead (needs benchmarks/requirements.txt)"
	@echo "make docs    regenerate the tables in docs/ that are made from code"
	@echo "make counts  measure the parameters and multiply-adds of every model anew"

# The demo needs only what users install; everything else needs the development tools as well. Compiling
# every module of every dependency takes a third of the install; Python compiles those in use when it first
# imports them.
$(CORE): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Kinesphere needs Python 3.11 or newer; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	touch $@

# The package trackers brings an OpenCV without the contributed modules, which may come to lie over the one that
# has them: it is put back.
$(READY): $(CORE)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import cv2; cv2.optflow.DualTVL1OpticalFlow_create' 2> /dev/null || $(BIN)/python -m pip install --quiet --no-compile --force-reinstall --no-deps --constraint constraints.txt opencv-contrib-python-headless
	touch $@

demo: $(CORE)
	$(BIN)/kinesphere demo --out $(DEMO_OUT)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

# What `make test` leaves out.
test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

# Both in one go: what the tests import, and what collecting them makes, is paid once.
test-all: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

extras: $(READY)
	UV=$(BIN)/uv .ci/extras

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/python -m docs.generate

counts: $(READY)
	$(BIN)/python -c 'from kinesphere.models import counts; counts.write()'

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache dist build site
