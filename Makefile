# Everything is done by these targets; `make` without one lists them. Each target first installs what it needs.
#   PYTHON    the interpreter that creates the environment (3.11 or 3.12)
#   SOD_VENV  its folder; default .venv
#   ARGS      further options of the command that the target runs
PYTHON ?= python3
VENV   := $(or $(SOD_VENV),.venv)
BIN    := $(VENV)/bin

PORT    ?= 8080
PROFILE ?=
DEVICE  ?=
ARGS    ?=

# A misspelt variable is an error. SOD_… are settings of the gateway, which inherits them.
VARIABLES := ALL ARGS BASE BATCH DATA DEVICE EMBEDDED EPOCHS GPU IMAGE IMAGES LABELS MODEL MODEL_DIR NAME OUT PORT \
	PRECISION PROFILE PYTHON RATE REPORT SIZE TARGET
GIVEN := $(foreach variable,$(.VARIABLES),$(if $(findstring command line,$(origin $(variable))),$(variable)))
UNKNOWN := $(filter-out $(VARIABLES) SOD_% MAKE% -%,$(GIVEN))
$(if $(UNKNOWN),$(error make knows no variable $(firstword $(UNKNOWN)): choose from $(VARIABLES) or SOD_…))

.DEFAULT_GOAL := help
.PHONY: help serve image test check format export edge finetune lock clean bench bench-paddlex compare-paddlex chaos fuzz

help:  ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# There is one virtual environment. A stamp (.venv/.serve, .paddle, .export, .dev) records that requirements/<name>.lock is
# installed; when the lock or a pyproject.toml is newer, it is installed again. Paddle (720 MB) is installed only for the
# profile cpu_regular, the export and training, and for the devices npu and mlu, whose wheels extend it.
SERVE_STAMP := $(VENV)/.$(if $(filter cpu_regular npu_% mlu_%,$(PROFILE))$(filter npu mlu,$(firstword $(subst :, ,$(DEVICE)))),paddle,serve)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"triton-sod needs Python 3.11 or 3.12; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment: apt-get install python3-venv" >&2; exit 1; }

SIZE_serve := 1.5
SIZE_paddle := 2.3
SIZE_export := 2.8
SIZE_dev := 4.0

$(VENV)/.%: requirements/%.lock pyproject.toml clients/python/pyproject.toml | $(VENV)/bin/python
	@echo "installing requirements/$*.lock into $(VENV): once, $(SIZE_$*) GB in all, a few minutes on a slow line"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements/$*.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

# With docker and an NVIDIA GPU, Triton runs in the image of deploy/triton.Dockerfile, otherwise embedded; EMBEDDED=1
# forces embedded. Inside the image, which sets SOD_VENV, there is nothing to choose or to install.
IN_IMAGE := $(if $(EMBEDDED)$(SOD_VENV),,$(shell deploy/in-image --possible && echo deploy/in-image))
RUN_TRITON := $(if $(IN_IMAGE),$(IN_IMAGE) python,$(BIN)/python)

serve: $(if $(IN_IMAGE),,$(SERVE_STAMP))  ## start Triton and the gateway: PORT=8080 DEVICE=cpu|gpu|gpu:0,1|npu|xpu|mlu|dcu|intel_gpu|intel_npu PROFILE=cpu_high_performance|cpu_regular|cpu_bf16|cpu_int8|gpu_regular|gpu_high_performance
	@exec $(RUN_TRITON) -m server --port $(PORT) $(if $(PROFILE),--profile $(PROFILE)) $(if $(DEVICE),--device "$(DEVICE)") $(ARGS)

image:  ## build the container image with docker or podman: GPU=1 IMAGE=name:tag BASE=<a Debian 12> ARGS='<options of docker build>'
	@IMAGE="$(IMAGE)" BASE="$(BASE)" deploy/image $(if $(GPU),gpu,cpu) $(ARGS)

# IMAGES are files or folders, separated by spaces. The image builds the TensorRT plan, from an FP16 ONNX file made here.
EXPORT = $(BIN)/python -m export $(if $(MODEL),--model $(MODEL)) $(if $(MODEL_DIR),--model_dir "$(MODEL_DIR)") \
	$(if $(NAME),--name $(NAME)) $(if $(PRECISION),--precision $(PRECISION)) $(if $(IMAGES),--images $(IMAGES)) \
	$(if $(REPORT),--report "$(REPORT)") $(if $(OUT),--edge_dir "$(OUT)") $(ARGS)
