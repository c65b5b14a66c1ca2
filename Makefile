# Everything a developer does here. It needs make and Python 3.11 or newer, and sets up the rest in .venv.
# Arguments for a script go into ARGS: make ablate ARGS="--seeds 3 --dry-run"

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/uv

# A version manager may leave a python3.13 that only says "not installed", so each candidate is run.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup ablate test test-faults lint format lock bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# uv installs from the lock, not pip: it takes torch and torchvision builds that match, and is quicker.
# --python: without it uv would install into whichever environment happens to be active.
$(READY): requirements.lock pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found (tried python3.13, python3.12, python3.11," \
			"python3). Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment:" \
			"its venv or ensurepip module is missing. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
		echo "Setting up $(VENV) with $(PYTHON): about a minute on a fast line, 6 GB on disk"; \
		$(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	@$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps -e .
	@touch $@

setup: $(READY) ## install everything into .venv (the other targets do it when it is missing)

ablate: $(READY) ## train the regularisation study and write its report
	@$(BIN)/python experiments/ablate_regularization.py $(ARGS)

test: $(READY) ## run all tests but the slow fault tests
	@$(BIN)/python -m pytest -m "not faults" $(ARGS)

test-faults: $(READY) ## run the tests that kill workers and wait, about 20 minutes
	@$(BIN)/python -m pytest -m faults $(ARGS)

lint: $(READY) ## ruff, mypy --strict and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## format the code and sort its imports
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(READY) ## pin the dependencies of pyproject.toml anew (ARGS=--upgrade: to newer versions)
	@$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements.lock $(ARGS)
	@! grep -nE '://|^--' requirements.lock || { echo "an address got into requirements.lock" >&2; exit 1; }

bench: $(READY) ## run every benchmark and print one table (ARGS=--quick: rougher, sooner)
	@$(BIN)/python benchmarks/table.py $(ARGS)

clean: ## remove caches and build outputs; .venv and reports stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name $(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
