"""Images of a Hugging Face dataset by row: the encoded bytes as stored, not decoded by datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adept_hub.errors import ImageDecodeError, ImagesError, MissingExtraError
from adept_hub.images.files import check_bytes, read_file

PREFIX = "hf-datasets:"
_GRAMMAR = re.compile(r"(?P<name>[^@:]+)(@(?P<revision>[^@:]+))?(:(?P<split>[^@:]+))?")

_SCRIPTS = "HF_DATASETS_TRUST_REMOTE_CODE"


@dataclass(frozen=True)
class HuggingFaceImages:
    """Rows of one split; keys are ``split/00000042``."""

    dataset: Any = field(repr=False)  # datasets.Dataset whose image column is not decoded
    split: str
    column: str
    rows: tuple[int, ...] | None = None  # all

    def keys(self) -> list[str]:
        rows = range(len(self.dataset)) if self.rows is None else self.rows
        return [f"{self.split}/{row:08d}" for row in rows]

    def read(self, key: str) -> bytes:
        image = self.dataset[int(key.rsplit("/", 1)[1])][self.column]
        if image is None:
            raise ImageDecodeError(f"{key} cannot be read: the row has no image.")
        if image["bytes"] is None:
            return read_file(Path(image["path"]), key)
        check_bytes(len(image["bytes"]), key)
        return bytes(image["bytes"])

    def subset(self, keys: Sequence[str]) -> HuggingFaceImages:
        rows = tuple(int(key.rsplit("/", 1)[1]) for key in keys)
        return HuggingFaceImages(self.dataset, self.split, self.column, rows)


def open_hugging_face(where: str) -> HuggingFaceImages:
    """Open ``hf-datasets:NAME[@REVISION][:SPLIT]``; NAME is a dataset of the Hub or a folder of ``save_to_disk``.

    SPLIT is ``train`` unless given. Give a commit as REVISION for reproducible proposals.

    Raises:
        ImagesError: no such dataset, split or image column. MissingExtraError: datasets is not installed.
    """
    match = _GRAMMAR.fullmatch(where.removeprefix(PREFIX))
    if match is None:
        raise ImagesError(f"{where} is not {PREFIX}NAME[@REVISION][:SPLIT], for example {PREFIX}org/photos:train.")
    split = match["split"] or "train"
    return images_of(load_dataset(where, match["name"], match["revision"], split), where, split)


def load_dataset(where: str, name: str, revision: str | None, split: str | None) -> Any:
    """Return a ``datasets.Dataset``, or without a split the ``datasets.DatasetDict`` of all.

    Args:
        where: the user's word, for messages.
        name: a dataset of the Hub or a folder of ``save_to_disk``.
        revision: branch, tag or commit on the Hub.
        split: name of a split.

    Raises:
        ImagesError: no such dataset or split. MissingExtraError: datasets is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(PREFIX, "datasets", "datasets") from None

    if hasattr(datasets.config, _SCRIPTS):  # before version 4, some releases ran a data set's own script without asking
        setattr(datasets.config, _SCRIPTS, False)
    try:
        if not (Path(name).is_dir() and any(Path(name).glob("dataset*.json"))):
            return datasets.load_dataset(name, revision=revision, split=split)
        stored = datasets.load_from_disk(name)
        if split is None:
            return stored if isinstance(stored, datasets.DatasetDict) else datasets.DatasetDict(train=stored)
        return stored[split] if isinstance(stored, datasets.DatasetDict) else stored
    except (OSError, ValueError, KeyError) as error:  # errors of datasets derive from these
        raise ImagesError(f"{where} cannot be opened: {' '.join(str(error).split())[:200]}") from error


def images_of(dataset: Any, where: str, split: str) -> HuggingFaceImages:
    """Return the images of a split, those of its first column of images.

    Raises:
        ImagesError: it has no such column.
    """
    import datasets

    columns = [column for column, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        raise ImagesError(f"{where} has no image column, only {', '.join(dataset.features)}.")
    undecoded = dataset.select_columns(columns[:1]).cast_column(columns[0], datasets.Image(decode=False))
    return HuggingFaceImages(undecoded, split, columns[0])
