"""Detectron2's side: its `DefaultTrainer`, `inference_on_dataset` with `COCOEvaluator`, and `DefaultPredictor`."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

from benchmarks.practitioner.material import SPLITS, Material


class Detectron2:
    """Detectron2, with the weights and the config that `adept deploy` wrote."""

    name = "Detectron2"

    def __init__(self, material: Material) -> None:
        from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
        from detectron2.data.datasets import register_coco_instances
        from detectron2.engine import DefaultPredictor, DefaultTrainer

        for split in SPLITS:
            if (name := f"practitioner_{split}") in DatasetCatalog:
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)
            register_coco_instances(name, {}, str(material.labels(split)), str(material.images))
        self.cfg, self.files = config(material), material.files("test")
        with contextlib.redirect_stdout(io.StringIO()):
            self.trainer: Any = DefaultTrainer(self.cfg)
            self.trainer.resume_or_load(resume=False)
            self.loader = build_detection_test_loader(self.cfg, "practitioner_test")
            self.predictor: Any = DefaultPredictor(self.cfg)
        self.steps = len(material.files("train")) // material.recipe.engine.batch_size
        self.storage: Any = None
        logging.getLogger("detectron2").setLevel(logging.ERROR)

    def train(self) -> float:
        """Train on as many images as there are, with the trainer's hooks; return the last loss."""
        from detectron2.utils.events import EventStorage

        trainer = self.trainer
        if self.storage is None:
            self.storage, trainer.iter, trainer.start_iter = EventStorage(0), 0, 0
            trainer.storage, trainer.max_iter = self.storage, self.cfg.SOLVER.MAX_ITER
            with self.storage:
                trainer.before_train()
        with self.storage:
            for _ in range(self.steps):
                trainer.before_step()
                trainer.run_step()
                trainer.after_step()
                trainer.iter += 1
            return float(self.storage.latest()["total_loss"][0])

    def evaluate(self) -> float:
        """Return AP on the test images."""
        from detectron2.evaluation import COCOEvaluator, inference_on_dataset

        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOEvaluator("practitioner_test", output_dir=self.cfg.OUTPUT_DIR)
            return float(inference_on_dataset(self.predictor.model, self.loader, evaluator)["bbox"]["AP"])

    def predict(self) -> float:
        """Return the mean number of detections in the test images, read from their files."""
        from detectron2.data.detection_utils import read_image

        found = [self.predictor(read_image(str(file), format="BGR"))["instances"].to("cpu") for file in self.files]
        return sum(len(one.scores.numpy()) for one in found) / len(found)


def config(material: Material) -> Any:
    """Return the deployed config, with our recipe's sizes and numbers for training."""
    from detectron2.config import get_cfg

    recipe, cfg = material.recipe, get_cfg()
    cfg.merge_from_file(str(material.folder / "detectron2" / "config.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    # Of a single process; Detectron2's SyncBN refuses a CPU.
    cfg.MODEL.RESNETS.NORM = cfg.MODEL.FPN.NORM = cfg.MODEL.ROI_BOX_HEAD.NORM = "BN"
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = recipe.detector.rois
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = recipe.detector.rpn_anchors
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = recipe.detector.train_proposals
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = recipe.detector.train_sides, recipe.detector.max_side
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("practitioner_train",), ("practitioner_test",)
    cfg.DATALOADER.NUM_WORKERS = recipe.engine.workers
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = recipe.engine.batch_size, recipe.peak_lr
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 1_000_000, ()
    cfg.SOLVER.CHECKPOINT_PERIOD = cfg.SOLVER.MAX_ITER
    cfg.TEST.EVAL_PERIOD, cfg.TEST.PRECISE_BN.ENABLED = 0, False
    cfg.OUTPUT_DIR = str(material.folder / "detectron2-output")
    return cfg
