.DEFAULT_GOAL := help
.PHONY: help setup run train test lint ui lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# the stages call `python`: make it the environment's own, as `source .venv/bin/activate` does
ACTIVATE := VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH"
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-deps --progress-bar off --quiet

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## create .venv and install what the pipeline needs

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Lightbox needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(INSTALL) -r requirements-dev.txt
	@touch $@

run: $(STAMP) ## run the pipeline as params.yaml says, then show the leaderboard
	@$(ACTIVATE) python -m stages check
	@$(ACTIVATE) LIGHTBOX_DEFER_SUMMARY=1 dvc repro
	@$(ACTIVATE) python -m stages summary

train: $(STAMP) ## the same, JOBS models at a time: make train JOBS=4
	@$(ACTIVATE) python -m stages parallel $(if $(JOBS),--jobs $(JOBS))

test: $(DEV_STAMP) ## lint, check types, then run all tests
	@$(ACTIVATE) ruff check .
	@$(ACTIVATE) ruff format --check .
	@$(ACTIVATE) lint-imports
	@$(ACTIVATE) mypy
	@$(ACTIVATE) OMP_WAIT_POLICY=PASSIVE pytest -n 2

lint: $(DEV_STAMP) ## fix what the linter can fix
	@$(ACTIVATE) ruff check --fix .
	@$(ACTIVATE) ruff format .

ui: $(STAMP) ## open the MLflow UI on http://127.0.0.1:5000
	@$(ACTIVATE) mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links

lock: $(DEV_STAMP) ## write requirements.txt and requirements-dev.txt anew
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

clean: ## delete what the pipeline made (DVC's cache and MLflow's store stay)
	rm -rf data/raw.zip data/manifest.parquet data/processed reports
	find models -mindepth 1 -maxdepth 1 ! -name pretrained -exec rm -rf {} +
