"""Convert weights of timm and of other projects where they are used; the result is cached by their digest."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import CARD, WEIGHTS, read_config
from adept_hub.checkpoint.licenses import is_stated
from adept_hub.checkpoint.state_files import read_state
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES
from adept_hub.errors import CheckpointError, OutputExistsError
from adept_hub.foreign.classes import check_classes
from adept_hub.foreign.detectors import published_layout
from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS, check_layout, fits_layout, recognize_layout
from adept_hub.foreign.timm import ARCHITECTURES, PICKLED_WEIGHTS, license_of_card, read_timm_config
from adept_hub.foreign.write import ForeignFacts, write_imported
from adept_hub.io.digest import cache_dir, known_digest
from adept_hub.io.paths import is_file
from adept_hub.io.read import BoundedReader
from adept_hub.io.schema import to_dict
from adept_hub.names import FileSource, text_of
from adept_hub.spec import Start
from adept_hub.words.command_line import command_line

_log = logging.getLogger(__name__)

#: A file as torchvision's download names it, with the first digits of its SHA-256.
_TORCHVISION = re.compile(r"resnet(?:18|34|50|101)(?:-([0-9a-f]{8}))?\.pth")
#: Changes with the conversion, so that results of an earlier version are not used.
_VERSION = 2
_LONGEST_NAME = 200


def adopt_file(path: Path, layout: str | None = None) -> Path:
    """Convert a weights file of a layout that its names determine, or of ``layout``; return the checkpoint folder.

    torchvision's files are known by their own names (``resnet50-11ad3fa6.pth``), since several projects name the
    tensors of a ResNet alike.

    Raises:
        CheckpointError: the file is damaged, or its layout is not known; the message has the command that takes one.
            Or ``layout`` is not one of docs/frameworks.md, or the file is a detector of other classes than COCO's.
        UnknownKeyError: the file does not have the ``layout``; the message has those that it has.
        PickleRefusedError: the file has pickled objects other than tensors.
        IncompleteLoadError, ShapeMismatchError, UnsupportedModelError: the network is incomplete or not supported.
    """
    if layout is not None:
        check_layout(layout)
    digest, state = known_digest(path), read_state(path)
    chosen = _layout_of(path, digest, state) if layout is None else layout
    check_classes(state, chosen, path)
    facts = ForeignFacts(chosen, Start(path.name[:_LONGEST_NAME], digest, FOREIGN_LAYOUTS[chosen].license))
    return _cached(facts, state, str(path))


def _layout_of(path: Path, digest: str, state: Mapping[str, Any]) -> str:
    named = _TORCHVISION.fullmatch(path.name)
    if named and fits_layout(state, "torchvision"):
        if named[1] and not digest.startswith(named[1]):
            _log.warning("%s is named after other content than it has: its SHA-256 is %s...", path, digest[:8])
        return "torchvision"
    try:
        return published_layout(digest) or recognize_layout(state)
    except CheckpointError as error:
        reason = str(error).splitlines()[0].strip()
        likely = next((name for name in FOREIGN_LAYOUTS if fits_layout(state, name)), None)
        if likely is None:
            raise CheckpointError(
                f"{path}: {reason}\nUse a ResNet, or a detector of a project that docs/frameworks.md lists."
            ) from error
        source = shlex.quote(text_of(FileSource(path, likely)))
        raise CheckpointError(
            f"{path}: {reason}\nState the one that wrote it, here as {source}, or convert it once: "
            f"{command_line('import', path, '--layout', likely, '--out', 'DIR')}"
        ) from error


def adopt_timm(data: Mapping[str, Any], weights: Path, source: str, recorded: str) -> Path:
    """Convert the weights of a timm repository or folder; return the checkpoint folder.

    Args:
        data: its parsed config.json.
        weights: its model.safetensors, or next to it pytorch_model.bin, of which only tensors are unpickled; a
            README.md next to it states the license if the config does not.
        source: the repository or folder, for messages.
        recorded: the same for the record, without a path of this machine.

    Raises:
        As `adept_hub.foreign.timm.read_timm_config` and `adopt_file`.
    """
    read = read_timm_config(data, source)
    if not is_file(weights):
        weights = weights.with_name(PICKLED_WEIGHTS)
    if not is_file(weights):
        raise CheckpointError(
            f"{source} has neither {WEIGHTS} nor {PICKLED_WEIGHTS}.\nSave it with timm, or convert its file: "
            "adept import FILE --layout timm --out DIR"
        )
    named, card = read.license, weights.with_name(CARD)
    if not is_stated(named) and is_file(card):
        named = license_of_card(BoundedReader(CheckpointError, MAX_CARD_BYTES).text(card))
    facts = ForeignFacts(
        "timm", Start(recorded[:_LONGEST_NAME], known_digest(weights), named), read.preprocessing, tag=read.tag,
        data=f"those of timm's {read.architecture}.{read.tag}", depth=ARCHITECTURES[read.architecture],
    )  # fmt: skip
    return _cached(facts, None, str(weights), weights)


def _cached(facts: ForeignFacts, state: Mapping[str, Any] | None, where: str, weights: Path | None = None) -> Path:
    content = json.dumps([_VERSION, to_dict(facts)], sort_keys=True)
    folder = cache_dir() / "imported" / hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    if not folder.is_dir():
        if state is None:
            assert weights is not None
            state = read_state(weights)
        try:
            write_imported(folder, state, facts, where)
        except OutputExistsError:  # another process was faster
            read_config(folder)
    return folder
