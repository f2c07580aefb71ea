# tuwen: everything here runs in .venv, which the first target that needs it makes once.
#   make demo            a sample shop from its files to a served shop; SERVE=no ends before it is served
#   make test            all tests
#   make help            the rest

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := out/tools/.installed
WORKERS ?= 3
PORT ?= 8000
# V=1 shows what pip does
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile $(if $(V),,-qq)
LOCKED := $(PIP) --no-deps --require-hashes
DEMO := demo
# pip compiles nothing here, so what is imported is compiled once and kept: else every start of Python costs up to eight seconds more
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test nightly test-serve test-hub test-ocr check run runs suite bench bench-peers load fuzz attack soak audit licences release docs lock clean

help:
	@echo "make demo [SERVE=no] [PORT=8000]  a whole sample shop, served at 127.0.0.1 until Ctrl-C"
	@echo "make test                         all tests"
	@echo "make nightly                      200 kills of servers and writers, 200 faults of a PostgreSQL, every power cut"
	@echo "make test-serve                   a clean environment with tuwen[serve] alone answers a bundle, without torch"
	@echo "make test-hub                     encoders by name and minilm, with the libraries they come from (some 280 MB)"
	@echo "make test-ocr                     words in pictures, with the networks that read them (a wheel of 27 MB)"
	@echo "make check                        format, lint, types, import floors"
	@echo "make run RUN=flipkart OUT=DIR     repeat runs/flipkart.yaml: DIR/report.json, DIR/report.html"
	@echo "make runs                         repeat all runs and rewrite docs/results.md"
	@echo "make suite [ARGS='--only houses'] fusion: auto beside peers on all supervised runs: docs/suite.md"
	@echo "make bench                        speed, as ratios against a named limit"
	@echo "make bench-peers RUN=hm OUT=DIR   other packages in the harness of a rank run, each in its own environment"
	@echo "make load [ARGS=--mix=600]        a served home under load, beside an empty route"
	@echo "make fuzz                         schemathesis over the whole API of a served home, and walks through it"
	@echo "make attack                       every known attack on a served home: its figure before, and now"
	@echo "make soak [ARGS=--seconds=60]     ten minutes of honest and hostile traffic: nothing lost, doubled, or a fault"
	@echo "make audit                        the locked versions beside the databases of known vulnerabilities"
	@echo "make licences                     the licence of every package, and why those that are not permissive may stay"
	@echo "make release                      dist/: wheel, source, and a bill of materials (CycloneDX) with hashes"
	@echo "make docs                         rewrite docs/options.md from the code"
	@echo "make lock                         rewrite requirements.lock with today's versions"
	@echo "make clean                        remove what was made here, .venv too; out/ stays"

install: $(STAMP)

# The locks are complete, so nothing is resolved. torch of the index needs the CUDA libraries on Linux; its CPU build does not.
$(STAMP): requirements.lock requirements-cpu.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tuwen needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing into $(VENV): about 2 GB, a minute or two (V=1 shows more)"
	@$(PYTHON) -m venv $(VENV) || { echo "on Debian: apt-get install python3-venv"; exit 1; }
	@$(LOCKED) -r requirements-cpu.lock 2>/dev/null || echo "pip finds no CPU build of torch: the index's build is taken"
	@$(LOCKED) -r requirements.lock
	@$(BIN)/python -m pip check >/dev/null 2>&1 || $(LOCKED) -r requirements-cuda.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'import lightgbm' 2>/dev/null || \
	  echo "recommendations (and their tests) need libgomp: on Debian, apt-get install libgomp1"
	@touch $@

demo: $(STAMP)
	@$(BIN)/tuwen sample $(DEMO)/shop
	@$(BIN)/tuwen collect $(DEMO)/shop/SHOP.yaml --out $(DEMO)/dataset
	@$(BIN)/tuwen build $(DEMO)/dataset $(DEMO)/home
ifneq ($(SERVE),no)
	@$(BIN)/tuwen serve $(DEMO)/home --port $(PORT)
endif

# whole files to a worker, so that what a file makes for its tests is made once; tests/conftest.py puts the longest first
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

# what make test does a few times, many times; TUWEN_SEED=N draws other moments
nightly: $(STAMP)
	@TUWEN_NIGHTLY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m nightly -n $(WORKERS) --dist loadscope $(ARGS)

# its own target: it installs some 50 packages
test-serve: $(STAMP)
	@$(BIN)/python scripts/serve_check.py || { code=$$?; test $$code -eq 77 || exit $$code; }

