# Everything a developer or a visitor types. Each target makes .venv when it is missing; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTOS := $(wildcard protos/meterd/v1/*.proto)
# Generated code loads on every protobuf from the generator's own on: generate with the oldest tools that pyproject.toml supports.
GENERATOR := build/generator
GENERATED ?= client
# What the contract imports from others: google.rpc.Status, as googleapis-common-protos has it.
INCLUDE := build/include

.PHONY: help venv demo serve test prove lint format bench protos lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

venv: $(INSTALLED)  ## make .venv with exactly what requirements.lock pins

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED)  ## meter three services for several users on a real daemon, then stop it
	$(BIN)/meterd demo

serve: $(INSTALLED)  ## run the daemon until Ctrl-C; ARGS="--listen 127.0.0.1:0" adds flags
	$(BIN)/meterd serve $(ARGS)

test: $(INSTALLED)  ## the whole suite
	$(BIN)/python -m pytest -n auto

prove: $(INSTALLED)  ## break it on purpose and count what it survived, minutes; PROVE=long for hours, ARGS="kill --seed 3" for a part
	PYTHONPATH=tests $(BIN)/python -m prove $(ARGS)

lint: $(INSTALLED) $(GENERATOR)/.installed $(INCLUDE)/google/rpc/status.proto  ## ruff, mypy strict, import-linter, buf, generated code fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	rm -rf build/lint && mkdir -p build/lint && cp -r protos/. $(INCLUDE)/. build/lint
	cd build/lint && ../../$(BIN)/buf lint
	rm -rf build/fresh && mkdir -p build/fresh
	$(MAKE) --no-print-directory protos GENERATED=build/fresh
	for file in client/meterd/v1/*_pb2*; do cmp "$$file" "build/fresh/meterd/v1/$$(basename $$file)" || exit 1; done
	test $$(ls build/fresh/meterd/v1 | wc -l) -eq $$(ls client/meterd/v1/*_pb2* | wc -l)

format: $(INSTALLED)  ## ruff format, and the fixes that are safe
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)  ## the daemon beside an empty gRPC server and raw SQLite, as ratios; ARGS="large" for 20,000,000 entries
	$(BIN)/python -m bench --report bench/report.md $(ARGS)

protos: $(GENERATOR)/.installed $(INCLUDE)/google/rpc/status.proto  ## generate client/meterd/v1 from protos/
	$(GENERATOR)/bin/python -m grpc_tools.protoc -I protos -I $(INCLUDE) --plugin=$(GENERATOR)/bin/protoc-gen-mypy \
	  --plugin=$(GENERATOR)/bin/protoc-gen-mypy_grpc --python_out=$(GENERATED) --mypy_out=quiet:$(GENERATED) $(PROTOS)
	$(GENERATOR)/bin/python -m grpc_tools.protoc -I protos -I $(INCLUDE) --plugin=$(GENERATOR)/bin/protoc-gen-mypy_grpc \
	  --grpc_python_out=$(GENERATED) --mypy_grpc_out=quiet:$(GENERATED) $(shell grep -l '^service ' $(PROTOS))

$(INCLUDE)/google/rpc/status.proto: $(INSTALLED)
	mkdir -p $(@D)
	cp $(VENV)/lib/python3*/site-packages/google/rpc/status.proto $@

$(GENERATOR)/.installed: requirements-protos.lock
	$(PYTHON) -m venv $(GENERATOR)
	$(GENERATOR)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-protos.lock
	@touch $@

lock: $(INSTALLED)  ## pin what pyproject.toml and requirements-protos.in allow today, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --upgrade --extra server --extra postgres --group dev -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --upgrade -o requirements-protos.lock requirements-protos.in

clean:  ## remove what the targets above made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
