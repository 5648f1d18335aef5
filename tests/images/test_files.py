"""Names, links and sizes that are out of the ordinary: found, or left out aloud; nothing is read without a bound."""

import io
import logging
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_hub.images.files import search
from adept_hub.words.text import is_utf8, one_line
from adept_training.images import open_images, read_file, read_file_size
from tests.training.images.test_sources import PNG, write


def keys(where: Path) -> list[str]:
    return open_images(where).keys()


# --- links ---------------------------------------------------------------------------------------------------------


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/deep/a.png", PNG)
    root = tmp_path / "root"
    write(root / "own/b.png", PNG)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "own/up").symlink_to(root)
    (tmp_path / "elsewhere/back").symlink_to(root / "linked")
    assert keys(root) == ["linked/deep/a.png", "own/b.png"]
    assert open_images(root).read("linked/deep/a.png") == PNG


def test_a_folder_that_is_reached_twice_is_searched_once_under_its_own_name(tmp_path: Path) -> None:
    write(tmp_path / "z/a.png", PNG)
    (tmp_path / "first").symlink_to(tmp_path / "z")
    assert keys(tmp_path) == ["z/a.png"]


def test_what_cannot_be_searched_is_counted_aloud(tmp_path: Path, caplog, monkeypatch) -> None:
    write(tmp_path / "a.png", PNG)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    write(tmp_path / "closed/b.png", PNG)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    with caplog.at_level(logging.WARNING):
        assert keys(tmp_path) == ["a.png"]
    assert "3 images are broken links or not regular files" in caplog.text
    assert "1 folders cannot be listed" in caplog.text


# --- names ---------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_utf8_has_a_key_that_reads(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))).write_bytes(PNG)
    write(tmp_path / "café.png", PNG)
    source = open_images(tmp_path)
    assert source.keys() == ["café.png", "caf\udce9.png"]
    assert [is_utf8(key) for key in ("caf\udce9.png", "café.png")] == [False, True]
    assert source.read("caf\udce9.png") == PNG


def test_keys_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    write(tmp_path / "снимки/ä.png", PNG)
    code = (
        "import sys; from adept_training.images import open_images; s = open_images(sys.argv[1]); "
        "assert s.read(s.keys()[0]); print(ascii(s.keys()))"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run([sys.executable, "-c", code, tmp_path], env=plain, capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == ascii(["снимки/ä.png"])


def test_a_tar_member_that_is_not_utf8(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        info = tarfile.TarInfo("é.png")
        info.size = len(PNG)
        tar.addfile(info, io.BytesIO(PNG))
    source = open_images(tmp_path / "a.tar")
    assert source.keys() == ["a.tar/\udce9.png"]
    assert source.read("a.tar/\udce9.png") == PNG


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.png", b"\xef\xbb\xbfa.png\n"),
        ("a.png", "a.png\r\n".encode("utf-16")),
        ("a.png", b"\ta.png  \r\n"),
        ("two words.png", b"two words.png\n"),
        (" edge .png", b" edge .png\n"),
        ("page\x0c\u2028.png", "page\x0c\u2028.png\n".encode()),
        ("caf\udce9.png", b"caf\xe9.png\n"),
    ],
)
def test_lines_of_a_list(tmp_path: Path, name: str, line: bytes) -> None:
    write(tmp_path / name, PNG)
    (tmp_path / "list.txt").write_bytes(line)
    assert keys(tmp_path / "list.txt") == [name]
    assert open_images(tmp_path / "list.txt").read(name) == PNG


def test_text_is_shown_on_one_line_and_shortened() -> None:
    assert one_line("a\x1b[31m\nb\udcff é") == "a\\x1b[31m\\nb\\udcff é"
    assert one_line("x" * 500, 10) == "xxxxxxx..."


# --- bounds --------------------------------------------------------------------------------------------------------


def test_only_regular_files_of_some_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(6_000_000_000)
    for path, message in [
        (tmp_path / "pipe.png", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "large.png", "6,000,000,000 bytes; at most 536,870,912"),
        (tmp_path / ("n" * 5000), "too long"),
        (tmp_path / "nul\0.png", "null"),
    ]:
        for read in (read_file, read_file_size):
            with pytest.raises(ImageDecodeError, match=f"the key .*{message}"):
                read(path, "the key")


def test_a_list_of_devices_and_pipes(tmp_path: Path) -> None:
    write(tmp_path / "a.png", PNG)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "list.txt").write_text("a.png\n/dev/zero\npipe.png\n")
    source = open_images(tmp_path / "list.txt")
    for key in ("/dev/zero", "pipe.png"):
        with pytest.raises(ImageDecodeError, match="not a regular file"):
            source.read(key)
    with pytest.raises(ImagesError, match="is a named pipe"):
        open_images(tmp_path / "pipe.png")


def test_lists_that_are_none(tmp_path: Path) -> None:
    large, late = tmp_path / "large.txt", tmp_path / "late.txt"
    with large.open("wb") as file:
        file.write(b"a.png\n" * 20_000)
        file.truncate(6_000_000_000)
    late.write_bytes(b"a.png\n" * 20_000 + b"b\0.png\n")
    for path, message in [(large, "6,000,000,000 bytes"), (late, "zero bytes")]:
        with pytest.raises(ImagesError, match=message):
            open_images(path)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a-{0..999999999}.tar", "more than 100,000 shards"),
        ("a-{0..9999}-{0..9999}.tar", "more than 100,000 shards"),
        (f"a-{{0..{'9' * 100}}}.tar", "more than 100,000 shards"),
        ("a-{5..2}.tar", "expands to no shards"),
        ("a-{0..3}.tar", "cannot be read .*No such file"),
    ],
)
def test_ranges_are_bounded_before_they_are_expanded(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(ImagesError, match=message):
        open_images(tmp_path / pattern)


def test_a_path_that_is_too_long_or_has_a_zero_byte(tmp_path: Path) -> None:
    for where in (f"{tmp_path}/{'x' * 5000}", f"{tmp_path}/a\0b"):
        with pytest.raises(ImagesError, match=r"File name too long|null character") as caught:
            open_images(where)
        assert len(str(caught.value)) < 400


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A ustar header with any size field at all."""
    block = bytearray(512)
    block[:100] = name.encode().ljust(100, b"\0")
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NEGATIVE = b"\xff" * 10 + b"\xfe\x00"  # base 256: -512, which leads back to the same header


@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"K"])
def test_a_size_below_zero_does_not_lead_back(tmp_path: Path, kind: bytes) -> None:
    content = header("a.png", b"00000000000\0") + header("b.png", NEGATIVE, kind) + bytes(1024)
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ImagesError, match=r"shard .* cannot be read"):
        open_images(tmp_path / "a.tar")


def test_a_member_that_is_too_large_for_an_image_is_unreadable(tmp_path: Path) -> None:
    content = header("a.png", b"%011o\0" % len(PNG)) + PNG.ljust(512, b"\0") + header("b.png", b"%011o\0" % 600_000_000)
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 600_000_512 + 1024)  # a hole on the disk
    source = open_images(tmp_path / "a.tar")
    assert source.read("a.tar/a.png") == PNG
    with pytest.raises(ImageDecodeError, match="600,000,000 bytes; the limit is"):
        source.read("a.tar/b.png")


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("adept_hub.images.files.os.scandir", refuse)
    with pytest.raises(ImagesError, match=f"The folder {tmp_path} cannot be listed: Permission denied"):
        search(tmp_path)
