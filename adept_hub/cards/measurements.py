"""Read the metrics that ``adept evaluate ... --json`` and ``adept finetune`` wrote next to a checkpoint, for its card.

The files are ``metrics.json``, ``evaluations/SET.json`` and ``evaluations/SET/*.json`` of a run or checkpoint folder.
Several values of the same metric (of several seeds) are reported as their mean and sample standard deviation. Of a run
of ``adept finetune`` only the metrics of the detector in question, ``best`` or ``last``, are read.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from adept_hub.detectors.files import DETECTOR, read_detector_json
from adept_hub.errors import PublishError
from adept_hub.io.paths import is_file, resolved
from adept_hub.io.read import BoundedReader
from adept_hub.spec import CheckpointConfig, Metric
from adept_hub.words.command_line import command_line

FILES = ("metrics.json", "evaluations/*.json", "evaluations/*/*.json")
#: The detectors in a run of ``adept finetune``.
_TUNED = ("best", "last")
#: Between the words of ``coco:ANN.json:IMAGES coco:...``.
_NEXT_DATA = re.compile(r"\s+(?=(?:coco|voc|yolo|hf-datasets):)")
#: Maximum number of characters of a name on a card.
_LONGEST = 1000
_READER = BoundedReader(PublishError, 8 << 20, remedy="Evaluate again, or remove the file.")


def folders_of(checkpoint: Path) -> tuple[Path, ...]:
    """Return the run of a checkpoint folder, if any, and the folder itself."""
    in_run = checkpoint.name == "export" or (checkpoint.name in _TUNED and is_file(checkpoint / DETECTOR))
    return (checkpoint.parent, checkpoint) if in_run else (checkpoint,)


def with_measurements(config: CheckpointConfig, checkpoint: Path) -> CheckpointConfig:
    """Add the metrics next to a checkpoint to its config; they replace those of the same name on the same data.

    Raises:
        PublishError: a file has no metrics, or those of another checkpoint.
    """
    folders, paths = folders_of(checkpoint), []
    for folder in folders:
        for path in (path for pattern in FILES for path in sorted(folder.glob(pattern))):
            check_inside(path, folder)
            paths.append(path)
    known_as = {config.name, *(_last(resolved(folder)) for folder in folders)}
    tuned = _Tuned(checkpoint, config.provenance.images) if is_file(checkpoint / DETECTOR) else None
    new = read_measurements(paths, known_as, tuned, config.sha256)
    measured = {(metric.name, metric.data) for metric in new}
    others = tuple(m for m in config.provenance.metrics if (m.name, m.data) not in measured)
    return replace(config, provenance=replace(config.provenance, metrics=(*others, *new)))


def check_inside(path: Path, folder: Path) -> None:
    """Refuse to publish a file that is a link out of its folder.

    Raises:
        PublishError: the file is such a link.
    """
    try:
        is_inside = resolved(path).is_relative_to(resolved(folder))
    except (OSError, RuntimeError):  # a loop of links
        is_inside = False
    if not is_inside:
        raise PublishError(f"{path} is a link out of {folder}; its target is not published.\nRemove the link.")


@dataclass(frozen=True)
class _Tuned:
    """A fine-tuned detector and the number of its labeled images."""

    folder: Path
    images: int

    def is_measured_by(self, content: dict[str, Any], path: Path) -> bool:
        """Check whether a file of the run measured this detector, not the other one of ``best`` and ``last``."""
        if _is_of_run(content, path):  # its source is the start
            iterations = read_detector_json(self.folder).get("iterations")
            return bool(content.get("iteration") == iterations)
        name = Path(str(content["source"])).name
        default = "best" if is_file(self.folder.parent / "best" / DETECTOR) else "last"
        return (name if name in _TUNED else default) == self.folder.name or self.folder.name not in _TUNED


def read_measurements(
    paths: Iterable[Path], known_as: set[str], tuned: _Tuned | None = None, sha256: str = ""
) -> tuple[Metric, ...]:
    """Read one metric per name and data set.

    Args:
        paths: JSON files, each with ``source``, ``split``, ``images`` and ``metrics`` (name -> number or null); with
            ``trained_on``, the number of images, for a fine-tuned detector; with ``data``, or named after the data set;
            with ``weights``, the SHA-256 of what was measured.
        known_as: the checkpoint's name and the last part of its path; ``source`` must end in one of them if there is
            no digest.
        tuned: the fine-tuned detector whose metrics they are, if it is one.
        sha256: of the checkpoint's weights.

    Raises:
        PublishError: a file has no metrics, or those of another checkpoint.
    """
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for path in paths:
        content = _read(path)
        source, stated = str(content["source"]), content.get("weights")
        if stated is not None and stated != sha256:
            if tuned is not None:  # of best and last, the other one
                continue
            raise PublishError(
                f"{path} measured other weights, with the SHA-256 {str(stated)[:12]}..., not these, {sha256[:12]}....\n"
                "Evaluate these, or remove the file."
            )
        if stated is None and tuned is not None and not tuned.is_measured_by(content, path):
            continue
        of_run = tuned is not None and _is_of_run(content, path)
        if stated is None and not of_run and _last(Path(source.rpartition("@")[0] or source)) not in known_as:
            raise PublishError(
                f"{path} measured {source[:200]!r}, not this checkpoint ({', '.join(sorted(known_as))}).\n"
                "Evaluate this one, or remove the file."
            )
        if tuned is not None:
            content.setdefault("trained_on", tuned.images)
        command = _command(content, resolved(path.parent).name) if of_run else ""
        for name, value in content["metrics"].items():
            if value is not None:
                values[str(name), _data(content, path), command].append(float(value))
    return tuple(
        Metric(name, round(statistics.fmean(of), 4), data, "self-reported", command, _spread(of))
        for (name, data, command), of in values.items()
    )


def _is_of_run(content: dict[str, Any], path: Path) -> bool:
    """Check whether ``adept finetune`` left a file in its run; a copy may be among another checkpoint's evaluations."""
    return path.name == "metrics.json" and "chosen" in content


