# Everything one types here. Each target sets up its own virtual environment in .venv first;
# nothing has to be installed by hand, and a changed pyproject.toml installs again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
TRACE := demo/llada.trace

.DEFAULT_GOAL := help
.PHONY: help demo test lint slow perf perf-compare perf-baseline growth validate validate-full studies clean

help:
	@echo "make demo   two forwards of LLaDA-8B on dart-2048: trace, run, table"
	@echo "make test   ruff, mypy, import contracts, tests"
	@echo "make lint   the first three of these"
	@echo "make slow   the tests that take minutes"
	@echo "make perf   benchmarks of the simulator itself; perf-compare: beside the committed ones"
	@echo "make growth how the cost of a run grows with the work: table and plot"
	@echo "make validate       compare with the figures of other tools: a selection, minutes"
	@echo "make validate-full  all of them"
	@echo "make studies        KV schemes on synthetic data; the tiny model: tokens, KV schemes, formats of logits; 200 prompts"
	@echo "make clean  remove the virtual environment and what the tools left"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

demo: $(RUN)
	@mkdir -p $(dir $(TRACE))
	$(BIN)/python -m workloads llada-8b --schedule llada --cache dual --prompt 128 --gen 256 --block 32 --steps 256 \
		--batch 1 --machine dart-2048 --forwards 0:2 -o $(TRACE)
	$(BIN)/python -m archsim $(TRACE)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -q -n 2

slow: $(DEV)
	$(BIN)/python -m pytest -q -n 2 -m slow

BENCHES := $(patsubst perf/bench_%.py,%,$(sort $(wildcard perf/bench_*.py)))

perf: $(DEV)
	@rm -rf build/perf && mkdir -p build/perf
	@set -e; for bench in $(BENCHES); do $(BIN)/python perf/bench_$$bench.py --fast -o build/perf/$$bench.json; done

perf-compare: perf
	@set -e; for bench in $(BENCHES); do if [ -f perf/baseline/$$bench.json ]; then \
		$(BIN)/python -m pyperf compare_to --table perf/baseline/$$bench.json build/perf/$$bench.json; fi; done

perf-baseline: perf
	$(BIN)/python perf/baseline.py build/perf perf/baseline

growth: $(DEV)
	$(BIN)/python -m pip install --quiet --editable ".[plots]"
	$(BIN)/python perf/growth.py -o perf

validate: $(RUN)
	$(BIN)/python -m archsim validate all

validate-full: $(RUN)
	$(BIN)/python -m archsim validate all --full

studies: $(RUN)
	@set -e; for study in tokens kv sampling; do $(BIN)/python -m workloads study $$study --prompts 200; done
	@set -e; for data in A B C D; do $(BIN)/python -m workloads study kv-synthetic --scenario $$data; done

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
