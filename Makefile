# Everything one types here. Each target sets up its own virtual environment in .venv first;
# nothing has to be installed by hand, and a changed pyproject.toml installs again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
TRACE := demo/llada.trace

.DEFAULT_GOAL := help
.PHONY: help demo test lint slow perf validate validate-full studies clean

help:
	@echo "make demo   two forwards of LLaDA-8B on dart-2048: trace, run, table"
	@echo "make test   ruff, mypy, import contracts, tests"
	@echo "make lint   the first three of these"
	@echo "make slow   the tests that take minutes"
	@echo "make perf   benchmarks of the simulator itself"
	@echo "make validate       compare with the figures of other tools: a selection, minutes"
	@echo "make validate-full  all of them"
	@echo "make studies        the tiny model: tokens of its programs, KV schemes, formats of logits; 200 prompts each"
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

perf: $(DEV)
	@set -e; for bench in $(sort $(wildcard perf/bench_*.py)); do $(BIN)/python $$bench --fast; done

validate: $(RUN)
	$(BIN)/python -m archsim validate all

validate-full: $(RUN)
	$(BIN)/python -m archsim validate all --full

studies: $(RUN)
	@set -e; for study in tokens kv sampling; do $(BIN)/python -m workloads study $$study --prompts 200; done

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
