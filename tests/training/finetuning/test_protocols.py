"""The paper's protocols say the same three times: to `adept finetune`, to Detectron2 and to MMDetection.

The frameworks' files are read by the frameworks' own config systems, on top of a fresh export, as a user has them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target
from adept_hub.frameworks import FRAMEWORKS
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe, protocol_names
from adept_training.runtime.recipe_files import recipe_folder
from tests.frameworks_support import register_mmdet

FOLDER = recipe_folder() / "downstream"
#: Classes without the background: COCO's, SODA10M's, and those of one of TFA's splits of Pascal VOC.
CLASSES = {"coco_1x": 80, "coco_10pct": 80, "coco_1pct": 80, "soda10m_cascade": 6, "voc_fewshot": 5}
PROTOCOLS = [name for name in protocol_names() if name != "cpu_small"]
pytestmark = pytest.mark.frameworks


def test_every_protocol_has_both_frameworks() -> None:
    assert {path.stem for path in (FOLDER / "detectron2").glob("*.yaml")} == set(PROTOCOLS)
    assert {path.stem for path in (FOLDER / "mmdet").glob("*.py")} == set(PROTOCOLS)


def exported(name: str, framework: str, make_checkpoint, out: Path) -> tuple[FinetuneRecipe, Path]:
    """Our recipe, and the framework's protocols copied beside an export for its detector."""
    recipe = load_finetune_recipe(name)
    _, config, module = make_checkpoint()
    norm = "FrozenBN" if recipe.norms.policy == "frozen" else "SyncBN"
    target = Target(recipe.detector.detector, 43, norm=norm)  # the classes of no protocol: each sets its own
    write_export(module.state_dict(), config, FRAMEWORKS[framework], out, target)
    shutil.copytree(FOLDER / framework, out, dirs_exist_ok=True)
    return recipe, out / (name + (".yaml" if framework == "detectron2" else ".py"))


def steps_of(recipe: FinetuneRecipe) -> list[int]:
    return [round(share * recipe.schedule.iterations) for share in recipe.schedule.steps]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_detectron2_reads_what_our_recipe_says(name: str, make_checkpoint, tmp_path: Path) -> None:
    from detectron2.config import get_cfg

    recipe, path = exported(name, "detectron2", make_checkpoint, tmp_path / "d2")
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    solver, detector = cfg.SOLVER, recipe.detector
    assert recipe.schedule.iterations == solver.MAX_ITER
    assert list(solver.STEPS) == steps_of(recipe)
    assert (recipe.warmup, recipe.schedule.warmup_start) == (solver.WARMUP_ITERS, solver.WARMUP_FACTOR)
    assert (recipe.schedule.gamma, recipe.optimizer.momentum) == (solver.GAMMA, solver.MOMENTUM)
    assert (recipe.engine.batch_size, recipe.peak_lr) == (solver.IMS_PER_BATCH, solver.BASE_LR)
    assert (
        recipe.optimizer.weight_decay,
        recipe.optimizer.norm_decay,
    ) == (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM)
    sizes = cfg.MODEL.ANCHOR_GENERATOR.SIZES
    assert [size for level in sizes for size in level] == list(detector.anchors)
    assert detector.rois == cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert detector.rpn_anchors == cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE
    assert detector.train_proposals == cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN
    assert detector.test_proposals == cfg.MODEL.RPN.POST_NMS_TOPK_TEST
    assert detector.train_sides == cfg.INPUT.MIN_SIZE_TRAIN
    assert (detector.test_side, detector.max_side) == (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    assert cfg.MODEL.MASK_ON is (detector.detector == "mask_rcnn")
    assert CLASSES[name] == cfg.MODEL.ROI_HEADS.NUM_CLASSES
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG is (detector.detector == "cascade_rcnn")
    assert (cfg.MODEL.ROI_HEADS.NAME == "CascadeROIHeads") is (detector.detector == "cascade_rcnn")
    precise = cfg.TEST.PRECISE_BN
    assert (precise.NUM_ITER if precise.ENABLED else 0) == (
        0 if recipe.norms.policy == "frozen" else recipe.norms.precise_batches
    )
    assert ("FrozenBN" if recipe.norms.policy == "frozen" else "SyncBN") == cfg.MODEL.FPN.NORM


@pytest.mark.parametrize("name", PROTOCOLS)
def test_mmdetection_reads_what_our_recipe_says(name: str, make_checkpoint, tmp_path: Path) -> None:
    register_mmdet()
    from mmdet.registry import MODELS
    from mmengine.config import Config

    recipe, path = exported(name, "mmdet", make_checkpoint, tmp_path / "mm")
    cfg, detector = Config.fromfile(str(path)), recipe.detector
    assert cfg.train_cfg == {
        "type": "IterBasedTrainLoop", "max_iters": recipe.schedule.iterations,
        "val_interval": recipe.schedule.iterations,
    }  # fmt: skip
    warmup, drops = cfg.param_scheduler
    assert (warmup.end, warmup.start_factor) == (recipe.warmup, recipe.schedule.warmup_start)
    assert not warmup.by_epoch
    assert (drops.milestones, drops.gamma, drops.by_epoch) == (steps_of(recipe), recipe.schedule.gamma, False)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        recipe.peak_lr, recipe.optimizer.momentum, recipe.optimizer.weight_decay,
    )  # fmt: skip
    assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == recipe.optimizer.norm_decay
    assert cfg.train_dataloader.batch_size * 8 == recipe.engine.batch_size
    anchors = cfg.model.rpn_head.anchor_generator
    assert [stride * anchors.scales[0] for stride in anchors.strides] == list(detector.anchors)
    assert cfg.model.train_cfg.rpn_proposal.max_per_img == detector.train_proposals
    assert cfg.model.test_cfg.rpn.max_per_img == detector.test_proposals
    resize = next(step for step in cfg.train_dataloader.dataset.pipeline if "Resize" in step["type"])
    assert {key: value for key, value in resize.items() if key != "_scope_"} == {
        "type": "RandomChoiceResize", "scales": [(detector.max_side, side) for side in detector.train_sides],
        "keep_ratio": True,
    }  # fmt: skip
    model = MODELS.build(cfg.model)
    heads = model.roi_head.bbox_head
    heads = list(heads) if detector.detector == "cascade_rcnn" else [heads]
    assert {head.num_classes for head in heads} == {CLASSES[name]}
    if detector.detector == "mask_rcnn":
        assert model.roi_head.mask_head.num_classes == CLASSES[name]
    assert {type(head.fc_cls).__name__ for head in heads} == {
        "NormedLinear" if detector.classifier == "cosine" else "Linear"
    }
    if detector.classifier == "cosine":
        assert heads[0].fc_cls.tempearture == 20  # mmdet's spelling


