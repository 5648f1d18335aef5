# Every target shares one virtual environment; it is reinstalled only when the requirements change.
PYTHON ?= python3
VENV   := .venv
DIR    := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN    := $(VENV)/$(DIR)
SEED   := $(or $(SEED),$(shell date +%s))
OPENCV := opencv-contrib-python-headless
# UV=uv installs with uv, which with UV_TORCH_BACKEND=cpu in the environment takes torch's much smaller CPU wheels.
install = $(if $(UV),$(UV) pip install --quiet --python $(1)/$(DIR)/python,$(1)/$(DIR)/python -m pip --disable-pip-version-check --quiet install)

.PHONY: help demo test test-fast test-light hostile mutants browser lint format frameworks bench bench-load bench-proposals bench-pretrain bench-practitioner gpu gpu-rehearsal weights cards evidence reference figures docs notebooks dist clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(VENV)/.base: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make needs Python 3.11 or newer: set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing adept-hub and its trainer into $(VENV): a few minutes and about 6 GB, most of it CUDA's libraries for torch"
	@test -n "$(UV)" || echo "without a GPU, with uv, far less: UV_TORCH_BACKEND=cpu make $(MAKECMDGOALS) UV=uv"
	@$(call install,$(VENV)) -e '.[train]'
	@touch $@

# Detectron2's wheel holds upstream's Python files and is tagged cp310; nothing in it that we use is compiled.
# OpenCV comes in four packages that overwrite each other: mmengine, mmcv-lite and tidecv, which ask for another one than
# the trainer's contrib build, are therefore installed without their requirements.
$(VENV)/.dev: $(VENV)/.base requirements-frameworks.txt
	@echo "installing the test tools, Detectron2 and MMDetection (under a minute)"
	@$(call install,$(VENV)) -e '.[train,dev,ray]' -r requirements-frameworks.txt
	@$(call install,$(VENV)) --no-deps 'mmengine==0.10.7' 'mmcv-lite==2.1.0' 'tidecv==1.0.1'
	@$(BIN)/python -c 'import cv2; cv2.ximgproc' || { echo "another OpenCV overwrites $(OPENCV): make clean, and again"; exit 1; }
	@rm -rf $(VENV)/d2
	@$(call install,$(VENV)) --no-deps --only-binary=:all: --python-version 3.10 --target $(VENV)/d2 'sal-detectron2==0.7.2'
	@rm -rf $(VENV)/d2/tools $(VENV)/d2/detectron2/_C.cpython-310-*.so
	@echo "$(CURDIR)/$(VENV)/d2" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/detectron2.pth"
	@touch $@

demo: $(VENV)/.base  ## bundled weights on bundled images: load, draw, export to three frameworks
	@$(BIN)/adept demo --out demo_out

# Files of tests go to two processes of one thread each, which is faster than one process of two.
test: $(VENV)/.dev  ## every test, the real-framework ones included
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=20

test-fast: $(VENV)/.dev  ## without the slow tests and the real frameworks
	@$(BIN)/python -m pytest -m 'not slow and not frameworks'

browser: $(VENV)/.dev  ## adept studio in headless Chromium, which must be installed with its chromedriver
	@$(call install,$(VENV)) -e '.[browser]'
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/training/studio/test_browser.py

# An environment of its own, so that nothing of the trainer is there. LIGHT="torch==2.5.0 ..." selects other versions.
test-light: pyproject.toml  ## the library's tests, without the trainer and in its own environment; LIGHT=VERSIONS
	@test -x $(VENV)-light/$(DIR)/python || $(PYTHON) -m venv $(VENV)-light
	@$(call install,$(VENV)-light) -e '.[test]' $(LIGHT)
	@OMP_NUM_THREADS=1 $(VENV)-light/$(DIR)/python -m pytest --light -n 2 --dist loadfile

# A failure is seen again with the same SEED. What needs root (small file systems) is skipped without, and says so.
hostile: $(VENV)/.dev  ## hostile files, kill -9, full disks and a Hub that lies, in the long form (hours); SEED=N
	@echo "SEED=$(SEED)"
	@OMP_NUM_THREADS=1 ADEPT_SEED=$(SEED) ADEPT_EXAMPLES=1000 ADEPT_KILLS=50 $(BIN)/python -m pytest -n 2 --dist load \
		tests/hostile tests/io tests/hub/test_any_answer.py tests/hub/test_lies.py tests/checkpoint/test_validate_config.py
	@$(BIN)/python -m tests.hub.fuzz 2000 --seed $(SEED)

# The order is random and the time decides how many run. The same SEED gives the same order.
mutants: $(VENV)/.dev  ## break method, metrics and convert in one location at a time; do tests notice? SEED=N MINUTES=M
	@echo "SEED=$(SEED)"
	@$(BIN)/python -m tests.mutants training/adept_training/method training/adept_training/metrics adept_hub/convert \
		--seed $(SEED) --minutes $(or $(MINUTES),150) --at-least 80

lint: $(VENV)/.dev  ## ruff, mypy --strict and the share of unidiomatic prose
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.style

format: $(VENV)/.dev  ## rewrite the code as ruff likes it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

frameworks: $(VENV)/.dev  ## install real Detectron2 and MMDetection beside the library

bench: bench-load bench-proposals bench-pretrain bench-practitioner  ## every benchmark

bench-load: $(VENV)/.dev  ## load_pretrained against torchvision's own way, in one run
	@$(BIN)/python -m benchmarks.load