PLANS = $(if $(NAME),$(NAME),$(if $(filter all,$(MODEL)),$(addprefix PP-YOLOE_plus_SOD-,S L largesize-L),$(MODEL)))

export: $(VENV)/.export  ## convert a Paddle model to files that Triton loads: MODEL=name|all or MODEL_DIR=, TARGET=onnx|openvino|tensorrt|tensorrt-check|edge|all PRECISION= IMAGES= NAME= REPORT= OUT=<folder of edge>
ifeq ($(if $(IN_IMAGE),$(TARGET)),tensorrt)
	@test -n "$(PLANS)" || { echo "name the model of MODEL_DIR: make export TARGET=tensorrt NAME=…" >&2; exit 2; }
	@$(if $(MODEL)$(MODEL_DIR),$(EXPORT) --target onnx)
	@for name in $(PLANS); do $(RUN_TRITON) -m export --target tensorrt --name $$name || exit; done
else
	@$(EXPORT) $(if $(TARGET),--target $(TARGET))
endif

# The folder that the gateway serves at /edge/. Without a model it is the demo's.
edge: NAME := $(or $(NAME),$(if $(MODEL)$(MODEL_DIR),,PP-YOLOE_plus_SOD-demo))
edge: OUT := $(or $(OUT),output/edge/served)
edge: $(VENV)/.export  ## build the web app that detects on the phone itself, which the gateway serves at /edge/: NAME= or MODEL_DIR=, PRECISION= IMAGES= OUT=
	@$(EXPORT) --target edge
	@test -f "$(OUT)/index.html" || { echo "there is no web app in $(OUT): see the reason above" >&2; exit 2; }

# The command creates PaddleDetection's own environment inside $(VENV) (finetune/environment.py).
finetune: $(VENV)/.export  ## train a detector: DATA=<data set> BASE=demo|PP-YOLOE_plus_SOD-S|*.pdparams NAME= EPOCHS= BATCH= SIZE= RATE= OUT= ARGS=
	@$(BIN)/python -m finetune $(if $(DATA),--data "$(DATA)") $(if $(BASE),--base "$(BASE)") $(if $(NAME),--name "$(NAME)") \
		$(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(BATCH),--batch $(BATCH)) $(if $(SIZE),--size $(SIZE)) \
		$(if $(RATE),--rate $(RATE)) $(if $(OUT),--out "$(OUT)") $(ARGS)

# IMAGES are files or folders as for the export; LABELS is a data set as for `sod eval`.
BENCH = $(BIN)/python -m benchmarks.cli $(if $(IMAGES),--images $(IMAGES)) $(if $(LABELS),--labels "$(LABELS)")
bench: $(VENV)/.dev  ## measure speed, compared with the detector alone, and check the targets: IMAGES= LABELS= ARGS='--quick …'
	@$(BENCH) $(ARGS)

bench-paddlex: $(VENV)/.dev  ## the same and PaddleX, which is installed in .cache/paddlex (1.8 GB): MODEL_DIR=<Paddle models> …
	@test -n "$(MODEL_DIR)" || { echo "name the Paddle inference models that PaddleX is to serve: make bench-paddlex MODEL_DIR=<folder>" >&2; exit 2; }
	@$(BENCH) --install-paddlex --paddlex "$(MODEL_DIR)" $(ARGS)

compare-paddlex: $(VENV)/.dev  ## run PaddleX and triton-sod side by side, and print what differs and is not in docs/paddlex-compat.md: minutes, PaddleX as above; ARGS='--only jpg --verbose'
	@$(BIN)/python -m tests.paddlex --install $(ARGS)

