"""Tar files: their members' places, one after the other, and the bytes of one; nothing is ever unpacked to a disk."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from adept_hub.errors import AdeptError
from adept_hub.io.read import BoundedReader, read_at_most


def tar_members(door: BoundedReader, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of an uncompressed tar file, each after the one before.

    Links, devices and folders are passed over. A negative size would lead back to an earlier member, without end.

    Args:
        door: for files of this kind.
        path: the tar file.

    Raises:
        AdeptError: of the door's class: not a regular file, damaged, or compressed.
    """
    called, before = f"The shard {path}", -1
    try:
        with (
            door.open(path, called) as stream,
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
        raise door.refuse(called, f"cannot be read ({error})") from error


def read_span(door: BoundedReader, path: Path, called: str, offset: int, length: int) -> bytes:
    """Return a part of a file, such as one member of a tar file.

    Args:
        door: for files of this kind; its limit is on the whole file, so check ``length`` before.
        path: the file.
        called: what the part is called in messages.
        offset, length: where it is, bytes.

    Raises:
        AdeptError: of the door's class: the file cannot be read, or ends before the part does.
    """
    with door.open(path, called) as stream:
        try:
            stream.seek(offset)
            content = read_at_most(stream, length)
        except OSError as error:
            raise door.refuse(called, f"cannot be read ({error.strerror})") from error
    if len(content) != length:
        raise door.refuse(called, f"cannot be read: {path.name} is truncated")
    return content