def _command(content: dict[str, Any], run: str) -> str:
    """Return the command that repeats the measurement of a run, with only the last part of every absolute path."""
    data, private = str(content.get("data", "")), re.compile(r"[/~]|.*\\")
    words = []
    for word in _NEXT_DATA.split(data) if data.strip() else ():  # paths may contain spaces
        fields = re.split("([:,])", word)
        words.append("".join(PureWindowsPath(field).name if private.match(field) else field for field in fields))
    return command_line("evaluate", run, "--data", *words, "--split", content["split"]) if words else ""


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = _READER.json(path)
    try:
        metrics = content["metrics"]
        numbers = [v for v in metrics.values() if v is not None]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            raise ValueError("a metric is not a number")
        if not isinstance(content["split"], str) or not _is_count(content["images"]):
            raise ValueError("the split or the number of images is not valid")
        if not _is_count(content.get("trained_on") or 0):
            raise ValueError("trained_on is not a valid number of images")
        texts = (*metrics, content["split"], str(content.get("data", "")), str(content["source"]))
        if not all(len(text) <= _LONGEST and text.isprintable() for text in texts):
            raise ValueError(f"a name is longer than {_LONGEST} characters or cannot be printed")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PublishError(
            f"{path} is not a result of adept evaluate: {str(error)[:200]}.\nEvaluate again, or remove the file."
        ) from error
    return content


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _last(path: Path) -> str:
    """Return the last part of a source or path that identifies the checkpoint."""
    return path.parent.name if path.name in ("export", *_TUNED) else path.name


def _data(content: dict[str, Any], path: Path) -> str:
    """Describe the data of a measurement; only the last part of a local path is included."""
    parts = re.split("[:,]", str(content.get("data", "")))
    named = path.stem if path.parent.name == "evaluations" else path.parent.name
    data = Path(parts[min(1, len(parts) - 1)]).stem or named
    trained = content.get("trained_on")
    how = f"fine-tuned on {trained:,} images" if isinstance(trained, int) else "not fine-tuned"
    return f"{data} {content['split']}, {content['images']:,} images, {how}"


def _spread(values: list[float]) -> str:
    return f"± {statistics.stdev(values):.2g}, {len(values)} runs" if len(values) > 1 else ""