# Three processes share the folders of tests, which tests/conftest.py puts in order: on two cores, since most tests wait
# for a server, a download or another process for a part of their time. The tests of the launcher send signals to their
# own process, and have one to themselves, without Paddle, which would handle them; they sleep for most of their time, and
# run beside the others. A test that fails is run once more and named in the summary: on a busy machine a process may get
# no time for seconds.
PYTEST_ALL = $(BIN)/python -m pytest --reruns 1 -raR
LAUNCHER = $(filter-out %/backends %/__pycache__,$(wildcard tests/server/*))
test: $(VENV)/.dev  ## run the checks and every test, the end-to-end ones against a started Triton; ARGS='-k name' runs these tests alone
	$(MAKE) check
ifeq ($(ARGS),)
	@log=$$(mktemp); $(PYTEST_ALL) $(LAUNCHER) >$$log 2>&1 & launcher=$$!; \
	$(PYTEST_ALL) -n 3 --dist loadgroup --no-loadscope-reorder $(addprefix --ignore=,$(LAUNCHER)); others=$$?; \
	wait $$launcher; launcher=$$?; echo "the tests of the launcher:"; cat $$log; rm $$log; \
	test $$others = 0 && exit $$launcher
else
	$(BIN)/python -m pytest $(ARGS)
endif

chaos: $(VENV)/.dev  ## kill, stop and freeze every process under load, and print the table of docs/reliability.md: minutes; ARGS=
	@$(BIN)/python -m tests.chaos $(ARGS)

# 100 s for each of the three tests. SOD_FUZZ_SEED is the first seed: set it to the one that a failure names to see it again.
fuzz: $(VENV)/.dev  ## run the fuzzing tests (requests, bodies, images) for five minutes, instead of seconds as `make test`: SOD_FUZZ_SEED= ARGS=
	SOD_FUZZ_SECONDS=100 $(BIN)/python -m pytest tests/hostile/test_fuzz.py $(ARGS)

check: $(VENV)/.dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## reformat, and apply the linter's repairs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url
LOCK := uv pip compile -q pyproject.toml clients/python/pyproject.toml
# The largest one first: the others take its pins, so that `make export` after `make test` replaces nothing.
lock:  ## compile requirements/*.lock from pyproject.toml, keeping pins that still fit (needs uv)
	$(LOCK) --extra serve --extra pdf --extra heic --extra geo --extra batch --extra video --extra paddle --extra export --extra dev $(LOCK_OPTIONS) -o requirements/dev.lock
	$(LOCK) --extra image -c requirements/dev.lock $(LOCK_OPTIONS) -o requirements/image.lock
	$(LOCK) --extra serve --extra pdf --extra heic --extra geo --extra batch --extra video -c requirements/dev.lock $(LOCK_OPTIONS) -o requirements/serve.lock
	$(LOCK) --extra serve --extra pdf --extra heic --extra geo --extra batch --extra video --extra paddle -c requirements/dev.lock $(LOCK_OPTIONS) -o requirements/paddle.lock
	$(LOCK) --extra serve --extra pdf --extra heic --extra geo --extra batch --extra video --extra paddle --extra export -c requirements/dev.lock $(LOCK_OPTIONS) -o requirements/export.lock
	uv pip compile -q requirements/finetune.in --no-deps -c requirements/dev.lock $(LOCK_OPTIONS) -o requirements/finetune.lock

# Trainings are hours of work: those in output/finetune, and those that earlier versions wrote into .cache, are kept.
# Exports are what git does not know in the model repository.
CACHES = $(VENV) $(filter-out .cache/finetune .cache/training,$(wildcard .cache/*)) .mypy_cache .pytest_cache .ruff_cache \
	.hypothesis .import_linter_cache $(wildcard *.egg-info clients/python/*.egg-info)
EXPORTS = $(shell git ls-files --others --directory model_repository 2>/dev/null)
clean:  ## list and remove the virtual environment, caches and downloads in .cache; with ALL=1 also the exported models
	@set -- $(wildcard $(CACHES) $(if $(ALL),$(EXPORTS))); \
	test $$# -gt 0 || { echo "nothing to remove"; exit 0; }; \
	echo "removing:"; du -sh "$$@"; rm -rf "$$@"; rmdir .cache 2>/dev/null || true
	@for kept in $(wildcard output/finetune .cache/finetune .cache/training); do echo "kept, trainings: $$kept"; done
	@$(if $(ALL),,for kept in $(EXPORTS); do echo "kept, an export (ALL=1 removes it): $$kept"; done)
