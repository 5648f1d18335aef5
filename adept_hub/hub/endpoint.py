"""Check HF_ENDPOINT before the client is imported."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from adept_hub.errors import AdeptError
from adept_hub.words.sanitize import redact


def check_endpoint(error: type[AdeptError]) -> None:
    """Refuse an HF_ENDPOINT that cannot be parsed, for which huggingface_hub raises ValueError on import.

    Raises:
        AdeptError: of class ``error``.
    """
    address = os.environ.get("HF_ENDPOINT", "")
    try:
        _ = urlsplit(address).port
    except ValueError as problem:
        raise error(
            f"HF_ENDPOINT is not a valid URL ({problem}): {redact(address)[:200]}\n"
            "Unset it to use the Hub: unset HF_ENDPOINT"
        ) from problem
