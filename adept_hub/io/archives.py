"""Read tar files member by member, without unpacking to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from adept_hub.errors import AdeptError
from adept_hub.io.read import BoundedReader, read_at_most


def tar_members(reader: BoundedReader, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of an uncompressed tar file in their order.

    Links, devices and folders are skipped. A negative size, which would cause an endless loop over earlier members, is
    refused.

    Args:
        reader: the reader for files of this kind.
        path: the tar file.

    Raises:
        AdeptError: of the reader's class: not a regular file, damaged, or compressed.
    """
    called, before = f"The shard {path}", -1
    try:
        with (
            reader.open(path, called) as stream,
            tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as tar,
        ):
            for member in tar:
                if member.size < 0 or member.offset <= before:
                    raise tarfile.ReadError(f"a member has a size of {member.size} bytes")
                before = member.offset
                if member.isfile():
                    yield member
    except AdeptError:
        raise
    except (OSError, tarfile.TarError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise reader.refuse(called, f"cannot be read ({error})") from error


def read_span(reader: BoundedReader, path: Path, called: str, offset: int, length: int) -> bytes:
    """Return a span of a file, such as one member of a tar file.

    Args:
        reader: the reader for files of this kind; its limit applies to the whole file, so check ``length`` before.
        path: the file.
        called: the name of the span in messages.
        offset, length: the position of the span, in bytes.

    Raises:
        AdeptError: of the reader's class: the file cannot be read, or ends before the span does.
    """
    with reader.open(path, called) as stream:
        try:
            stream.seek(offset)
            content = read_at_most(stream, length)
        except OSError as error:
            raise reader.refuse(called, f"cannot be read ({error.strerror})") from error
    if len(content) != length:
        raise reader.refuse(called, f"cannot be read: {path.name} is truncated")
    return content