bench-proposals: $(VENV)/.dev  ## selective search against its reference, in one run
	@$(BIN)/python -m benchmarks.boxes.speed

bench-pretrain: $(VENV)/.dev  ## images a second of a pre-training step, variants in turn
	@$(BIN)/python -m benchmarks.pretrain

bench-practitioner: $(VENV)/.dev  ## fine-tuning, evaluation and prediction next to torchvision and Detectron2; DATA=coco:A.json:IMAGES
	@$(if $(DATA),$(BIN)/python -m benchmarks.practitioner --data $(DATA),echo "bench-practitioner is left out: set DATA=voc:DIR or another --data of adept finetune")

gpu:  ## on a rented GPU: sanity, speed, ladder in nine minutes; CORPUS=DIR OUT=DIR (benchmarks/gpu)
	@python3 -m benchmarks.gpu --corpus $(CORPUS) --out $(OUT) --work $(or $(WORK),/tmp/adept-gpu)

gpu-rehearsal: $(VENV)/.dev  ## the same script on this CPU, every size at its smallest; CORPUS=DIR OUT=DIR
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpu --corpus $(CORPUS) --out $(OUT) --work $(OUT)/work --ladder "--workers 2" --rehearsal

# Every second photograph, in sorted order. All parts continue where they stopped. WEIGHTS=DIR holds the runs.
WEIGHTS ?= runs/weights
pretrained = $(BIN)/adept pretrain --images $(WEIGHTS)/images.txt --proposals $(WEIGHTS)/boxes \
	--out $(WEIGHTS)/$(1) $(if $(wildcard $(WEIGHTS)/$(1)),--resume)
weights: $(VENV)/.base  ## retrain and bundle all weights, seven hours of a core; CALTECH=DIR of Caltech-101
	@test -d "$(CALTECH)" || { echo "make weights needs Caltech-101: make weights CALTECH=101_ObjectCategories"; exit 1; }
	@mkdir -p $(WEIGHTS)
	@find "$(CALTECH)" -name '*.jpg' -not -path '*/BACKGROUND_Google/*' | LC_ALL=C sort | awk 'NR % 2' > $(WEIGHTS)/images.txt
	@$(BIN)/adept proposals $(WEIGHTS)/images.txt --preset objects --out $(WEIGHTS)/boxes
	@$(call pretrained,detection) --recipe detection_r18_fpn128_cpu
	@$(call pretrained,adept_joint) --recipe contrast_r18_fpn128_cpu
	@$(call pretrained,soco) --recipe contrast_r18_fpn128_cpu --method soco
	@$(call pretrained,adept_separate) --recipe contrast_r18_fpn128_cpu --method adept_separate \
		--set method.objective=cosine --set method.same_image_negatives=false \
		--init $(WEIGHTS)/soco/export --epochs 4
	@$(BIN)/python -m adept_hub.publish.bundle $(WEIGHTS)/detection/export --alias detection
	@$(BIN)/python -m adept_hub.publish.bundle $(WEIGHTS)/adept_joint/export --alias adept_joint
	@$(BIN)/python -m adept_hub.publish.bundle $(WEIGHTS)/soco/export --alias soco
	@$(BIN)/python -m adept_hub.publish.bundle $(WEIGHTS)/adept_separate/export --alias adept_separate \
		--parts-of soco_r18_fpn128.caltech101

cards: $(VENV)/.base  ## model_cards/ and results/, from the registry and the bundled checkpoints
	@$(BIN)/adept card --all model_cards --results results

evidence: $(VENV)/.base  ## the marked tables of docs/evidence, from results/
	@$(BIN)/python docs/_site/evidence.py

reference: $(VENV)/.base  ## docs/reference/, from the source
	@$(BIN)/python -m adept_training.reference.pages

figures: $(VENV)/.base  ## docs/figures/, from the bundled images
	@$(BIN)/python docs/_site/figures.py

# An environment of its own; griffe reads the signatures from the source, so that torch is not needed.
docs: pyproject.toml  ## the site in site/, every link checked
	@test -x $(VENV)-docs/$(DIR)/python || $(PYTHON) -m venv $(VENV)-docs
	@$(VENV)-docs/$(DIR)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(VENV)-docs/docs.txt
	@$(call install,$(VENV)-docs) -r $(VENV)-docs/docs.txt
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/$(DIR)/mkdocs build --strict --quiet

notebooks: $(VENV)/.base  ## run every notebook, a few minutes on a CPU; with outputs in out/notebooks/
	@$(call install,$(VENV)) -e '.[train,notebooks]'
	@$(BIN)/python notebooks/run.py

dist:  ## sdist and wheel in dist/, checked, and the wheel tried in an empty environment
	@rm -rf dist $(VENV)-dist && $(PYTHON) -m venv $(VENV)-dist
	@$(call install,$(VENV)-dist) build twine
	@$(VENV)-dist/$(DIR)/python -m build --outdir dist .
	@$(VENV)-dist/$(DIR)/python -m twine check --strict dist/*
	@rm -rf $(VENV)-dist && $(PYTHON) -m venv $(VENV)-dist
	@$(call install,$(VENV)-dist) dist/*.whl
	@cd dist && ../$(VENV)-dist/$(DIR)/adept list && ../$(VENV)-dist/$(DIR)/adept verify

clean:  ## remove the environments and every output
	@rm -rf $(VENV) $(VENV)-light $(VENV)-docs $(VENV)-dist dist site demo_out out runs .mypy_cache .ruff_cache .pytest_cache
