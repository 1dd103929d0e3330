# Thin on purpose: find a Python, hand it to scripts/set_up.py, which does the rest.
# PYTHON=… names the interpreter; ARGS="…" is passed on to the command.

PYTHON ?=
# Any that pyproject.toml names will do. Those up to 3.13 first: lesson 03 shows nest-asyncio, which
# goes wrong on newer ones. An older Python comes last, for scripts/set_up.py to say what it lacks.
CANDIDATES = python3.13 python3.12 python3.11 python3.14 python3.15 python3 python
ifeq ($(PYTHON),)
FOUND := $(shell for p in $(CANDIDATES); do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; exit; }; \
  done; command -v python3)
NONE = $(error No Python was found: install Python 3.11 or newer, or name it with PYTHON=)
else
FOUND := $(if $(filter 2 3,$(shell '$(PYTHON)' -c 'import sys; print(sys.version_info[0])')),$(PYTHON))
NONE = $(error PYTHON=$(PYTHON) is no Python that starts: name a command as in PYTHON=python3.13, or a path)
endif
SET_UP = PYTHON='$(PYTHON)' '$(or $(FOUND),$(NONE))' scripts/set_up.py
KIT = @$(SET_UP) kit --
TEST = @$(SET_UP) test --

.DEFAULT_GOAL := help
.PHONY: help setup lab test prove record lint format pictures executed gallery slides wheelhouse lock dist update clean

help:
	@echo 'make lab        set up what is missing and open JupyterLab   (ARGS="--no-browser --port 8899")'
	@echo 'make setup      the set-up alone'
	@echo 'make test       tests, and the recorded trials judged again  (PYTHON=python3.12 for another Python)'
	@echo 'make prove      all verdicts live, notebooks at full length; goes on where it ended (ARGS="-k 01-", ARGS=--anew)'
	@echo 'make record     trials of all fixes, kept under tests/labs/records (ARGS="-k 04-" or "--compare main")'
	@echo 'make lint       ruff, mypy, drift, our own scanner;  make format fixes what ruff can'
	@echo 'make gallery    the notebooks, executed, as HTML in build/gallery'
	@echo 'make slides     the notebooks as slides in build/slides      (ARGS=--execute: as they run here)'
	@echo 'make pictures   the pictures of the README;  make executed  those of the slides'
	@echo 'make wheelhouse the packages into ./wheelhouse, for computers without a network'
	@echo 'make lock       solve the dependencies anew into requirements.lock'
	@echo 'make dist       sdist and wheel of the newest commit, tried in an empty environment'
	@echo 'make update     fetch the newest kit; your edited labs stay'
	@echo 'make clean      remove the environments and everything built'

setup:
	@$(SET_UP) kit

lab:
	$(KIT) -m loopclinic lab $(ARGS)

test:
	$(TEST) -m pytest -n 4 $(ARGS)

prove:
	$(TEST) -m pytest -m prove $(ARGS)

record:
	$(TEST) scripts/record.py $(ARGS)

lint:
	$(TEST) -m ruff check .
	$(TEST) -m ruff format --check .
	$(TEST) -m mypy
	$(TEST) -m mypy --follow-imports=silent scripts
	$(TEST) scripts/drift.py
	$(TEST) -m loopclinic scan src --no-cache

format:
	$(TEST) -m ruff check --fix --exit-zero .
	$(TEST) -m ruff format .
	$(TEST) scripts/format_notebooks.py

pictures:
	$(TEST) scripts/pictures.py $(ARGS)

executed:
	$(TEST) scripts/executed.py $(ARGS)

gallery:
	$(KIT) -m loopclinic gallery $(ARGS)

slides:
	$(KIT) -m loopclinic slides $(ARGS)

wheelhouse:
	$(KIT) scripts/wheelhouse.py $(ARGS)

lock:
	$(TEST) scripts/lock.py $(ARGS)

dist:
	$(TEST) scripts/dist.py

update:
	$(KIT) -m loopclinic update
	@$(SET_UP) kit

clean:
	rm -rf .venv .venv-3.* .venv.lock wheelhouse build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
