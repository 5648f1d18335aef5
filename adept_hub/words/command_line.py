"""Quote the commands in messages, so that each works when pasted."""

from __future__ import annotations

import shlex


def command_line(*words: object) -> str:
    """Return an ``adept`` command as one line for a POSIX shell.

    Args:
        *words: the command and its arguments, such as ``"export", folder, "--to", "mmdet"``; a None is skipped.
    """
    return shlex.join(["adept", *(str(word) for word in words if word is not None)])
