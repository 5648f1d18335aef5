"""Figures that ``adept evaluate ... --json`` and ``adept finetune`` left beside a checkpoint, as the card's metrics.

Read are ``metrics.json``, ``evaluations/SET.json`` and ``evaluations/SET/*.json`` of a run or checkpoint folder. Files
that measured the same (several seeds) become one figure: their mean, its spread the sample standard deviation.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adept_hub.errors import PublishError
from adept_hub.io.paths import resolved
from adept_hub.io.read import BoundedReader
from adept_hub.spec import CheckpointConfig, Metric

FILES = ("metrics.json", "evaluations/*.json", "evaluations/*/*.json")
#: Of a name on a card, characters.
_LONGEST = 1000
_FIGURES = BoundedReader(PublishError, 8 << 20, remedy="Evaluate again, or remove the file.")


def folders_of(checkpoint: Path) -> tuple[Path, ...]:
    """The run that a checkpoint folder belongs to, if any, and the folder itself."""
    return (checkpoint.parent, checkpoint) if checkpoint.name == "export" else (checkpoint,)


def with_measurements(config: CheckpointConfig, checkpoint: Path) -> CheckpointConfig:
    """The config with the metrics measured beside it; they replace those of the same name on the same data.

    Raises:
        PublishError: a file holds no figures, or those of another checkpoint.
    """
    folders = folders_of(checkpoint)
    paths = []
    for folder in folders:
        for path in (path for pattern in FILES for path in sorted(folder.glob(pattern))):
            check_inside(path, folder)
            paths.append(path)
    found = read_measurements(paths, {config.name, *(_last(resolved(folder)) for folder in folders)})
    measured = {(metric.name, metric.data) for metric in found}
    kept = tuple(m for m in config.provenance.metrics if (m.name, m.data) not in measured)
    return replace(config, provenance=replace(config.provenance, metrics=(*kept, *found)))


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a file of a folder that is to be published if it is a link to something elsewhere.

    Raises:
        PublishError: it is.
    """
    try:
        is_inside = resolved(path).is_relative_to(resolved(folder))
    except (OSError, RuntimeError):  # a loop of links
        is_inside = False
    if not is_inside:
        raise PublishError(f"{path} is a link out of {folder}; what it leads to is not published.\nRemove the link.")


def read_measurements(paths: Iterable[Path], known_as: set[str]) -> tuple[Metric, ...]:
    """One metric for each figure and data set.

    Args:
        paths: JSON files, each with ``source``, ``split``, ``images`` and ``metrics`` (name -> number or null); with
            ``trained_on`` where a detector was fine-tuned on so many images; with ``data``, or named after the set.
        known_as: the checkpoint's name and the last part of its path; ``source`` must end in one of them.

    Raises:
        PublishError: a file holds no figures, or those of another checkpoint.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in paths:
        content = _read(path)
        source = str(content["source"])
        if _last(Path(source.rpartition("@")[0] or source)) not in known_as:
            raise PublishError(
                f"{path} measured {source[:200]!r}, not this checkpoint ({', '.join(sorted(known_as))}).\n"
                "Evaluate this one, or remove the file."
            )
        for name, value in content["metrics"].items():
            if value is not None:
                values[str(name), _data(content, path)].append(float(value))
    return tuple(
        Metric(name, round(statistics.fmean(of), 4), data, "self-reported", spread=_spread(of))
        for (name, data), of in values.items()
    )


def _read(path: Path) -> dict[str, Any]:
    content = _FIGURES.json(path)
    try:
        metrics = content["metrics"]
        numbers = [v for v in metrics.values() if v is not None]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            raise ValueError("a figure that is no number")
        if not isinstance(content["split"], str) or not _is_count(content["images"]):
            raise ValueError("no split or no number of images")
        if not _is_count(content.get("trained_on") or 0):
            raise ValueError("trained_on is no number of images")
        shown = (*metrics, content["split"], str(content.get("data", "")), str(content["source"]))
        if not all(len(text) <= _LONGEST and text.isprintable() for text in shown):
            raise ValueError(f"a name that is longer than {_LONGEST} characters or cannot be printed")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PublishError(
            f"{path} holds no figures of adept evaluate: {str(error)[:200]}.\nEvaluate again, or remove the file."
        ) from error
    found: dict[str, Any] = content
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _last(path: Path) -> str:
    """The last part of a source or path that tells one checkpoint from another."""
    return path.parent.name if path.name == "export" else path.name


def _data(content: dict[str, Any], path: Path) -> str:
    """What was measured on, in words; of a path of this machine its last part alone."""
    parts = re.split("[:,]", str(content.get("data", "")))
    named = path.stem if path.parent.name == "evaluations" else path.parent.name
    data = Path(parts[min(1, len(parts) - 1)]).stem or named
    trained = content.get("trained_on")
    how = f"fine-tuned on {trained:,} images" if isinstance(trained, int) else "as it is"
    return f"{data} {content['split']}, {content['images']:,} images, {how}"


def _spread(values: list[float]) -> str:
    return f"± {statistics.stdev(values):.2g}, {len(values)} runs" if len(values) > 1 else ""