# beside the environment, not in it: what nobody needs who names no model. torch is the one that is there
test-hub: $(STAMP) requirements-hub.lock
	@$(LOCKED) --upgrade --target out/hub -r requirements-hub.lock
	@OMP_NUM_THREADS=1 PYTHONPATH=out/hub $(BIN)/python -m pytest tests/test_models_hub.py $(ARGS)
	@OMP_NUM_THREADS=1 PYTHONPATH=out/hub $(BIN)/python -m pytest -k "minilm or photos_and_words" \
	  tests/test_models_pretrained.py tests/test_models_transfer.py tests/test_preprocess_contract.py tests/test_workflow_search.py $(ARGS)

# beside the environment too: the wheel names opencv and others, which nothing here needs, so pip check would complain
test-ocr: $(STAMP) requirements-ocr.lock
	@$(LOCKED) --upgrade --target out/ocr -r requirements-ocr.lock
	@OMP_NUM_THREADS=1 PYTHONPATH=out/ocr $(BIN)/python -m pytest -k "picture_text or picture-text" \
	  tests/test_preprocess_picture_text.py tests/test_preprocess_contract.py tests/test_workflow_picture_text.py $(ARGS)

check: $(STAMP)
	@$(BIN)/python scripts/options.py --check || { echo "docs/options.md is stale: make docs"; exit 1; }
	@$(BIN)/python scripts/limits.py --check || { echo "docs/limits.md is stale: make docs"; exit 1; }
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# the tools of a release, in an environment of their own: what is checked is what users install
$(TOOLS): requirements-release.lock
	@$(PYTHON) -m venv out/tools
	@out/tools/bin/python -m pip install -qq --no-deps --require-hashes -r requirements-release.lock
	@touch $@

audit: $(TOOLS)
	@$(PYTHON) scripts/audit.py

licences: $(STAMP) $(TOOLS)
	@$(BIN)/python -m pip check
	@$(BIN)/python scripts/licences.py

# dist/: wheel, source, licences, and a bill of materials (CycloneDX) of all that the lock installs, with hashes
release: $(STAMP) $(TOOLS) audit licences
	@rm -rf dist && $(BIN)/hatchling build
	@out/tools/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --of JSON -o dist/tuwen.cdx.json
	@$(BIN)/python scripts/licences.py > dist/licences.txt
	@ls -l dist

run: $(STAMP)
	@test -n "$(RUN)" -a -n "$(OUT)" || { echo "usage: make run RUN=flipkart OUT=DIR"; exit 2; }
	@$(BIN)/tuwen run runs/$(RUN).yaml --out $(OUT)

runs: $(STAMP)
	@$(BIN)/tuwen sample $(DEMO)/shop
	@$(BIN)/tuwen runs runs --out out/runs --results docs/results.md

# ARGS="--only houses olist --peers linear lightgbm --seconds 60"; stopped or failed, it goes on where it was
suite: $(STAMP)
	@$(BIN)/python scripts/suite.py $(ARGS)

bench: $(STAMP) requirements-ocr.lock
	@$(LOCKED) --upgrade --target out/ocr -r requirements-ocr.lock
	@set -e; export PYTHONPATH=out/ocr; for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file; done

# ARGS="--end 2020-02-11 --trials 6 --only implicit"; stopped or failed, it goes on where it was
bench-peers: $(STAMP)
	@test -n "$(RUN)" -a -n "$(OUT)" || { echo "usage: make bench-peers RUN=hm OUT=DIR"; exit 2; }
	@$(BIN)/python bench/peers/compare.py runs/$(RUN).yaml --out $(OUT) $(ARGS)

# ARGS="--examples 100"
fuzz: $(STAMP)
	@$(BIN)/python scripts/fuzz.py $(ARGS)

attack: $(STAMP)
	@PYTHONPATH=$(CURDIR)/bench:$(CURDIR)/tests $(BIN)/python scripts/attack.py $(ARGS)

soak: $(STAMP)
	@$(BIN)/python scripts/soak.py $(ARGS)

load: $(STAMP)
	@PYTHONPATH=bench $(BIN)/python -m load $(ARGS)

docs: $(STAMP)
	@$(BIN)/python scripts/options.py
	@$(BIN)/python scripts/limits.py

lock:
	@$(PYTHON) scripts/lock.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find src tests bench scripts -name __pycache__ -prune -exec rm -rf {} +
