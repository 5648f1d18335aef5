"""Build the detector of a run from a source or from scratch, and save it as a folder."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.checkpoint.licenses import inherit
from adept_hub.convert.options import Anchors
from adept_hub.convert.rescale_anchors import anchor_ratio
from adept_hub.detectors.build import detector_options, predictor_state, use_classifier
from adept_hub.detectors.files import DETECTOR, PREDICTORS
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.io.schema import to_dict
from adept_hub.load_report import LoadReport
from adept_hub.loading.detector import load_fetched
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.determined import completed
from adept_hub.models.options import DetectorOptions
from adept_hub.models.read import anchors_of, preprocessing_of
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec, Preprocessing, Provenance
from adept_training.finetuning.losses import use_detectron2_losses

#: The layer of box deltas, by its name in the model.
_REGRESSOR = "roi_heads.box_predictor.bbox_pred"
_log = logging.getLogger(__name__)
SCRATCH = "scratch"


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
        spec: the architecture of ``scratch``, or of the parts that the source lacks, and their anchors if the recipe
            has none.
        pixels: mean and std of ``scratch``'s input, ImageNet's by default; a source has its own.
    """
    torch.manual_seed(seed)
    if source == SCRATCH:
        recipe = recipe.with_anchors(spec)
        parts = DetectorParts(spec or DetectorSpec())
        model = assemble_detector(parts, classes + 1, recipe.detector, pixels, **detector_options(recipe))
    else:
        fetched = fetch(source)
        config = fetched.config
        whole = completed(config.spec, config.parts, spec or config.spec)
        recipe = recipe.with_anchors(whole)
        # With other anchors the RPN's boxes are no longer exactly those that it was trained to propose.
        exact = anchor_ratio(config.spec, recipe.anchors) is not None
        if not exact and "rpn" in config.parts:
            _log.warning(
                "The RPN of %s was trained on anchors of %s px. With anchors of %s px its boxes differ at first: "
                "the factor differs between levels.",
                source, _listed(config.spec.anchors.sizes), _listed(recipe.anchors[:4]),
            )  # fmt: skip
        anchors: Anchors = "rescaled" if exact else "pretraining"
        options = cast("DetectorOptions", detector_options(recipe))
        model = load_fetched(fetched, whole, classes + 1, recipe.detector, config.parts, anchors, options)
    return _finish(model, recipe, classes)


def _listed(sizes: tuple[float, ...]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)


def _finish(model: GeneralizedRCNN, recipe: DetectorRecipe, classes: int) -> GeneralizedRCNN:
    """Set the recipe's losses and classifier, and the initial values of predictors that are not the source's."""
    if recipe.losses == "detectron2":
        use_detectron2_losses(model)
    if recipe.detector == "cascade_rcnn":
        return model
    regressor = loaded_regressor(model)
    use_classifier(model, recipe, classes)
    # Detectron2's initialization, as in the paper. torchvision's is at least four times larger: on a head pre-trained
    # by directions alone, whose features are therefore long, the first box loss is 3.6 instead of 0.7.
    predictor = model.roi_heads.box_predictor
    nn.init.normal_(predictor.cls_score.weight, std=0.01)
    if predictor.cls_score.bias is not None:
        nn.init.zeros_(predictor.cls_score.bias)
    if regressor is not None:
        predictor.bbox_pred = regressor
    else:
        nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
        nn.init.zeros_(predictor.bbox_pred.bias)
    return model


def loaded_regressor(model: GeneralizedRCNN) -> nn.Linear | None:
    """Return the box regressor of a detector that was built with its source's; otherwise None."""
    report: LoadReport | None = getattr(model, "load_report", None)
    loaded = report is not None and any(f"{_REGRESSOR}.weight" in part.reshaped for part in report.parts)
    return cast("nn.Linear", model.get_submodule(_REGRESSOR)) if loaded else None


def canonical_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Return the tensors of the four parts under their canonical names (of Cascade's three heads, the first)."""
    head = model.roi_heads.box_head
    modules = {
        "backbone": model.backbone.body, "fpn": model.backbone.fpn,
        "rpn": model.rpn.head, "head": head[0] if isinstance(head, nn.ModuleList) else head,
    }  # fmt: skip
    return {f"{part}.{key}": t for part, module in modules.items() for key, t in module.state_dict().items()}


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


def with_metrics(config: DetectorConfig, metrics: dict[str, float | None]) -> DetectorConfig:
    """Return the config with these metrics."""
    return replace(config, metrics=metrics)
