"""Build the detector of a run from a source or from scratch, save it as a folder, and load it."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.folder import CONFIG, read_config, read_tensors, write_checkpoint
from adept_hub.checkpoint.licenses import inherit
from adept_hub.checkpoint.validate_config import check_format
from adept_hub.convert.rescale_anchors import anchor_ratio
from adept_hub.errors import CheckpointError, SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.io.paths import expanded, is_file
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.load import load_pretrained
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.read import anchors_of, preprocessing_of
from adept_hub.spec import FORMAT_VERSION, PARTS, CheckpointConfig, DetectorSpec, Preprocessing, Provenance
from adept_training.finetuning.detector_files import (
    DETECTOR,
    PREDICTORS,
    check_detector,
    read_detector_json,
    read_predictors,
)
from adept_training.finetuning.losses import use_detectron2_losses
from adept_training.finetuning.recipe import DetectorRecipe

_log = logging.getLogger(__name__)
SCRATCH = "scratch"
#: Scale of the logits of the cosine classifier.
COSINE_SCALE = 20.0


@dataclass(frozen=True)
class DetectorConfig:
    """Contents of detector.json: everything beyond the four parts, and the class names."""

    source: str
    classes: tuple[str, ...]
    recipe: DetectorRecipe
    iterations: int
    metrics: dict[str, float | None]
    format_version: int = FORMAT_VERSION
    #: SHA-256 of predictors.safetensors as written.
    predictors_sha256: str = ""
    predictors_size: int = 0


class CosinePredictor(nn.Module):
    """Class logits by cosine similarity times 20, without a background prior (TFA), and linear box deltas."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes, bias=False)
        self.bbox_pred = nn.Linear(channels, num_classes * 4)

    def forward(self, features_KC: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, 4 * classes)."""
        features_KC = features_KC.flatten(start_dim=1)
        weight = functional.normalize(self.cls_score.weight, dim=1)
        logits = COSINE_SCALE * functional.linear(functional.normalize(features_KC, dim=1), weight)
        return logits, self.bbox_pred(features_KC)


@dataclass(frozen=True)
class Trained:
    """Training facts for config.json: number of images, epochs and license.

    ``license`` is the requested one (unstated: the source's), ``relicense`` the claim of the right to grant it.
    """

    images: int = 0
    epochs: float = 0.0
    license: str = "unstated"
    relicense: bool = False


def spec_of(source: str) -> DetectorSpec | None:
    """Return the architecture and the RPN anchors of a source; None for `SCRATCH`."""
    return None if source == SCRATCH else fetch(source).config.spec


@checked
def build_detector(
    source: str,
    classes: int,
    recipe: DetectorRecipe,
    seed: int,
    spec: DetectorSpec | None = None,
    pixels: Preprocessing | None = None,
) -> GeneralizedRCNN:
    """Build a detector ready to fine-tune; its random tensors are a function of ``seed``.

    Args:
        source: as everywhere, or ``scratch``. Parts that the source's checkpoint lacks start at random; they are listed
                in ``model.load_report``.
        classes: without the background.
        spec: the architecture of ``scratch``, and its anchors if the recipe has none.
        pixels: mean and std of ``scratch``'s input, ImageNet's by default; a source has its own.
    """
    torch.manual_seed(seed)
    recipe = recipe.with_anchors(spec_of(source) or spec)
    options = _options(recipe)
    if source == SCRATCH:
        parts = DetectorParts(spec or DetectorSpec())
        model = assemble_detector(parts, classes + 1, recipe.detector, pixels, **options)
    else:
        config = fetch(source).config
        # With other anchors the RPN's boxes are no longer exactly those that it was trained to propose.
        exact = anchor_ratio(config.spec, recipe.anchors) is not None
        if not exact and "rpn" in config.parts:
            _log.warning(
                "The RPN of %s was trained on anchors of %s px. With anchors of %s px its boxes differ at first: "
                "the factor differs between levels.",
                source, _listed(config.spec.anchors.sizes), _listed(recipe.anchors[:4]),
            )  # fmt: skip
        model = load_pretrained(
            source, num_classes=classes + 1, detector=recipe.detector, parts=config.parts,
            anchors="rescaled" if exact else "pretraining", **options,
        )  # fmt: skip
    return _finish(model, recipe, classes)


def _listed(sizes: tuple[float, ...]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)


def _options(recipe: DetectorRecipe) -> dict[str, Any]:
    return {
        "anchor_sizes": recipe.anchors,
        # The last side is the test side; `training_sides` inserts the training sides before it.
        "min_size": (recipe.test_side,), "max_size": recipe.max_side,
        "rpn_batch_size_per_image": recipe.rpn_anchors, "box_batch_size_per_image": recipe.rois,
        "rpn_pre_nms_top_n_train": 2000, "rpn_post_nms_top_n_train": recipe.train_proposals,
        "rpn_pre_nms_top_n_test": 1000, "rpn_post_nms_top_n_test": recipe.test_proposals,
        "box_score_thresh": recipe.score_threshold, "box_detections_per_img": recipe.detections,
    }  # fmt: skip


def _finish(model: GeneralizedRCNN, recipe: DetectorRecipe, classes: int) -> GeneralizedRCNN:
    if recipe.losses == "detectron2":
        use_detectron2_losses(model)
    if recipe.detector == "cascade_rcnn":
        return model
    if recipe.classifier == "cosine":
        channels = model.roi_heads.box_predictor.cls_score.in_features
        model.roi_heads.box_predictor = CosinePredictor(channels, classes + 1)
    # Detectron2's initialization, as in the paper. torchvision's is at least four times larger: on a head pre-trained
    # by directions alone, whose features are therefore long, the first box loss is 3.6 instead of 0.7.
    predictor = model.roi_heads.box_predictor
    nn.init.normal_(predictor.cls_score.weight, std=0.01)
    nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
    for layer in (predictor.cls_score, predictor.bbox_pred):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model


def canonical_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Return the tensors of the four parts under their canonical names (of Cascade's three heads, the first)."""
    head = model.roi_heads.box_head
    modules = {
        "backbone": model.backbone.body, "fpn": model.backbone.fpn,
        "rpn": model.rpn.head, "head": head[0] if isinstance(head, nn.ModuleList) else head,
    }  # fmt: skip
    return {f"{part}.{key}": t for part, module in modules.items() for key, t in module.state_dict().items()}


def predictor_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Return all other tensors by torchvision's names below ``roi_heads``: predictors, mask head, later heads."""
    head = "box_head.0." if isinstance(model.roi_heads.box_head, nn.ModuleList) else "box_head."
    return {key: t for key, t in model.roi_heads.state_dict().items() if not key.startswith(head)}


def save_detector(
    folder: Path,
    model: GeneralizedRCNN,
    config: DetectorConfig,
    spec: DetectorSpec,
    origin: CheckpointConfig | None,
    trained: Trained = Trained(),
) -> None:
    """Write a detector: a checkpoint folder of its four parts, plus the predictors and detector.json.

    A fine-tuned detector is thus itself a source for `adept export` and `load_pretrained`. Mean and std of its input
    and the anchors of its RPN are the model's, not those of its source or its spec.

    Raises:
        LicenseError: ``trained.license`` is more permissive than that of ``origin``.
        DiskFullError: nothing is left under ``folder``.
    """
    method = origin.provenance.method if origin else SCRATCH
    base = origin.name.partition(".")[0] if origin else f"{SCRATCH}_r{spec.depth}_fpn"
    starts = origin.as_starts() if origin else ()
    license_name, claimed = inherit(starts[-1] if starts else None, trained.license, relicense=trained.relicense)
    labels = f"labels of {len(config.classes)} classes, from {origin.name if origin else 'random values'}"
    provenance = Provenance(
        method, labels, trained.images, trained.epochs, "none", recipe=to_dict(config.recipe),
        starts=starts, relicensed=claimed, labeled=True,
    )  # fmt: skip
    write_checkpoint(
        folder, canonical_state(model), name=f"{base}.finetuned", spec=replace(spec, anchors=anchors_of(model)),
        provenance=provenance, license=license_name, parts=PARTS, preprocessing=preprocessing_of(model), overwrite=True,
        more=lambda here, _: _write_predictors(here, model, config),
    )  # fmt: skip


def _write_predictors(folder: Path, model: GeneralizedRCNN, config: DetectorConfig) -> None:
    predictors = {key: t.detach().cpu().contiguous() for key, t in predictor_state(model).items()}
    path = folder / PREDICTORS
    save_file(predictors, path, metadata={"format": "pt"})
    config = replace(config, predictors_sha256=sha256_file(path), predictors_size=path.stat().st_size)
    (folder / DETECTOR).write_text(json.dumps(to_dict(asdict(config)), indent=2) + "\n", encoding="utf-8")


def is_detector(folder: Path) -> bool:
    """Check whether a folder contains a detector with its predictors."""
    return is_file(folder / DETECTOR) and is_file(folder / CONFIG)


def find_detector(run: str) -> Path | None:
    """Return the detector of a run folder (the best, else the last) or of a detector folder, or None."""
    path = expanded(run.removeprefix("local-dir:"), SourceError)
    return next((p for p in (path / "best", path / "last", path) if is_detector(p)), None)


@checked
def load_detector(folder: Path) -> tuple[GeneralizedRCNN, DetectorConfig]:
    """Load a detector in evaluation mode from a folder of `save_detector`.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    content = read_detector_json(folder)
    check_format(content, str(folder / DETECTOR))
    checkpoint = read_config(folder)
    config = from_dict(DetectorConfig, content, str(folder / DETECTOR))
    config = replace(config, recipe=config.recipe.with_anchors(checkpoint.spec))
    check_detector(str(folder / DETECTOR), config.classes, config.recipe, config.iterations)
    if lacking := [part for part in PARTS if part not in checkpoint.parts]:
        raise CheckpointError(
            f"{folder} has predictors, but no {' and no '.join(lacking)}: the detector is incomplete.\n"
            "Give a folder that adept finetune wrote (RUN, RUN/best or RUN/last)."
        )
    parts = DetectorParts(checkpoint.spec)
    parts.load_state_dict(read_tensors(folder, checkpoint))
    classes = len(config.classes)
    model = assemble_detector(
        parts, classes + 1, config.recipe.detector, checkpoint.preprocessing, **_options(config.recipe)
    )
    model = _finish(model, config.recipe, classes)
    expected = predictor_state(model)
    predictors = read_predictors(folder, expected, config.predictors_sha256, config.predictors_size)
    model.roi_heads.load_state_dict({**model.roi_heads.state_dict(), **predictors})
    return cast(GeneralizedRCNN, model.eval()), config


def with_metrics(config: DetectorConfig, metrics: dict[str, float | None]) -> DetectorConfig:
    """Return the config with these metrics."""
    return replace(config, metrics=metrics)
