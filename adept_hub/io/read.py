"""The one door for bytes that a user or a network named: regular files only, bounded before they are read.

A `BoundedReader` is made for a kind of file, with the class of the error that its users know (`CheckpointError`,
`DataError`, ...), and raises nothing else.
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

#: Upper bounds by kind of file, bytes.
MAX_SETTINGS = 4 << 20
MAX_LOG = 1 << 30
MAX_ANNOTATIONS = 4 << 30
MAX_IMAGE = 512 << 20

#: What parsing of damaged or hostile text can raise beside its own errors.
_DEPTH = (RecursionError, OverflowError, MemoryError, LookupError, TypeError, AttributeError)


class BoundedReader:
    """How a kind of file is read.

    Args:
        error: the class that is raised for whatever is wrong with the file.
        limit: largest accepted size, bytes.
        inside: folder that the file must lie in after links are resolved; None: anywhere.
        remedy: last line of every message: what to type next.
        surrogates: whether JSON may have lone surrogates, as records of our own have for file names that are not UTF-8.
    """

    # Not a dataclass: importing those would take a third of the time of `adept list`.
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
        """Open a regular file for reading, without waiting for a pipe or device.

        Args:
            path: the file.
            called: its name in messages; None: the path.

        Yields:
            The stream, at the first byte. At most ``limit`` bytes are behind it at that moment.

        Raises:
            AdeptError: of class ``error``: missing, unreadable, irregular, outside of ``inside``, or too large.
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
        """Return the content of a file; of one that is too large nothing is read. Arguments as for `open`."""
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
        """Refuse what `open` would, of a file that a library opens by its name."""
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
            lenient: take what Python's own parser takes, where the caller reports NaN and the like by their place.
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
        """Return the root of an XML file. Entities other than XML's own five are refused by the parser."""
        from xml.etree import ElementTree

        content = self.read(path)
        try:
            return ElementTree.fromstring(content)
        except (ElementTree.ParseError, ValueError, *_DEPTH) as error:
            raise self.refuse(path, f"is not valid XML ({_first_line(error)})") from error

    def json_lines(self, path: Path) -> tuple[list[dict[str, Any]], int]:
        """Return the objects of a log, one per line, and the number of lines that hold none (torn by a crash, say)."""
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
        """Return the error for a file, to be raised: what is wrong with it, and the remedy."""
        name = str(path) if len(str(path)) <= 300 else f"{str(path)[:140]} ... {str(path)[-140:]}"
        printable = name.encode("utf-8", "backslashreplace").decode()
        return self.error(f"{printable} {why}." + (f"\n{self.remedy}" if self.remedy else ""))


def _unopened(path: Path, error: Exception) -> str:
    """Return why a file cannot be opened; of a socket or a link to nothing the system would state another reason."""
    found = what_is(path)
    if found.startswith(("is a link", "is not")):
        return found
    if found == "is a socket":
        return f"{found}, not a regular file"
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def read_at_most(stream: BinaryIO, count: int) -> bytes:
    """Return at most ``count`` bytes of what is left of a file; ``stream.read(count)`` first takes as much memory."""
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    content = stream.read(min(max(left, 0) + 1, count))
    while len(content) < count and (more := stream.read(min(1 << 20, count - len(content)))):
        content += more  # it grew meanwhile, or does not state its size
    return content


def parse_json(
    content: bytes | str,
    where: str,
    error: type[AdeptError],
    *,
    remedy: str = "",
    surrogates: bool = False,
) -> Any:
    """Return the values of JSON text that is no file: a header, a metadata field, a server's answer.

    Args:
        content: the text.
        where: what it is called in the message.
        error: the class of the error.
        remedy: last line of the message: what to type next.
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
    """Return the values of YAML text that is no file: a setting of the command line.

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
