"""Export a trained model to the checkpoint folder that the hub loads."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adept_hub.cards.card import write_card
from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.io.schema import to_dict
from adept_hub.models.contract import BOX_REGRESSOR
from adept_hub.spec import CheckpointConfig, Metric, Provenance
from adept_training.method.detection import DetectorNetwork
from adept_training.method.model import PretrainModel
from adept_training.pretraining.origin import PretrainStart
from adept_training.pretraining.recipe import Recipe


def exported_tensors(model: PretrainModel, network: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return canonical tensors and parts. The RPN is always the online one: the target has none.

    Of a network that predicts boxes, the box regressor is among them.
    """
    source = model.target if network == "target" and model.recipe.has_target else model.online
    parts = model.recipe.parts
    state: dict[str, Tensor] = {}
    for part in parts:
        holder = model.online if part == "rpn" else source
        tensors = getattr(holder.parts, part).state_dict()
        state |= {f"{part}.{key}": value for key, value in tensors.items()}
    if isinstance(source, DetectorNetwork):
        layer = source.predictor.bbox_pred
        state |= dict(zip(BOX_REGRESSOR, (layer.weight, layer.bias), strict=True))
    return state, parts


def export_model(
    model: PretrainModel,
    recipe: Recipe,
    folder: Path,
    *,
    images: int,
    epochs: float,
    proposals: dict[str, Any],
    metrics: tuple[Metric, ...] = (),
    notes: tuple[str, ...] = (),
    origin: PretrainStart = PretrainStart(),  # noqa: B008  # frozen
    random_share: float | None = None,
) -> CheckpointConfig:
    """Write the checkpoint folder of a run and its card, replacing an earlier one of the same run.

    Args:
        images: number of training images; ``epochs``: passes over them, as actually trained.
        proposals: the proposal table's own description.
        notes: limitations of the weights, for the card.
        origin: the starting point of the run.
        random_share: share of random initial values in the weights; None: unknown.
    """
    tensors, parts = exported_tensors(model, recipe.export.network)
    provenance = Provenance(
        method=recipe.method.name,
        data=recipe.export.data,
        images=images,
        epochs=round(epochs, 3),
        exported_network=recipe.export.network if model.recipe.has_target else "online",
        proposals=proposals,
        recipe=to_dict(recipe),
        recipe_sha256=recipe.sha256(),
        trained_on=_machine(),
        metrics=metrics,
        notes=notes,
        starts=origin.starts,
        relicensed=origin.relicensed,
        labeled=origin.labeled,
        random_share=random_share,
    )
    return write_checkpoint(
        folder,
        tensors,
        name=f"{recipe.method.name}_r{recipe.model.depth}_fpn{_width(recipe)}.{recipe.export.tag}",
        spec=recipe.model,
        provenance=provenance,
        license=recipe.export.license,
        parts=parts,
        preprocessing=model.preprocessing,
        half=recipe.export.half,
        overwrite=True,
        more=lambda here, config: write_card(here, config, source=str(folder), replaces=folder),
    )


def _width(recipe: Recipe) -> str:
    return "" if recipe.model.fpn_channels == 256 else str(recipe.model.fpn_channels)


def _machine() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads != 1)} of a {platform.machine()} CPU, torch {torch.__version__}"


def recall_metrics(probe: dict[str, float], proposals: dict[str, Any]) -> tuple[Metric, ...]:
    """Return the last probe of the held-out images as a checkpoint's metrics; ``proposals`` describes their boxes."""
    preset = proposals.get("preset", {}).get("name")
    data = f"boxes {f'of preset {preset} ' if preset else ''}in held-out images"
    names = {name: name if "_head_" in name else f"rpn_{name}" for name in probe}
    return tuple(Metric(names[name], round(value, 4), data, "self-reported") for name, value in probe.items())
