# What a newcomer runs is `make demo` and `make test`; both prepare what they need.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint checkov bench notebooks sam-local environments aws-smoke clean
.NOTPARALLEL:

BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
# Dozens of processes import the same thousand modules: let the first keep what it compiled.
unexport PYTHONDONTWRITEBYTECODE
PYTHON_FOLDERS := layers/core/steward cli/steward_cli local/steward_local jobs/steward_jobs functions tests bench .ci/aws_smoke.py

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Prepare .venv and the SAM CLI, from pinned and hashed requirements
	@requirements/install dev
	@requirements/install sam

demo: setup ## Play one model's whole life on the embedded AWS
	@steward demo

test: setup ## All checks and all tests, on the embedded AWS where they need one
	@pytest --collect-only -q >/dev/null 2>&1 & \
	$(MAKE) --no-print-directory lint checkov || { wait; exit 1; }; wait
	@pytest -n 4 --dist loadfile

check: lint checkov ## All checks: style, types, layers, templates, machines, schemas, cold imports
	pytest -q -x tests/infra

# The checks that are no tests; `pytest` holds the others in tests/infra.
lint: setup
	ruff check .
	ruff format --check .
	mypy $(PYTHON_FOLDERS)
	lint-imports

checkov: setup ## Security rules on the templates; each skip has its reason in .checkov.yaml
	@requirements/install checkov
	.ci/checkov

bench: setup ## Run the benchmarks, or one: make bench NAME=gateway
	@.ci/bench $(NAME)

notebooks: setup ## Prepare .tools/notebooks, the Data Science SDK's own environment
	@requirements/install notebooks

sam-local: setup ## Invoke every function by `sam local invoke` in a container, as it is in process
	.tools/sam/bin/sam build
	STEWARD_SAM_LOCAL=1 pytest tests/sam_local

environments: setup ## Deploy a second environment into one account and play a common project in both
	STEWARD_ENVIRONMENTS=1 pytest tests/e2e/test_environments.py

aws-smoke: setup ## Deploy to your sandbox account, play the main job there, tear down (opt-in)
	@.ci/aws-smoke

clean: ## Stop this folder's embedded AWS and remove what make made
	-@[ ! -f .steward/engine.json ] || steward down
	rm -rf .steward .aws-sam .tools .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
