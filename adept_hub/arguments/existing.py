"""Check sources and folders before a command imports torch, so that a mistyped path is reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adept_hub.checkpoint.config_file import read_config
from adept_hub.errors import CheckpointError, SourceError
from adept_hub.hub.local import check_exists
from adept_hub.io.paths import exists, expanded, not_a, what_is
from adept_hub.names import LAYOUTS, FileSource, LocalSource, NamedSource, parse_source, split_layout
from adept_hub.registry import is_model, registry


def check_source(text: str | None) -> None:
    """Check that a source exists; None: no source was given.

    Repositories on the Hub are not looked up.

    Raises:
        SourceError: the text is not a source, or its path does not exist.
        UnknownModelError: the text is a name that is not registered.
    """
    source = None if text is None else parse_source(text)
    if isinstance(source, LocalSource | FileSource):
        check_exists(source)
    elif isinstance(source, NamedSource) and not is_model(source.name):
        registry().resolve(source.name)


def check_folder(path: Path) -> None:
    """Check that a checkpoint folder exists.

    Raises:
        CheckpointError: the path does not exist, and is not a registered name, which commands refuse with their own
            message.
    """
    if not exists(path) and not is_model(str(path)):
        read_config(path)


def check_weights_file(text: str) -> None:
    """Check that a weights file, ``FILE`` or ``LAYOUT:FILE``, exists.

    Raises:
        SourceError: the layout is unknown.
        CheckpointError: the file does not exist.
    """
    path, _ = split_layout(text, None)
    if not exists(path):
        raise CheckpointError(not_a("a weights file", path))


def check_run(text: str, command: str) -> None:
    """Check that the run of a command, such as ``finetune``, exists.

    Raises:
        SourceError: the path does not exist, and is not a registered name, which commands refuse with their own
            message.
    """
    path = expanded(text.removeprefix("local-dir:"), SourceError)
    if not exists(path) and not is_model(text):
        raise SourceError(f"{text} {what_is(path)}.\nRUN is the --out of adept {command}.")


def check_compared(texts: Sequence[str]) -> None:
    """Check the sources of a comparison: each is ``scratch``, a source or ``NAME=SOURCE``.

    Raises:
        As `check_source`.
    """
    for text in texts:
        _, equals, source = text.partition("=")
        whole = text if not equals or is_file_source(text) else source
        if whole != "scratch":
            check_source(whole)


def is_file_source(text: str) -> bool:
    """Check for a path that exists, or ``LAYOUT:FILE``: a ``=`` in them is in the name of the file."""
    layout, colon, _ = text.partition("=")[0].partition(":")
    return exists(Path(text)) or bool(colon and layout in LAYOUTS)
