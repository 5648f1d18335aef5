"""Keep paths of this machine out of what is published: a run's log without its texts, and a check of all other texts.

A run's log records the command that started it, which names the folder of the images, and errors and warnings, which
name files. A resumed run and its report need them, so the local log keeps them. The folders that the log and run.json
name must not appear in any other text, and neither must the name of the machine.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adept_hub.errors import PublishError
from adept_hub.io.paths import exists, is_dir, is_file, resolved
from adept_hub.io.read import BoundedReader

LOG, RUN = "log.jsonl", "run.json"
#: Names of files that are read as text.
TEXTS = (".json", ".jsonl", ".yaml", ".csv", ".md")
#: Texts in a log with one of a few fixed values; any other text may contain a path.
_FIXED = ("kind", "precision", "outlook")
#: The options of the run as typed: the images, the proposals and the start.
_COMMAND = "asked"
#: Where a path in a source or in ``coco:ANN.json:IMAGES coco:...`` ends; it may contain spaces.
_END = r"(?=$|[:,]|\s(?:coco|voc|yolo|hf-datasets):)"
#: A path that is absolute, or begins with ``~``.
_ABSOLUTE = re.compile(rf"(?:(?<=[:,\s])|^)(?:[A-Za-z]:[\\/]|~?/)[^:,\0]+?{_END}", re.MULTILINE)
#: Any path: a relative one is that of the working directory, if anything.
_PIECE = re.compile(rf"(?:(?<=[:,])|^)[^:,\0]+?{_END}", re.MULTILINE)
#: Names of a machine that cannot be a word: with a domain, a digit or a hyphen, and not as short as ``gpu-1``.
_DISTINCT = re.compile(r"(?!localhost)(?=.{6,})(?=.*[A-Za-z])(?=.*[\d.-])[\w.-]+", re.ASCII)


def public_log(path: Path, limit: int) -> bytes:
    """Return the records of a run's log without the command that started the run, and without free text.

    Lines that are not JSON objects, such as the last one of a run that was killed, are left out.

    Args:
        path: the run's ``log.jsonl``.
        limit: maximum size of the file in bytes.

    Raises:
        PublishError: the file cannot be read, or is too large.
    """
    records, _ = BoundedReader(PublishError, limit, remedy="Remove it or make it smaller.").json_lines(path)
    kept = [{key: _numbers(value) for key, value in record.items() if _is_public(key, value)} for record in records]
    return "".join(json.dumps(record) + "\n" for record in kept).encode()


def named_paths(root: Path, limit: int) -> set[Path]:
    """Return the absolute paths that a run records: of images, labels, proposals and the start.

    Args:
        root: the run; any other folder has no such record.
        limit: maximum size of a file in bytes.

    Raises:
        PublishError: log.jsonl or run.json cannot be read.
    """
    reader, words = BoundedReader(PublishError, limit, remedy="Remove it, then push again."), list[Any]()
    if is_file(root / LOG):
        words += [record.get(_COMMAND) for record in reader.json_lines(root / LOG)[0]]
    if is_file(root / RUN):
        content = reader.json(root / RUN)
        recorded = content if isinstance(content, dict) else {}
        words += [recorded.get("source"), recorded.get("data"), recorded.get("unlabeled")]
        words += list(recorded.get("image_ids") or ())  # the keys are data sets
    texts = [*_texts(words)]
    typed = {match[0] for text in texts for match in _ABSOLUTE.finditer(text)}
    found = {Path(os.path.expanduser(text)) for text in typed}  # noqa: PTH111  # does not raise without a home
    pieces = {match[0] for text in texts for match in _PIECE.finditer(text) if os.sep in match[0]}
    found |= {Path(piece).absolute() for piece in pieces if exists(Path(piece))}
    # A file, or a pattern of shards.
    found |= {path.parent for path in found if not is_dir(path)}
    # A folder such as /data is common to many machines.
    return {path for path in found if len(path.parts) > 2} | {Path(text) for text in typed if text.startswith("~")}


def check_private(files: Mapping[str, Path | bytes], folders: Iterable[Path], limit: int) -> None:
    """Refuse to publish a text that contains a path of this machine, or the machine's or the user's name.

    The user's name counts only as part of a path or of an address (``/home/NAME``, ``NAME@HOST``), since it may be the
    name of the author or of the repository, too.

    Args:
        files: path in the repository -> a file, or its content.
        folders: folders of this machine, such as the run and its images; the user's home is added.
        limit: maximum size of a file in bytes.

    Raises:
        PublishError: names the file and the path or name in it.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # does not raise without a home
    given = set(folders)
    private = given | {resolved(folder) for folder in given} | ({home} if home.is_absolute() else set())
    paths = {text for path in private if len(path.parts) > 1 for text in (str(path), path.as_posix())}
    forms = sorted({form for path in paths for form in (path, *_in_json(path))}, key=len, reverse=True)
    kinds = {"a folder of this machine": forms, **_names()}
    patterns = {
        kind: re.compile(rb"(?<![\w.-])(%s)(?![\w.-])" % b"|".join(re.escape(os.fsencode(form)) for form in forms))
        for kind, forms in kinds.items() if forms
    }  # fmt: skip
    for name, content in files.items():
        if not name.endswith(TEXTS):
            continue
        text = content if isinstance(content, bytes) else BoundedReader(PublishError, limit).read(content)
        for kind, pattern in patterns.items():
            if found := pattern.search(text):
                raise PublishError(
                    f"{name if isinstance(content, bytes) else content} contains {os.fsdecode(found[1])}, {kind}, "
                    "which would be published.\nRemove it there, then push again."
                )


def _names() -> dict[str, list[str]]:
    """Return the forms of the machine's and the user's name that are unmistakable, by what they are."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without an entry in the system's list
        user = ""
    host = platform.node()
    shown = [f"/home/{user}", f"/Users/{user}", f"\\Users\\{user}", f"\\\\Users\\\\{user}"] if user else []
    shown += [f"{user}@{name}" for name in {host, host.partition(".")[0]} if user and name]
    return {
        "with the name of the user": shown,
        "the name of this machine": [host] if _DISTINCT.fullmatch(host) else [],
    }


def _texts(value: Any) -> list[str]:
    """Return all texts in nested values, the keys of mappings among them."""
    if isinstance(value, dict):
        return [*map(str, value), *_texts(list(value.values()))]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and "\0" not in value else []


def _in_json(path: str) -> tuple[str, str]:
    return json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]


def _is_public(key: str, value: Any) -> bool:
    return key != _COMMAND and (key in _FIXED or not isinstance(value, str))


def _numbers(value: Any) -> Any:
    """Drop texts from nested values."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items() if not isinstance(item, str)}
    return [_numbers(item) for item in value if not isinstance(item, str)] if isinstance(value, list) else value
