"""Read untrusted files: regular files only, with a limit on their size before they are read.

A `BoundedReader` is created for a kind of file with the class of its error (`CheckpointError`, `DataError`, ...), and
raises no other. All reading of files that a user or the network names goes through this module.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from adept_hub.errors import AdeptError
from adept_hub.io import strict_json, strict_yaml
from adept_hub.io.paths import resolved, what_is

if TYPE_CHECKING:
    from xml.etree import ElementTree

#: Maximum size by kind of file, in bytes.
MAX_SETTINGS = 4 << 20
MAX_LOG = 1 << 30
MAX_ANNOTATIONS = 4 << 30
MAX_IMAGE = 512 << 20

#: Exceptions of parsers for damaged or hostile text, besides their own.
_DEPTH = (RecursionError, OverflowError, MemoryError, LookupError, TypeError, AttributeError)


class BoundedReader:
    """Reads one kind of file.

    Args:
        error: the class of all errors.
        limit: maximum size, bytes.
        inside: the folder that must contain the file after links are resolved; None: anywhere.
        remedy: the last line of every message: what to type next.
        surrogates: accept lone surrogates in JSON, which our own records contain for file names that are not UTF-8.
    """

    # Not a dataclass: importing dataclasses would take a third of the time of `adept list`.
    def __init__(
        self,
        error: type[AdeptError],
        limit: int = MAX_SETTINGS,
        inside: Path | None = None,
        remedy: str = "",
        *,
        surrogates: bool = False,
    ) -> None:
        self.error, self.limit, self.inside, self.remedy, self.surrogates = error, limit, inside, remedy, surrogates

    @contextlib.contextmanager
    def open(self, path: Path, called: str | None = None) -> Iterator[BinaryIO]:
        """Open a regular file for reading, without blocking on a pipe or device.

        Args:
            path: the file.
            called: its name in messages; None: the path.

        Yields:
            The stream, at the first byte, of a file that has at most ``limit`` bytes at that moment.

        Raises:
            AdeptError: of class ``error``: missing, unreadable, not a regular file, outside ``inside``, or too large.
        """
        name = path if called is None else called
        try:
            if self.inside is not None and not resolved(path).is_relative_to(resolved(self.inside)):
                raise self.refuse(name, f"links to a file outside {self.inside}")
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError, RuntimeError) as error:  # NUL in a name: ValueError; a loop of links: RuntimeError
            raise self.refuse(name, _unopened(path, error)) from error
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise self.refuse(name, f"{what_is(path)}, not a regular file")
            if facts.st_size > self.limit:
                raise self.refuse(name, f"has {facts.st_size:,} bytes; at most {self.limit:,} are read")
        except AdeptError:
            os.close(handle)
            raise
        with os.fdopen(handle, "rb") as stream:
            yield stream

    def read(self, path: Path, called: str | None = None) -> bytes:
        """Return the content of a file; a file that is too large is not read. Arguments as for `open`."""
        name = path if called is None else called
        with self.open(path, called) as stream:
            try:
                content = read_at_most(stream, self.limit + 1)
            except OSError as error:
                raise self.refuse(name, f"cannot be read ({error.strerror})") from error
            except MemoryError as error:
                raise self.refuse(name, "does not fit into memory") from error
        if len(content) > self.limit:  # it grew since it was opened
            raise self.refuse(name, f"has more than {self.limit:,} bytes")
        return content

    def check(self, path: Path) -> None:
        """Raise the errors of `open` for a file that a library will open by its path."""
        with self.open(path):
            pass

    def text(self, path: Path) -> str:
        """Return the content as UTF-8 text, without a byte order mark."""
        try:
            return self.read(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.refuse(path, f"is not UTF-8 text (byte {error.start})") from error

    def json(self, path: Path, *, lenient: bool = False) -> Any:
        """Return the values of a JSON file.

        Args:
            path: the file.
            lenient: accept what Python's own parser accepts, for a caller that reports NaN and the like by position.
        """
        content = self.read(path)
        try:
            if lenient:
                return strict_json.loads_leniently(content)
            return strict_json.loads(content, surrogates=self.surrogates)
        except (ValueError, *_DEPTH) as error:
            raise self.refuse(path, f"is not valid JSON ({_first_line(error)})") from error

    def yaml(self, path: Path) -> Any:
        """Return the values of a YAML file (see `adept_hub.io.strict_yaml.loads`)."""
        import yaml

        content = self.text(path)
        try:
            return strict_yaml.loads(content)
        except (yaml.YAMLError, ValueError, *_DEPTH) as error:
            raise self.refuse(path, f"is not valid YAML ({_first_line(error)})") from error

    def xml(self, path: Path) -> ElementTree.Element:
        """Return the root of an XML file; the parser refuses all entities but the five predefined ones."""
        from xml.etree import ElementTree

        content = self.read(path)
        try:
            return ElementTree.fromstring(content)
        except (ElementTree.ParseError, ValueError, *_DEPTH) as error:
            raise self.refuse(path, f"is not valid XML ({_first_line(error)})") from error

    def json_lines(self, path: Path) -> tuple[list[dict[str, Any]], int]:
        """Return the objects of a log, one per line, and the number of other lines (such as one torn by a crash)."""
        records: list[dict[str, Any]] = []
        torn = 0
        for line in self.read(path).split(b"\n"):
            if not line.strip():
                continue
            try:
                record = strict_json.loads(line, unique=False, surrogates=True)
            except (ValueError, *_DEPTH):
                record = None
            if isinstance(record, dict):
                records.append(record)
            else:
                torn += 1
        return records, torn

    def refuse(self, path: Path | str, why: str) -> AdeptError:
        """Return an error to raise for a file: the reason and the remedy."""
        name = str(path) if len(str(path)) <= 300 else f"{str(path)[:140]} ... {str(path)[-140:]}"
        printable = name.encode("utf-8", "backslashreplace").decode()
        return self.error(f"{printable} {why}." + (f"\n{self.remedy}" if self.remedy else ""))


def _unopened(path: Path, error: Exception) -> str:
    """Return why a file cannot be opened; for a socket or a broken link the system reports another reason."""
    kind = what_is(path)
    if kind.startswith(("is a link", "is a broken link", "is not")):
        return kind
    if kind == "is a socket":
        return f"{kind}, not a regular file"
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def read_at_most(stream: BinaryIO, count: int) -> bytes:
    """Return at most ``count`` of the remaining bytes of a file; ``stream.read(count)`` allocates them all first."""
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    content = stream.read(min(max(left, 0) + 1, count))
    while len(content) < count and (more := stream.read(min(1 << 20, count - len(content)))):
        content += more  # the file grew, or does not report its size
    return content


def parse_json(
    content: bytes | str,
    where: str,
    error: type[AdeptError],
    *,
    remedy: str = "",
    surrogates: bool = False,
) -> Any:
    """Return the values of JSON text that is not a file: a header, a metadata field, a server's response.

    Args:
        content: the text.
        where: its name in the message.
        error: the class of the error.
        remedy: the last line of the message: what to type next.
        surrogates: as for `adept_hub.io.strict_json.loads`.

    Raises:
        AdeptError: of class ``error``: not valid JSON, or nested too deeply.
    """
    try:
        return strict_json.loads(content, surrogates=surrogates)
    except (ValueError, *_DEPTH) as problem:
        why = f"{where} is not valid JSON ({_first_line(problem)})."
        raise error(f"{why}\n{remedy}" if remedy else why) from problem


def parse_yaml(text: str, where: str, error: type[AdeptError]) -> Any:
    """Return the values of YAML text that is not a file: a setting of the command line.

    Raises:
        AdeptError: of class ``error``: not valid YAML, or nested too deeply.
    """
    import yaml

    try:
        return strict_yaml.loads(text)
    except (yaml.YAMLError, ValueError, *_DEPTH) as problem:
        raise error(f"{where} is not valid YAML ({_first_line(problem)}).") from problem


def _first_line(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line[:200].encode("utf-8", "backslashreplace").decode()
