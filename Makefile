# Every target shares one virtual environment; it is reinstalled only when the requirements change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEED   := $(or $(SEED),$(shell date +%s))
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OPENCV := opencv-contrib-python-headless

.PHONY: help demo test test-fast hostile lint format frameworks bench bench-load bench-proposals bench-pretrain gpu gpu-rehearsal cards reference clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(VENV)/.base: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make needs Python 3.11 or newer: set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing adept-hub and its trainer into $(VENV) (a few minutes and about 6 GB the first time)"
	@$(PIP) install -e '.[train]'
	@touch $@

# Detectron2's wheel holds upstream's Python files and is tagged cp310; nothing in it that we use is compiled.
# OpenCV comes in four packages that overwrite each other: mmengine, mmcv-lite and tidecv, which ask for another one than
# the trainer's contrib build, are therefore installed without their requirements.
$(VENV)/.dev: $(VENV)/.base requirements-frameworks.txt
	@echo "installing the test tools, Detectron2 and MMDetection (under a minute)"
	@$(PIP) install -e '.[train,dev,ray]' -r requirements-frameworks.txt
	@$(PIP) install --no-deps 'mmengine==0.10.7' 'mmcv-lite==2.1.0' 'tidecv==1.0.1'
	@$(BIN)/python -c 'import cv2; cv2.ximgproc' || { echo "another OpenCV overwrites $(OPENCV): make clean, and again"; exit 1; }
	@rm -rf $(VENV)/d2
	@$(PIP) install --no-deps --only-binary=:all: --python-version 3.10 --target $(VENV)/d2 'sal-detectron2==0.7.2'
	@rm -rf $(VENV)/d2/tools $(VENV)/d2/detectron2/_C.cpython-310-*.so
	@echo "$(CURDIR)/$(VENV)/d2" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/detectron2.pth"
	@touch $@

demo: $(VENV)/.base  ## bundled weights on bundled images: load, draw, export to three frameworks
	@$(BIN)/adept demo --out demo_out

# Files of tests go to two processes of one thread each, which is faster than one process of two.
test: $(VENV)/.dev  ## every test, the real-framework ones included
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.dev  ## without the slow tests and the real frameworks
	@$(BIN)/python -m pytest -m 'not slow and not frameworks'

# A failure is seen again with the same SEED. What needs root (small file systems) is skipped without, and says so.
hostile: $(VENV)/.dev  ## hostile files, kill -9, full disks and a Hub that lies, in the long form (hours); SEED=N
	@echo "SEED=$(SEED)"
	@OMP_NUM_THREADS=1 ADEPT_SEED=$(SEED) ADEPT_EXAMPLES=1000 ADEPT_KILLS=50 $(BIN)/python -m pytest -n 2 --dist load \
		tests/hostile tests/io tests/hub/test_any_answer.py tests/hub/test_lies.py tests/checkpoint/test_validate_config.py
	@$(BIN)/python -m tests.hub.fuzz 2000 --seed $(SEED)

lint: $(VENV)/.dev  ## ruff, mypy --strict and the share of unidiomatic prose
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.style

format: $(VENV)/.dev  ## rewrite the code as ruff likes it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

frameworks: $(VENV)/.dev  ## install real Detectron2 and MMDetection beside the library

bench: bench-load bench-proposals bench-pretrain  ## every benchmark

bench-load: $(VENV)/.dev  ## load_pretrained against torchvision's own way, in one run
	@$(BIN)/python -m benchmarks.load

bench-proposals: $(VENV)/.dev  ## selective search against its reference, in one run
	@$(BIN)/python -m benchmarks.boxes.speed

bench-pretrain: $(VENV)/.dev  ## images a second of a pre-training step, variants in turn
	@$(BIN)/python -m benchmarks.pretrain

gpu:  ## on a rented GPU: sanity, speed, ladder in nine minutes; CORPUS=DIR OUT=DIR (benchmarks/gpu)
	@python3 -m benchmarks.gpu --corpus $(CORPUS) --out $(OUT) --work $(or $(WORK),/tmp/adept-gpu)

gpu-rehearsal: $(VENV)/.dev  ## the same script on this CPU, every size at its smallest; CORPUS=DIR OUT=DIR
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpu --corpus $(CORPUS) --out $(OUT) --work $(OUT)/work --ladder "--workers 2" --rehearsal

cards: $(VENV)/.base  ## model_cards/ and results/, from the registry and the bundled checkpoints
	@$(BIN)/adept card --all model_cards --results results

reference: $(VENV)/.base  ## docs/reference/, from the source
	@$(BIN)/python -m adept_training.reference.pages

clean:  ## remove the environment and every output
	@rm -rf $(VENV) demo_out out runs .mypy_cache .ruff_cache .pytest_cache
