# Two commands on a fresh machine: `make detect` and `make test`.
PYTHON ?= python3
FILES ?= examples/
LIGHT := .venv-light
DEV := .venv
# Also for what pip fetches to build the package.
export PIP_CONSTRAINT := constraints.txt
SOURCES := pyproject.toml constraints.txt $(shell find src -type f -not -name '*.pyc')

.PHONY: detect test lint docs page bench soak clean

detect: $(LIGHT)/.installed  ## judge FILES (default: the examples) with the light install
	$(LIGHT)/bin/aasist detect $(FILES)

test: $(DEV)/.installed  ## the whole test suite
	$(DEV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(DEV)/.installed  ## formatting, lint and types
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy

bench: $(DEV)/.installed  ## the tables of speed, on a quiet machine
	$(DEV)/bin/python -m pip install --quiet --editable '.[dev,bench]'
	for table in speed linear metrics training_step augmentation graph training_data stream; do \
		$(DEV)/bin/python benchmarks/$$table.py || exit 1; done
	$(DEV)/bin/python docs/generate.py

page:  ## build the page that the service shows, from web/ into the package
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run build

soak: $(DEV)/.installed  ## heavy loads on the service, on a quiet machine
	AASIST_HOSTILE_UPLOADS=1000 AASIST_KILLED_JOBS=200 AASIST_SCHEMA_EXAMPLES=500 \
		$(DEV)/bin/python -m pytest tests/service/test_live.py tests/service/test_openapi.py
	AASIST_VANISHING_CLIENTS=200 AASIST_LIVE_STREAMS=50 AASIST_LIVE_SECONDS=60 \
		$(DEV)/bin/python -m pytest -rP tests/service/test_vanishing.py tests/service/test_many_streams.py
	$(DEV)/bin/python benchmarks/stream.py --streams 50 --seconds 60 --threads 2 --print
	$(DEV)/bin/python benchmarks/soak.py
	$(DEV)/bin/python docs/generate.py

docs: $(DEV)/.installed  ## rewrite the generated parts of README and docs
	$(DEV)/bin/python docs/generate.py

$(LIGHT)/.installed: $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aasist needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(LIGHT)/bin/python || $(PYTHON) -m venv $(LIGHT) || { echo "on Debian: apt install python3-venv"; exit 1; }
	$(LIGHT)/bin/python -m pip install --quiet .
	touch $@

$(DEV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aasist needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV) || { echo "on Debian: apt install python3-venv"; exit 1; }
	$(DEV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(LIGHT) $(DEV) dist
