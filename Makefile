# Everything runs in $(VENV), which is made on demand: Python, pip and make are all that a machine needs.
#   PYTHON=python3.13             the interpreter that the environment is made with; another one needs another VENV
#   VENV=.venv-dev8               where the environment is
#   BOKEH=bokeh==4.0.0.dev8       the Bokeh to install; without it, the newest for that Python
#   SELECT='-k joining'           some of the tests of everything but the protocol
PYTHON ?= python3
VENV ?= .venv
BOKEH ?= bokeh
# How long `make fuzz` looks for what breaks the receive path.
FUZZ_SECONDS ?= 60
# How many examples `make conformance` draws in all, and of which tests.
CONFORMANCE_EXAMPLES ?= 1000000
CONFORMANCE ?= tests/protocol
# The tests of everything but the protocol are spread over the processors, module by module. More than four at once would
# get in each other's way where they wait for what is late.
SPREAD ?= --numprocesses=auto --maxprocesses=4 --dist=loadscope --no-loadscope-reorder

BIN := $(VENV)/bin
# What `make demo` needs, and all that the others need as well.
RUN_READY := $(VENV)/.ready-run
READY := $(VENV)/.ready
FUZZ_READY := $(VENV)/.ready-fuzz
REQUEST := $(VENV)/.request
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# An editable install in strict mode links each module, so that type checkers can follow it; a module that is added or
# removed needs a new install. The names stand in the request for that reason.
MODULES := $(sort $(shell find src -name '*.py'))

.PHONY: demo test test-protocol test-others check format conformance conformance-protocol conformance-sync conformance-faults soak fuzz bench bench-check clean FORCE

demo: $(RUN_READY)
	$(BIN)/python examples/demo.py

test: test-protocol test-others

# The protocol's own tests have to reach every branch of it. The others run untraced, at full speed.
test-protocol: $(READY)
	$(BIN)/python -m coverage run -m pytest tests/protocol
	$(BIN)/python -m coverage report --include='src/protocol/*' --fail-under=100

test-others: $(READY)
	$(BIN)/python -m pytest --ignore=tests/protocol $(SPREAD) $(SELECT)

check: $(READY)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

format: $(READY)
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

# Everything that takes hours.
conformance: conformance-protocol conformance-sync conformance-faults

# The protocol's tests with CONFORMANCE_EXAMPLES examples in all, split over its properties so that each runs about as
# long as its weight; tests/protocol/deep.py says what counts as one. A million take about 40 minutes of one core; ask for
# fewer where that is too long. The statistics at the end have the examples of each property. One test may take as long as
# it does.
conformance-protocol: $(READY)
	BOKEHWIRE_EXAMPLES=$(CONFORMANCE_EXAMPLES) $(BIN)/python -m pytest --hypothesis-profile=deep --timeout=0 \
		--hypothesis-show-statistics --durations=0 --durations-min=1 $(CONFORMANCE)

# The random programs of a server and its clients, in memory and over sockets: 10,000 examples.
conformance-sync: $(READY)
	$(BIN)/python -m pytest --hypothesis-profile=sync --timeout=0 --hypothesis-show-statistics tests/sync

# Every fault point, and not a few of each kind as in `make test`; 100,000 changes, and sessions by the thousand.
conformance-faults: $(READY)
	BOKEHWIRE_FAULTS=all $(BIN)/python -m pytest --timeout=0 tests/resilience

soak: $(READY)
	$(BIN)/python -m tests.soak --minutes 10

# fuzz/README.md has more ways to run it.
fuzz: $(FUZZ_READY)
	$(BIN)/python -m fuzz --seconds=$(FUZZ_SECONDS)

bench: $(READY)
	$(BIN)/python -m benchmarks

# Compares ratios, with wide margins, to those that are kept in benchmarks/results/. No part of the tests.
bench-check: $(READY)
	$(BIN)/python -m benchmarks.check

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Rewritten only when what is asked for has changed, so that an environment is made once.
$(REQUEST): FORCE
	@mkdir -p $(VENV)
	@printf '%s\n' '$(PYTHON)' '$(BOKEH)' '$(MODULES)' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

define install
@echo 'installing $(1) in $(VENV)'
@$(PYTHON) -m venv $(VENV)
@$(PIP) install '$(BOKEH)' --config-settings editable_mode=strict --editable '.$(2)'
@$(BIN)/python -c 'import platform, bokeh; print("Python", platform.python_version(), "with Bokeh", bokeh.__version__)'
endef

$(RUN_READY): pyproject.toml $(REQUEST)
	$(call install,bokehwire)
	@touch $@

$(READY): pyproject.toml $(REQUEST)
	$(call install,bokehwire and its tools,[dev])
	@touch $(RUN_READY) $@

$(FUZZ_READY): $(READY)
	$(call install,the fuzzer,[fuzz])
	@touch $@
