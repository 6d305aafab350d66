# The two commands to know: `make run` and `make test`. PYTHON says which interpreter, 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
# tests wait more than they compute
TEST_JOBS ?= 3

.PHONY: help run test check compile compiled brokers deps bench ns3 clean

help: ## show the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: $(VENV)/.compiled ## install into a new virtual environment, compare the strategies on scenarios/city_a_to_b.yaml
	@$(BIN)/python -m sim run scenarios/city_a_to_b.yaml -j $(JOBS)

test: $(VENV)/.installed-dev ## the whole test suite: ruff, mypy, pytest; also on a second Python where one is found
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@other="$$(sh tools/second_python.sh $(BIN)/python)"; \
	if [ -n "$$other" ]; then \
	  echo "second Python: $$other"; \
	  $(MAKE) --no-print-directory VENV=.venv-second PYTHON="$$other" .venv-second/.installed-dev || exit 1; \
	else echo "no second Python (3.13 beside 3.11) found: the suite runs on one"; fi; \
	HANDOVER_LAB_SECOND_PYTHON="$${other:+.venv-second/bin/python}" $(BIN)/python -m pytest -n $(TEST_JOBS) -q || exit 1; \
	if [ -n "$$other" ]; then .venv-second/bin/python -m pytest -n $(TEST_JOBS) -q -m "not slow and not broker"; fi

check: $(VENV)/.installed-dev ## ruff and mypy alone
	@$(BIN)/ruff check .
	@$(BIN)/mypy

compile: $(VENV)/.installed ## compile the model (mypyc; one to three minutes, once): the same bytes, about six times faster
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$$($(BIN)/python tools/compile.py --extras)]"
	@$(BIN)/python tools/compile.py

bench: $(VENV)/.compiled ## the lab's own benchmark
	@$(BIN)/python -m sim bench

ns3: $(VENV)/.compiled ## the fleet workload here and in ns-3, in turns (needs libns3-dev; three minutes)
	@$(BIN)/python tools/beside_ns3.py

brokers: $(VENV)/.installed-dev ## the tests with every real broker that is installed (five minutes)
	@HANDOVER_LAB_BROKERS=all $(BIN)/python -m pytest -q -m broker -rs tests/live

compiled: $(VENV)/.installed-dev compile ## the tests that a compiled form may fail, with it (two minutes beside compiling)
	@$(BIN)/python -m pytest -n $(JOBS) -q tests/test_compiled.py tests/golden tests/model tests/study/test_fleet_scenarios.py \
	  tests/study/test_failure_catalogue.py tests/test_own_strategy.py tests/test_wrong_strategies.py

deps: ## Debian programs that some tests use: real brokers, haproxy, Redis, dig (needs root)
	sh tools/debian_programs.sh mosquitto mosquitto-clients rabbitmq-server haproxy redis-server bind9-dnsutils

clean: ## remove virtual environments, caches and builds; results/ stays
	rm -rf .venv .venv-second build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# a stamp, so that an interrupted install is done again
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# once, and where it is possible; after an edit of the model the plain sources run until `make compile`
$(VENV)/.compiled: $(VENV)/.installed
	@echo "compiling the model, once, one to three minutes (it runs without, six times slower) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$$($(BIN)/python tools/compile.py --extras)]" && \
	  $(BIN)/python tools/compile.py --if-possible || echo "not compiled: the model runs as plain Python"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), with what the tests need ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed
