# make setup   a virtual environment in .venv with exactly the versions of constraints.txt
# make table1  set up, then regenerate table 1 on the built-in street world
# make test    set up, then run the test suite
# make smoke   set up, then the whole path: every method, three tables, robustness, efficiency, three minutes
# make bench   set up, then every speed that has a target, as ratios within one run (10 minutes)
# make lint    set up, then style and types

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORE ?= runs
SMOKE_STORE ?= runs-smoke
# One thread a process: the runner puts one job on each core, and two OpenMP pools on few cores
# fight. Passive waiting keeps an idle pool from burning its neighbour's time.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# One method beside random weights, under both detectors.
PAIR := random-*,scalr-*
TYPED := build/typed
PARTS := common datasets lima downstream results suites

.PHONY: setup table1 test smoke bench lint format clean
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "lima-bench needs Python 3.11 to 3.13: make setup PYTHON=python3.11"; exit 2; }
	@echo 'Setting up $(VENV): about two minutes, most of it packages on their way.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m lima_bench.datasets.world.warm
	$(BIN)/python -m lima_bench.lima.warm
	$(BIN)/python -m lima_bench.downstream.warm
	@touch $@

table1: setup
	$(BIN)/lima-bench run table1 --store $(STORE)

test: setup
	$(BIN)/python -m pytest

smoke: setup
	for suite in table1 table2; do \
	  $(BIN)/lima-bench run $$suite --profile smoke --store $(SMOKE_STORE) && \
	  $(BIN)/lima-bench check $$suite --profile smoke --store $(SMOKE_STORE) --against golden || exit 1; \
	done
	$(BIN)/lima-bench run table3 --profile smoke --store $(SMOKE_STORE) --only '$(PAIR)'
	$(BIN)/lima-bench check table3 --profile smoke --store $(SMOKE_STORE) --against golden --only '$(PAIR)'
	$(BIN)/lima-bench run robustness --profile smoke --store $(SMOKE_STORE)
	$(BIN)/lima-bench run efficiency --profile smoke --store $(SMOKE_STORE) \
	  --only scalr-1,lima-2 --columns hours,memory,nus-lp
	$(BIN)/lima-bench export efficiency --profile smoke --store $(SMOKE_STORE) --figures $(SMOKE_STORE)/figures

bench: setup
	$(BIN)/python -m benchmarks --json benchmarks/latest.json
	$(BIN)/python -m benchmarks.page

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPED)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(TYPED) .
	MYPYPATH=$(TYPED) $(BIN)/mypy $(PARTS:%=-p lima_bench.%) -p benchmarks

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist runs *.egg-info
