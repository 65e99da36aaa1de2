# Thin: every target makes what it needs in .venv and runs one program. Nothing here needs root.
# Paths stay relative, and programs run as `python -m`, so that a checkout may live in a folder with a space in its name.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# Without byte code every start pays for compiling its imports again.
unexport PYTHONDONTWRITEBYTECODE
# Idle OpenMP threads that spin slow everything beside them.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export PIP_DISABLE_PIP_VERSION_CHECK := 1
UV_VERSION := 0.13.9
UV := $(PY) -m uv
# Each file's tests run in one worker, in order; one worker a core, four at most. WORKERS=0 runs all in one process, and
# `.venv/bin/python -m pytest FILE::TEST` a single test.
WORKERS ?= auto
PYTEST := $(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
INSTALL := UV_LINK_MODE=copy $(UV) pip install --quiet --python $(PY) --require-hashes --compile-bytecode

.PHONY: help demo setup peers oracles fuzz test test-long test-fast lint types imports ci bench docs lock clean doctor-libgomp
help:
	@echo "make demo       a backtest of a generated market, with a report (installs the base into .venv)"
	@echo "make test       the tests, Kafka and browser included where there is one (installs the rest)"
	@echo "make test-long  those that take minutes: thousands of problems, brokers that are killed, logins, faulty sessions"
	@echo "make test-fast  the tests that need neither Kafka, a browser nor market data"
	@echo "                all: WORKERS=0 for one process; ARGS=--hypothesis-profile=long for more examples a property"
	@echo "make peers      installs the engines that fills are compared with: their tests skip without them"
	@echo "make oracles    installs the portfolio optimizers that answers are compared with: their tests skip without them"
	@echo "make fuzz       installs what benchmarks/fuzz.py needs"
	@echo "make setup      installs everything else; make lint types imports ci bench docs lock clean"

demo: .venv/base.stamp doctor-libgomp
	@$(PY) -m samewire demo --out runs/demo --overwrite

setup: .venv/dev.stamp

peers: .venv/peers.stamp

oracles: .venv/oracles.stamp

fuzz: .venv/fuzz.stamp

test: .venv/dev.stamp doctor-libgomp
	$(PYTEST) -m "not long" $(ARGS)

test-long: .venv/dev.stamp doctor-libgomp
	$(PYTEST) -m long $(ARGS)

test-fast: .venv/dev.stamp doctor-libgomp
	$(PYTEST) -m "not kafka and not browser and not data and not peers and not slow and not long" $(ARGS)

lint: .venv/dev.stamp
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(BIN)/typos

types: .venv/dev.stamp
	$(PY) -m mypy

imports: .venv/dev.stamp
	$(BIN)/lint-imports

ci: lint types imports test

bench: .venv/dev.stamp doctor-libgomp
	$(PY) benchmarks/all.py

docs: .venv/dev.stamp
	$(PY) -m pytest tests/test_docs.py

lock: .venv/base.stamp
	echo "uv==$(UV_VERSION)" | $(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url -q \
	  --no-annotate --custom-compile-command "make lock" - -o requirements/uv.txt
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --group build -q \
	  --custom-compile-command "make lock" pyproject.toml -o requirements/base.txt
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --all-extras --group dev \
	  -c requirements/base.txt -q --custom-compile-command "make lock" pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --group peers \
	  -c requirements/dev.txt -q --custom-compile-command "make lock" -o requirements/peers.txt
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --group oracles \
	  -c requirements/dev.txt -q --custom-compile-command "make lock" -o requirements/oracles.txt
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --group fuzz \
	  -c requirements/dev.txt -q --custom-compile-command "make lock" -o requirements/fuzz.txt

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov

# LightGBM's wheel links against the system's OpenMP library.
doctor-libgomp: .venv/base.stamp
	@$(PY) -c "import ctypes; ctypes.CDLL('libgomp.so.1')" 2>/dev/null || [ "$$(uname)" != Linux ] || { \
	  echo "libgomp.so.1 is missing: LightGBM needs it. On Debian or Ubuntu: apt-get install libgomp1" >&2; exit 1; }

.venv/uv.stamp:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'samewire needs Python 3.11 or newer, this is %d.%d' % sys.version_info[:2])"
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --no-deps --no-cache-dir --require-hashes -r requirements/uv.txt
	@touch $@

.venv/base.stamp: .venv/uv.stamp requirements/base.txt pyproject.toml
	$(INSTALL) -r requirements/base.txt
	UV_LINK_MODE=copy $(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/base.stamp requirements/dev.txt
	$(INSTALL) -r requirements/dev.txt
	@touch $@

.venv/peers.stamp: .venv/dev.stamp requirements/peers.txt
	$(INSTALL) -r requirements/peers.txt
	@touch $@

.venv/oracles.stamp: .venv/dev.stamp requirements/oracles.txt
	$(INSTALL) -r requirements/oracles.txt
	@touch $@

.venv/fuzz.stamp: .venv/dev.stamp requirements/fuzz.txt
	$(INSTALL) -r requirements/fuzz.txt
	@touch $@
