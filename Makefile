# Two commands to start with: `make sweep` and `make test`. Each sets up .venv first where needed.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= results
export STORE

KILLS := $(or $(N),100)

.PHONY: setup sweep test test-slow chaos lint audit ui

setup: .venv/ready

# Again only when what is to be installed has changed.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[embedded,dev]'
	touch $@

sweep: setup
	$(BIN)/python -m orchestrator.sweep --store "$$STORE"

test: setup
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

# Kills N small sweeps' processes and checks that nothing was lost: make chaos N=100
chaos: setup
	$(BIN)/python tests/chaos.py --kills $(KILLS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory audit

# Known vulnerabilities of the versions we install. A mirror may not have the data.
audit: setup
	$(BIN)/pip-audit --progress-spinner off --disable-pip --no-deps -r constraints.txt 2>&1 | \
	awk '/could not be audited/ {n++; next} {print} END {if (n) print n " not audited: no data"}'

ui: setup
	$(BIN)/python -m orchestrator.track ui --store "$$STORE"
