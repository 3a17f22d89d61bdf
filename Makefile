# make run    set up, check the configuration, serve the demo on 127.0.0.1:8080
# make test   set up with the test extra, lint, run all tests
# make bench  measure against nginx (and LiteLLM: make bench LITELLM=1)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?= conf/gateway.yaml
BIND   ?= 127.0.0.1:8080

.PHONY: run test lint bench clean

run: $(VENV)/installed
	$(BIN)/gateway check --config $(CONFIG)
	exec $(BIN)/gateway serve --config $(CONFIG) --bind $(BIND)

test: $(VENV)/installed-test
	$(MAKE) lint
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else  # three at once on two cores: much of the time tests wait for clocks and processes
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder
endif

lint: $(VENV)/installed-test
	$(BIN)/ruff check gateway plugins tests benchmarks wsgi.py setup.py

bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.run $(if $(LITELLM),--litellm)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: $(VENV)/bin/python setup.cfg setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/bin/python setup.cfg setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist *.egg-info
