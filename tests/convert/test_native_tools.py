"""Exported configs and adept:// in the frameworks' own training tools, from the command line's arguments on."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest
import torch

from adept_hub.convert.export import export_state, write_export
from adept_hub.convert.options import Target
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, MMDET
from tests.frameworks_support import one_thread, register_mmdet  # noqa: F401  # an autouse fixture

CLASSES = 4


def pre_trained(detector, config, tensors, framework):
    """A norm's statistics and a convolution as the framework's model must hold them before its first step."""
    return export_state(tensors, config.spec, FRAMEWORKS[framework], Target(detector, CLASSES))


@pytest.mark.frameworks
@pytest.mark.slow
@pytest.mark.parametrize("detector", ["mask_rcnn", "cascade_rcnn"])
def test_detectron2_trains_an_export_from_an_address(detector, dataset, make_checkpoint):
    """What tools/train_net.py does: default_argument_parser, default_setup, DefaultTrainer."""
    from detectron2.config import get_cfg
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.data.datasets import register_coco_instances
    from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup

    import adept_hub.integrations.detectron2  # noqa: F401

    folder, config, module = make_checkpoint()
    tensors = {key: t.clone() for key, t in module.state_dict().items()}
    _, path = write_export(tensors, config, DETECTRON2, dataset / "d2", Target(detector, CLASSES))
    register_coco_instances("tiny", {}, "train.json", "images")
    try:
        words = (
            f"MODEL.WEIGHTS adept://local-dir:{folder}#detector={detector} MODEL.DEVICE cpu DATASETS.TRAIN ('tiny',) "
            "DATASETS.TEST () SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 3 SOLVER.BASE_LR 0.001 DATALOADER.NUM_WORKERS 0 "
            "INPUT.MIN_SIZE_TRAIN (96,) TEST.PRECISE_BN.ENABLED False MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 32"
        )
        args = default_argument_parser().parse_args(["--config-file", str(path), *words.split()])
        cfg = get_cfg()
        cfg.merge_from_file(args.config_file)
        cfg.merge_from_list(args.opts)
        default_setup(cfg, args)
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        state = trainer.model.state_dict()
        expected = pre_trained(detector, config, tensors, "detectron2")
        assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())
        trainer.train()
    finally:
        DatasetCatalog.remove("tiny")
        MetadataCatalog.remove("tiny")
    saved = torch.load(dataset / "output" / "model_final.pth", weights_only=False)
    assert saved["iteration"] == 2
    trained = saved["model"]
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    assert not torch.equal(trained["backbone.fpn_output2.weight"], expected["backbone.fpn_output2.weight"])


@pytest.mark.frameworks
@pytest.mark.slow
@pytest.mark.parametrize("detector", ["mask_rcnn", "cascade_rcnn"])
def test_mmdetection_s_tools_train_py_trains_an_export_from_an_address(
    detector,
    dataset,
    make_checkpoint,
    monkeypatch,
):
    register_mmdet()
    from mmdet.visualization import DetLocalVisualizer

    # One for the whole process, it would go on writing where an earlier test has made it.
    DetLocalVisualizer._instance_dict.clear()
    tool = Path(importlib.util.find_spec("mmdet").origin).parent / ".mim" / "tools" / "train.py"
    folder, config, module = make_checkpoint()
    tensors = {key: t.clone() for key, t in module.state_dict().items()}
    _, path = write_export(tensors, config, MMDET, dataset / "mm", Target(detector, CLASSES))
    mine = dataset / "mine.py"
    mine.write_text(
        f"_base_ = {str(path)!r}\ncustom_imports = dict(imports=['adept_hub.integrations.mmdet'])\n"
        f"load_from = 'adept://local-dir:{folder}#detector={detector}'\n"
    )
    changes = {
        "train_dataloader.dataset.data_root": "",
        "train_dataloader.dataset.ann_file": "train.json",
        "train_dataloader.dataset.data_prefix.img": "images",
        "train_dataloader.dataset.metainfo.classes": "(cat,dog,bird)",
        "train_dataloader.num_workers": "0",
        "train_dataloader.persistent_workers": "False",
        "train_dataloader.dataset.pipeline.2.scale": "(128,96)",
        "train_cfg.max_epochs": "1",
        "optim_wrapper.optimizer.lr": "0.001",
        "model.train_cfg.rpn_proposal.max_per_img": "100",
        **{f"{stage}_{what}": "None" for stage in ("val", "test") for what in ("cfg", "dataloader", "evaluator")},
    }
    words = [f"{key}={value}" for key, value in changes.items()]
    monkeypatch.setattr(sys, "argv", ["train.py", str(mine), "--work-dir", "runs", "--cfg-options", *words])
    seen = {}
    from mmengine.runner import Runner

    whole = Runner.load_or_resume

    def spy(self) -> None:
        whole(self)
        seen.update({key: tensor.clone() for key, tensor in self.model.state_dict().items()})

    monkeypatch.setattr(Runner, "load_or_resume", spy)
    runpy.run_path(str(tool), run_name="__main__")
    expected = pre_trained(detector, config, tensors, "mmdet")
    assert all(torch.equal(seen[key], tensor) for key, tensor in expected.items())
    trained = torch.load(dataset / "runs" / "epoch_1.pth", weights_only=False)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    assert not torch.equal(trained["neck.fpn_convs.0.conv.weight"], expected["neck.fpn_convs.0.conv.weight"])
