.DEFAULT_GOAL := help
.PHONY: help setup run test lint ui serve app docs lock clean notebooks

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# the stages call `python`: make it the environment's own, as `source .venv/bin/activate` does
ACTIVATE := VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH"
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
# uv installs several times faster than pip; without it pip does the same
UV := $(shell command -v uv)
INSTALL := $(if $(UV),$(UV) pip install --python $(BIN)/python --quiet,$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet)
# TORCH=cpu: PyTorch without CUDA. Remembered, so that `make run` does not bring CUDA in after all
TORCH ?= $(shell cat $(VENV)/.torch 2>/dev/null)

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## create .venv and install what the pipeline needs; without CUDA: make setup TORCH=cpu

$(STAMP): requirements.in requirements.txt
	@case "$$(uname -s)" in Linux|Darwin) ;; *) echo "Lightbox runs on Linux and macOS; on Windows, inside WSL 2." >&2; exit 1;; esac
	@case "$(TORCH)" in ''|cpu) ;; *) echo "TORCH=$(TORCH): leave it out (the standard build, with CUDA on Linux) or say cpu." >&2; exit 1;; esac
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Lightbox needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	$(if $(UV),,$(INSTALL) --no-deps -c requirements-dev.txt uv)
	$(or $(UV),$(BIN)/uv) pip install --python $(BIN)/python --quiet --torch-backend cpu -r requirements.in -c requirements.txt
else
	$(INSTALL) --no-deps -r requirements.txt
endif
	@echo "$(TORCH)" > $(VENV)/.torch
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(INSTALL) --no-deps -r requirements-dev.txt
	@touch $@

run: $(STAMP) ## run the pipeline, then show the leaderboard; so many models at a time: make run JOBS=4
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

ui: $(STAMP) ## show the runs in MLflow; prints the address of the list of models
	@$(ACTIVATE) python -m stages ui

serve: $(STAMP) ## answer HTTP requests with the champion, or with the model that validation chose
	@$(ACTIVATE) python -m stages serve $(if $(PORT),--port $(PORT))

app: $(STAMP) ## a page in the browser on which the chosen model reads images
	@$(ACTIVATE) python -m stages app $(if $(PORT),--port $(PORT))

docs: $(DEV_STAMP) ## build the documentation as a site: site/index.html
	@$(ACTIVATE) mkdocs build --strict --quiet

notebooks: $(DEV_STAMP) ## run notebooks/ on the results that lie here; with their figures to notebooks/done/
	@$(ACTIVATE) python notebooks/run.py

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links

lock: $(DEV_STAMP) ## write all requirements*.txt anew
	$(COMPILE) requirements.in -o requirements.txt
	@# some ask for torch, which requirements.txt brings, with CUDA or without
	for extra in serve app ray slurm openvino dev; do \
	  echo torch | $(COMPILE) requirements-$$extra.in --excludes - -o requirements-$$extra.txt || exit 1; done

clean: ## delete what the pipeline made (DVC's cache and MLflow's store stay)
	rm -rf data/raw.zip data/manifest.parquet data/processed reports
	find models -mindepth 1 -maxdepth 1 ! -name pretrained -exec rm -rf {} +
