"""Resolve a source on this machine to a checkpoint folder: a folder, a run, or the weights of another project."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.config_file import CONFIG, WEIGHTS
from adept_hub.checkpoint.validate_config import MAX_CONFIG_BYTES
from adept_hub.errors import CheckpointError, SourceError
from adept_hub.foreign.timm import PICKLED_WEIGHTS, is_timm_config
from adept_hub.io.digest import home_of
from adept_hub.io.paths import exists, is_dir, is_file, resolved, what_is
from adept_hub.io.read import BoundedReader
from adept_hub.names import WEIGHT_FILES, FileSource, LocalSource, text_of


def check_exists(source: LocalSource | FileSource) -> None:
    """Check that the path of a source exists.

    Raises:
        SourceError: it does not.
    """
    if exists(source.path):
        return
    remedy = "Pass a checkpoint folder, or a name: adept list"
    if isinstance(source, FileSource):
        hub = "; those on the Hub are hf-hub:timm/NAME" if source.layout == "timm" else ""
        remedy = f"The form is {source.layout}:FILE, for a weights file on this machine{hub}."
    raise SourceError(f"{source.path} {what_is(source.path)}.\n{remedy}")


def local_folder(path: Path) -> tuple[Path, str]:
    """Return the checkpoint folder of a path, converted if timm or another project wrote it, and what it was made from.

    Raises:
        SourceError: the path does not exist, or is a run without a checkpoint or with two.
        Others as in `adept_hub.foreign.adopt.adopt_file` and `adept_hub.foreign.adopt.adopt_timm`.
    """
    check_exists(LocalSource(path))
    folder = checkpoint_folder(_folder_of(path))
    if folder.suffix in WEIGHT_FILES and is_file(folder):
        from adept_hub.foreign.adopt import adopt_file

        return adopt_file(folder), str(folder)
    if (timm := timm_config(folder)) is None:
        return folder, str(folder)
    from adept_hub.foreign.adopt import adopt_timm

    return adopt_timm(timm, folder / WEIGHTS, str(folder), resolved(folder).name), str(folder)


def layout_folder(source: FileSource) -> Path:
    """Return the checkpoint folder of a weights file whose layout is stated.

    Raises:
        SourceError: the path does not exist, is a folder of another kind than timm's, or is a checkpoint of adept_hub.
        Others as in `adept_hub.foreign.adopt.adopt_file` and `adept_hub.foreign.adopt.adopt_timm`.
    """
    check_exists(source)
    from adept_hub.foreign.adopt import adopt_file, adopt_timm

    path, layout = source
    folder = checkpoint_folder(_folder_of(path))
    if (timm := timm_config(folder)) is not None:
        if layout == "timm":
            return adopt_timm(timm, folder / WEIGHTS, text_of(source), resolved(folder).name)
        raise SourceError(
            f"{folder} is a folder of timm (see its {CONFIG}), and {layout} is another layout.\n"
            f"Pass it without the layout: {folder}"
        )
    if "spec" in _content(folder / CONFIG):
        raise SourceError(
            f"{path} is a checkpoint of adept_hub, whose config.json describes it; {layout} is a layout of other "
            f"projects' files.\nPass it without the layout: {path}"
        )
    if is_dir(path):
        inside = sorted(file.name for file in path.iterdir() if file.suffix in WEIGHT_FILES and is_file(file))
        file = path / (inside[0] if inside else "FILE")
        raise SourceError(
            f"{path} is a folder, and the layout {layout} is that of a weights file.\n"
            f"Pass the file: {text_of(FileSource(file, layout))}"
        )
    return adopt_file(path, layout)


def checkpoint_folder(path: Path) -> Path:
    """Return the checkpoint folder at ``path``, or that of the run at ``path``.

    A run of ``adept pretrain`` has ``export/``; one of ``adept finetune`` has ``best/``, or only ``last/`` without
    validation data. Any other path is returned unchanged.

    Raises:
        SourceError: the run has no checkpoint yet, or two that could be meant.
    """
    if (path / CONFIG).is_file():
        return path
    folders = [path / name for name in ("export", "best", "last") if (path / name / CONFIG).is_file()]
    if path / "export" in folders and len(folders) > 1:
        raise SourceError(
            f"{path} has a pre-trained and a fine-tuned checkpoint.\nSpecify one: {folders[0]} or {folders[1]}"
        )
    if folders:
        return folders[0]
    if (path / "log.jsonl").is_file():
        raise SourceError(
            f"{path} is a run without a checkpoint: it has not finished, or failed.\n"
            "Continue it: the same command with --resume"
        )
    return path


def timm_config(folder: Path) -> dict[str, Any] | None:
    """Return the content of a config.json that timm wrote; None for any other, which `read_config` reports."""
    content = _content(folder / CONFIG)
    return content if is_timm_config(content) else None


def _folder_of(path: Path) -> Path:
    """Return the folder of weights that are given by their file, next to their config; any other path unchanged."""
    ours = path.name == WEIGHTS and (path.parent / CONFIG).is_file()
    return path.parent if ours or (path.name == PICKLED_WEIGHTS and timm_config(path.parent) is not None) else path


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; empty if it is missing, damaged or not a mapping."""
    if not is_file(path):
        return {}
    reader = BoundedReader(CheckpointError, MAX_CONFIG_BYTES, inside=home_of(path))
    with contextlib.suppress(CheckpointError):
        data = reader.json(path)
        return data if isinstance(data, dict) else {}
    return {}
