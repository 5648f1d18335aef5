"""The detector of a run: built from a source or from nothing, written as a folder, and read back."""

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
from adept_hub.checkpoint.validate import check_format
from adept_hub.convert.rescale import anchor_ratio
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
#: Of the cosine classifier.
COSINE_SCALE = 20.0


@dataclass(frozen=True)
class DetectorConfig:
    """detector.json: what stands on the four parts, and what the labels mean."""

    source: str
    classes: tuple[str, ...]
    recipe: DetectorRecipe
    iterations: int
    metrics: dict[str, float | None]
    format_version: int = FORMAT_VERSION
    #: Of predictors.safetensors, as it was written.
    predictors_sha256: str = ""
    predictors_size: int = 0


class CosinePredictor(nn.Module):
    """Class logits by cosine similarity times 20, without a background prior (TFA), and linear box deltas."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes, bias=False)
        self.bbox_pred = nn.Linear(channels, num_classes * 4)

    def forward(self, features_KC: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (K, classes) and deltas (K, 4 * classes)."""
        features_KC = features_KC.flatten(start_dim=1)
        weight = functional.normalize(self.cls_score.weight, dim=1)
        logits = COSINE_SCALE * functional.linear(functional.normalize(features_KC, dim=1), weight)
        return logits, self.bbox_pred(features_KC)


@dataclass(frozen=True)
class Trained:
    """What a fine-tuning says of itself in its config.json: on how many images, how often, and under which license.

    ``license`` is what was asked for (unstated: the source's), ``relicense`` the claim of the right to grant it.
    """

    images: int = 0
    epochs: float = 0.0
    license: str = "unstated"
    relicense: bool = False


def spec_of(source: str) -> DetectorSpec | None:
    """The architecture of a source and its RPN's anchors; `SCRATCH` has none of its own."""
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
    """A detector ready to fine-tune; its random tensors are a function of ``seed``.

    Args:
        source: as everywhere, or ``scratch``. Parts that the source's checkpoint lacks start at random, as
            ``model.load_report`` says.
        classes: without the background.
        spec: the architecture of ``scratch``, and its anchors where the recipe names none.
        pixels: mean and std of ``scratch``'s input, ImageNet's by default; a source has its own.
    """
    torch.manual_seed(seed)
    recipe = recipe.with_anchors(spec_of(source) or spec)
    options = _options(recipe)
    if source == SCRATCH:
        parts = DetectorParts(spec or DetectorSpec())
        model = assemble_detector(parts, classes + 1, recipe.detector, pixels, **options)
    else:
        held = fetch(source).config
        # On other anchors than it was trained with the RPN proposes the boxes that it proposed on its own, exactly.
        exact = anchor_ratio(held.spec, recipe.anchors) is not None
        if not exact and "rpn" in held.parts:
            _log.warning(
                "The RPN of %s was trained on anchors of %s px. On %s px its boxes are others at first: the factor "
                "differs between levels.", source, _listed(held.spec.anchors.sizes), _listed(recipe.anchors[:4]),
            )  # fmt: skip
        model = load_pretrained(
            source, num_classes=classes + 1, detector=recipe.detector, parts=held.parts,
            anchors="rescaled" if exact else "pretraining", **options,
        )  # fmt: skip
    return _finish(model, recipe, classes)


def _listed(sizes: tuple[float, ...]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)


def _options(recipe: DetectorRecipe) -> dict[str, Any]:
    return {
        "anchor_sizes": recipe.anchors,
        # The last side is the one of testing; `training_sides` puts those of training in its place.
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
    # Detectron2's start, which the paper's figures have. torchvision's own is four times larger or more: on a head that
    # was pre-trained by directions alone, whose features are therefore long, the first box loss is 3.6 instead of 0.7.
    predictor = model.roi_heads.box_predictor
    nn.init.normal_(predictor.cls_score.weight, std=0.01)
    nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
    for layer in (predictor.cls_score, predictor.bbox_pred):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model


def canonical_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """The four parts' tensors under their canonical names; of Cascade's three heads, the first."""
    head = model.roi_heads.box_head
    modules = {
        "backbone": model.backbone.body, "fpn": model.backbone.fpn,
        "rpn": model.rpn.head, "head": head[0] if isinstance(head, nn.ModuleList) else head,
    }  # fmt: skip
    return {f"{part}.{key}": t for part, module in modules.items() for key, t in module.state_dict().items()}


def predictor_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Everything else by torchvision's names below ``roi_heads``: predictors, the mask head, Cascade's later heads."""
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
    """Write a detector: a checkpoint folder of its four parts, with the predictors and detector.json beside them.

    So a fine-tuned detector is itself a source, which `adept export` and `load_pretrained` take. Mean and std of its
    input and the anchors of its RPN are those that the model has, not those of its source or of its spec.

    Raises:
        LicenseError: ``trained.license`` is more permissive than that of ``origin``.
        DiskFullError: nothing is left under ``folder``.
    """
    method = origin.provenance.method if origin else SCRATCH
    base = origin.name.partition(".")[0] if origin else f"{SCRATCH}_r{spec.depth}_fpn"
    starts = origin.as_starts() if origin else ()
    given, claimed = inherit(starts[-1] if starts else None, trained.license, relicense=trained.relicense)
    labels = f"labels of {len(config.classes)} classes, from {origin.name if origin else 'random values'}"
    provenance = Provenance(
        method, labels, trained.images, trained.epochs, "none", recipe=to_dict(config.recipe),
        starts=starts, relicensed=claimed, labeled=True,
    )  # fmt: skip
    write_checkpoint(
        folder, canonical_state(model), name=f"{base}.finetuned", spec=replace(spec, anchors=anchors_of(model)),
        provenance=provenance, license=given, parts=PARTS, preprocessing=preprocessing_of(model), overwrite=True,
        more=lambda here, _: _write_predictors(here, model, config),
    )  # fmt: skip


def _write_predictors(folder: Path, model: GeneralizedRCNN, config: DetectorConfig) -> None:
    predictors = {key: t.detach().cpu().contiguous() for key, t in predictor_state(model).items()}
    path = folder / PREDICTORS
    save_file(predictors, path, metadata={"format": "pt"})
    config = replace(config, predictors_sha256=sha256_file(path), predictors_size=path.stat().st_size)
    (folder / DETECTOR).write_text(json.dumps(to_dict(asdict(config)), indent=2) + "\n", encoding="utf-8")


def is_detector(folder: Path) -> bool:
    """Whether a folder holds a detector with its predictors."""
    return is_file(folder / DETECTOR) and is_file(folder / CONFIG)


def find_detector(run: str) -> Path | None:
    """The detector of a run folder (the best, or else the last), of a detector's own folder, or None."""
    path = expanded(run.removeprefix("local-dir:"), SourceError)
    return next((p for p in (path / "best", path / "last", path) if is_detector(p)), None)


@checked
def load_detector(folder: Path) -> tuple[GeneralizedRCNN, DetectorConfig]:
    """A detector in evaluation mode, from `save_detector`'s folder.

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
            f"{folder} has predictors, but no {' and no '.join(lacking)}: it is not a whole detector.\n"
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
    """The same with other figures."""
    return replace(config, metrics=metrics)
