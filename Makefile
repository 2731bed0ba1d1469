# Two commands to start with: `make sweep` and `make test`. Each sets up .venv first where needed.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= results

.PHONY: setup sweep test test-slow lint ui

setup: .venv/ready

# Again only when what is to be installed has changed.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[embedded,dev]'
	touch $@

sweep: setup
	$(BIN)/python -m orchestrator.sweep --store $(STORE)

test: setup
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

ui: setup
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(STORE)/mlflow.db --host 127.0.0.1 --port 5000