@pytest.mark.parametrize("name", PROTOCOLS)
def test_mmdetection_s_pipeline_draws_one_of_the_sides(name: str, make_checkpoint, tmp_path: Path) -> None:
    register_mmdet()
    import numpy as np
    from mmdet.registry import TRANSFORMS
    from mmengine.config import Config

    recipe, path = exported(name, "mmdet", make_checkpoint, tmp_path / "mm")
    pipeline = Config.fromfile(str(path)).train_dataloader.dataset.pipeline
    resize = TRANSFORMS.build(next(step for step in pipeline if "Resize" in step["type"]))
    found = {resize({"img": np.zeros((48, 64, 3), np.uint8), "img_shape": (48, 64)})["img_shape"][0] for _ in range(60)}
    assert found <= set(recipe.detector.train_sides)
    assert len(found) > 2


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_beside_another_export_the_detector_is_set_or_refused(
    name: str, detector: str, make_checkpoint, tmp_path: Path
) -> None:
    """`cp .../detectron2/*.yaml` beside a Mask R-CNN turned the protocol of a cascade into one of a Mask R-CNN."""
    from detectron2.config import get_cfg

    register_mmdet()
    from mmengine.config import Config

    own = load_finetune_recipe(name).detector.detector
    _, config, module = make_checkpoint()
    for framework in ("detectron2", "mmdet"):
        write_export(module.state_dict(), config, FRAMEWORKS[framework], tmp_path / framework, Target(detector, 43))
        shutil.copytree(FOLDER / framework, tmp_path / framework, dirs_exist_ok=True)
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "detectron2" / f"{name}.yaml"))
    assert cfg.MODEL.MASK_ON is (own == "mask_rcnn")
    assert ("CascadeROIHeads" if own == "cascade_rcnn" else "StandardROIHeads") == cfg.MODEL.ROI_HEADS.NAME
    path = str(tmp_path / "mmdet" / f"{name}.py")
    if detector == own:
        Config.fromfile(path)
    else:
        with pytest.raises(ValueError, match=r"needs: adept export SOURCE --to mmdet .*--out DIR"):
            Config.fromfile(path)
