"""Keep paths of this machine out of what is published: a run's log without its texts, and a check of all other texts.

A run's log records the command that started it, which names the folder of the images, and errors and warnings, which
name files. A resumed run and its report need them, so the local log keeps them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adept_hub.errors import PublishError
from adept_hub.io.paths import resolved
from adept_hub.io.read import BoundedReader

LOG = "log.jsonl"
#: Names of files that are read as text.
TEXTS = (".json", ".jsonl", ".yaml", ".csv", ".md")
#: Texts in a log with one of a few fixed values; any other text may contain a path.
_FIXED = ("kind", "precision", "outlook")
#: The options of the run as typed: the images, the proposals and the start.
_COMMAND = "asked"


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


def check_private(files: Mapping[str, Path | bytes], folders: Iterable[Path], limit: int) -> None:
    """Refuse to publish a text that contains the path of the user's home or of one of the folders.

    Args:
        files: path in the repository -> a file, or its content.
        folders: folders of this machine, such as the run.
        limit: maximum size of a file in bytes.

    Raises:
        PublishError: names the file and the path in it.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # does not raise without a home
    private = {resolved(folder) for folder in folders} | ({home} if home.is_absolute() else set())
    paths = {text for path in private if len(path.parts) > 1 for text in (str(path), path.as_posix())}
    forms = sorted({form for path in paths for form in (path, *_in_json(path))})
    if not forms:
        return
    pattern = re.compile(rb"(?<![\w.-])(%s)(?![\w.-])" % b"|".join(re.escape(os.fsencode(form)) for form in forms))
    for name, content in files.items():
        if not name.endswith(TEXTS):
            continue
        text = content if isinstance(content, bytes) else BoundedReader(PublishError, limit).read(content)
        if found := pattern.search(text):
            raise PublishError(
                f"{name if isinstance(content, bytes) else content} contains {os.fsdecode(found[1])}, a folder of this "
                "machine, which would be published.\nRemove it there, then push again."
            )


def _in_json(path: str) -> tuple[str, str]:
    return json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]


def _is_public(key: str, value: Any) -> bool:
    return key != _COMMAND and (key in _FIXED or not isinstance(value, str))


def _numbers(value: Any) -> Any:
    """Drop texts from nested values."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items() if not isinstance(item, str)}
    return [_numbers(item) for item in value if not isinstance(item, str)] if isinstance(value, list) else value
