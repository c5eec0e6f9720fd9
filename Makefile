# Plain verbs, each complete on a fresh machine that has Python 3.11 or 3.12 and make: `make quickstart`, `make test`, …
# A machine without a GPU saves gigabytes by naming PyTorch's CPU wheels once: make quickstart TORCH_INDEX=ADDRESS

VENV ?= .venv
TORCH_INDEX ?=
WORKERS ?= 2
RUNS ?= results/runs
OUT ?= results/report
EXTRAS ?= basicsr,lpips,view,test
REFERENCES ?= imdn,rfdn,pan,carn_m,fsrcnn,edsr_lite,rcan_lite
# the first that really runs (a version manager leaves dead commands), is supported, and can make environments
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 \
  && echo $$p && break; done)

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
READY := $(VENV)/ready
# `lamscope` is bench/, `lamscope.models` is models/ and so on; pyright cannot follow that and reads this folder of links
VIEW := build/typecheck/lamscope

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup quickstart test test-fast lint style types format coverage figures references wheel clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY)  ## the environment in .venv, with the pinned versions of constraints.txt

# torch comes first and alone: basicsr builds only beside an installed torch, hence no build isolation in the second line
$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || test -n "$(PYTHON)" || { \
	  echo "Python 3.11 or 3.12 with its venv module is needed; name yours with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) setuptools wheel torch torchvision
	$(INSTALL) --no-build-isolation -e '.[$(EXTRAS)]'
	@touch $@

quickstart: $(READY)  ## attribution maps, a ranking and figures of the shipped networks on the shipped images
	$(BIN)/lamscope run experiment=quickstart

test: lint $(READY)  ## lint, then every test
	$(BIN)/python -m pytest -n $(WORKERS)

test-fast: $(READY)  ## the tests that take less than a minute together
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

lint: style types  ## ruff and pyright

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	@rm -rf $(VIEW) && mkdir -p $(VIEW)
	@ln -s $(CURDIR)/bench/* $(CURDIR)/models $(CURDIR)/conf $(VIEW)
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(READY)  ## what ruff can mend, mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(READY)  ## which lines the tests reach, sub-processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

figures: $(READY)  ## table and figures of stored runs: make figures RUNS=results/runs OUT=results/report
	$(BIN)/lamscope report $(RUNS) out=$(OUT)

references: $(READY)  ## results/reference made again: make references WEIGHTS=FOLDER URBAN256=FOLDER
	rm -rf build/references
	$(BIN)/lamscope -m model=$(REFERENCES) machine.weights=$(WEIGHTS) results=build/references 'figures=[]'
	$(BIN)/lamscope -m model=$(REFERENCES) machine.weights=$(WEIGHTS) results=build/references 'figures=[]' \
	  dataset=folder dataset.name=urban256 dataset.path=$(URBAN256)
	$(BIN)/lamscope compare store build/references/runs/shipped reference=results/reference/shipped_lam.csv
	$(BIN)/lamscope compare store build/references/runs/urban256 reference=results/reference/urban256_lam.csv

wheel: $(READY)  ## dist/lamscope-*.whl
	rm -rf build/lib build/bdist*
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove the environment and everything built; results/ stays
	rm -rf $(VENV) build dist lamscope.egg-info .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
