"""Clean all text that is printed: no secrets, no control characters, no value longer than a few lines.

`adept_hub.errors.AdeptError`, the log handler and the command line's streams use it for everything that they print.
"""

from __future__ import annotations

import os
import re

#: Maximum length of one value in a message; commands are not shortened, since they could not be pasted then.
LONGEST_VALUE = 300
_LONGEST_PROSE = 1000
_LONGEST = 100_000

_TOKEN = re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{10,}")
_USER_INFO = re.compile(r"(?i)\b((?:https?|socks[45]h?|ftp|s3)://)[^/\s\"'<>]*@")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}")
_SIGNED = re.compile(r"(?i)([?&][\w-]*(?:signature|credential|token|key-pair-id)=)[^&\s\"'<>]+")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")

#: C0, DEL and C1 (escape sequences), line separators, and characters that change the direction of writing.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_QUOTED = re.compile(r"(?<!\w)('(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")(?!\w)")
_COMMAND = re.compile(r"(?:^|(?<=[:;] )|(?<=\())(?:adept|cp|df|export|hf|make|mkdir|pip|python|rm)\s")


def clean(text: str) -> str:
    """Return a message without secrets and control characters, and with long values shortened."""
    return shorten(printable(redact(text[:_LONGEST])))


def redact(text: str) -> str:
    """Mask access tokens, a URL's user and password, and a signed URL's signature."""
    text = _TOKEN.sub(r"\1_***", text)
    text = _USER_INFO.sub(r"\1***@", text)
    text = _SIGNED.sub(r"\1***", _BEARER.sub(r"\1***", text))
    for variable in _TOKEN_VARIABLES:
        secret = os.environ.get(variable, "").strip()
        if len(secret) >= 6:
            text = text.replace(secret, "***")
    return text


def printable(text: str, keep: str = "\n\t") -> str:
    """Drop control characters, which a terminal would interpret, except those in ``keep``; escape lone surrogates."""
    cleaned = _CONTROL.sub(lambda found: found[0] if found[0] in keep else "", text)
    return cleaned.encode("utf-8", "backslashreplace").decode()


def shorten(text: str) -> str:
    """Truncate quoted values, words and prose that are too long; commands are never truncated."""
    return "\n".join(_shorten_line(line) for line in text.split("\n"))


def _shorten_line(line: str) -> str:
    if len(line) <= LONGEST_VALUE:
        return line
    without_values = _QUOTED.sub(lambda found: "'" * len(found[0]), line)
    command = _COMMAND.search(without_values)
    end = command.start() if command else len(line)
    prose = _QUOTED.sub(lambda found: _middle_out(found[0], LONGEST_VALUE), line[:end])
    prose = re.sub(rf"\S{{{LONGEST_VALUE + 1},}}", lambda found: _middle_out(found[0], LONGEST_VALUE), prose)
    return _middle_out(prose, _LONGEST_PROSE) + line[end:]


def _middle_out(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 3]}...{text[-tail:]}"
