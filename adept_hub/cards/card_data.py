"""Metrics in the Hub's two machine-readable formats: a card's ``model-index`` and ``.eval_results/*.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]  # documented, not re-exported

from adept_hub.cards.training_kind import kind_of
from adept_hub.spec import CheckpointConfig, Metric

TASK = "object-detection"


def front_matter(config: CheckpointConfig) -> str:
    """Return the YAML block at the top of a card, without the paper's metrics, which belong to other weights."""
    kind = kind_of(config)
    tags = [TASK, *([] if kind is None else [kind]), "adept", config.provenance.method, f"resnet-{config.spec.depth}"]
    data = ModelCardData(
        library_name="adept-hub",
        license=config.license.lower() or None,
        pipeline_tag=TASK,
        tags=tags,
        model_name=config.name,
        eval_results=[_result(metric) for metric in _own(config)] or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def eval_results(config: CheckpointConfig) -> dict[str, str]:
    """Return the files ``.eval_results/*.yaml``, one per data set: path in the repository -> content."""
    files: dict[str, list[dict[str, object]]] = {}
    for metric in _own(config):
        entry: dict[str, object] = {
            "dataset": {"id": slug(metric.data), "task_id": slug(metric.name)},
            "value": metric.value,
        }
        if notes := _notes(metric):
            entry["notes"] = notes
        files.setdefault(f".eval_results/{slug(metric.data)}.yaml", []).append(entry)
    return {path: yaml_dump(entries, sort_keys=False) for path, entries in files.items()}


def slug(text: str) -> str:
    """Reduce text to lower case, digits and single hyphens, for identifiers and file names."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "unnamed"


def _own(config: CheckpointConfig) -> Iterable[Metric]:
    return (metric for metric in config.provenance.metrics if metric.provenance != "paper-reported")


def _result(metric: Metric) -> EvalResult:
    return EvalResult(
        task_type=TASK,
        dataset_type=slug(metric.data),
        dataset_name=_line(metric.data),
        metric_type=slug(metric.name),
        metric_name=_line(f"{metric.name} ({_notes(metric)})" if _notes(metric) else metric.name),
        metric_value=metric.value,
    )


def _notes(metric: Metric) -> str:
    return _line("; ".join(text for text in (metric.provenance, metric.spread, metric.command) if text))


def _line(text: str) -> str:
    """Join text into one line: not all readers of front matter parse YAML, and a line with ``---`` ends it."""
    return " ".join(text.split())
