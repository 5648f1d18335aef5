"""safetensors files taken apart and put together by hand, as the format's own description has it.

Eight bytes of header length (little-endian), the header as JSON, the tensors' bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_header(path: Path) -> dict[str, Any]:
    """The header of a whole file."""
    with path.open("rb") as stream:
        return json.loads(stream.read(int.from_bytes(stream.read(8), "little")))


def write_sparse(path: Path, header: dict[str, Any] | bytes, data_bytes: int) -> None:
    """A file with this header whose tensors are all zero and take no room on the disk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + data_bytes)


def data_bytes(header: dict[str, Any]) -> int:
    """Bytes of all tensors."""
    return max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
