import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_training.images import MAX_PIXELS, content_hash, decode, open_images

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


PNG = encoded(Image.fromarray(RGB))


# --- decoding ----------------------------------------------------------------------------------------------------


def test_rgb_survives_unchanged():
    decoded = decode(PNG, "a")
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, RGB)
    assert decoded.flags.c_contiguous


def test_grey_is_repeated_over_three_channels():
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(decode(encoded(Image.fromarray(grey)), "a"), np.stack([grey] * 3, axis=2))


def test_alpha_is_dropped():
    rgba = np.concatenate([RGB, np.full((4, 6, 1), 7, np.uint8)], axis=2)
    assert np.array_equal(decode(encoded(Image.fromarray(rgba)), "a"), RGB)


def test_palette_becomes_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert decode(encoded(image), "a").tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    assert decode(encoded(image, "TIFF"), "a")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind):
    grey = np.array([[0, 255, 256], [32768, 65279, 65535]], dtype=np.uint16)
    decoded = decode(encoded(Image.fromarray(grey), kind), "a")
    assert decoded[:, :, 0].tolist() == [[0, 0, 1], [128, 254, 255]]


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    decoded = decode(encoded(Image.fromarray(RGB), exif=exif), "a")
    assert np.array_equal(decoded, np.rot90(RGB, -1))


def test_floating_point_is_refused():
    with pytest.raises(ImageDecodeError, match="floating-point"):
        decode(encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "a.tif")


@pytest.mark.parametrize("content", [b"", b"not an image", PNG[:40], PNG[:-40], b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_damage_names_the_file(content):
    with pytest.raises(ImageDecodeError, match=r"sub/a\.png"):
        decode(content, "sub/a.png")


def test_a_header_that_promises_too_much_is_refused():
    bomb = encoded(Image.new("L", (9500, 9500)))
    assert len(bomb) < 100_000
    assert MAX_PIXELS < 9500 * 9500
    with pytest.raises(ImageDecodeError, match="9500 x 9500"):
        decode(bomb, "a.png")
    with pytest.raises(ImageDecodeError, match="more than 23"):
        decode(PNG, "a.png", max_pixels=23)


def test_fuzz_is_always_a_decode_error_or_an_image(tmp_path):
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    seeds = [encoded(photo, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")]
    outcomes = {"image": 0, "error": 0}
    for i in range(300):
        damaged = bytearray(seeds[i % len(seeds)])
        if i % 3 == 0:
            damaged = damaged[: rng.integers(0, len(damaged))]
        for place in rng.integers(0, max(1, len(damaged)), 8) if damaged and i % 3 else ():
            damaged[place] = rng.integers(0, 256)
        try:
            decoded = decode(bytes(damaged), "x")
            assert decoded.ndim == 3
            assert decoded.shape[2] == 3
            outcomes["image"] += 1
        except ImageDecodeError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 20  # both sides of the question were met


def test_content_hash_is_sha256():
    assert content_hash(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# --- sources -----------------------------------------------------------------------------------------------------


def test_a_folder_is_searched_through(tmp_path):
    for name in ("b/x.png", "a.JPG", "b/c/x.png", "notes.txt"):
        write(tmp_path / name, PNG)
    source = open_images(tmp_path)
    assert source.keys() == ["a.JPG", "b/c/x.png", "b/x.png"]
    assert source.read("b/x.png") == PNG
    assert source.subset(["a.JPG"]).keys() == ["a.JPG"]


def test_a_list_is_relative_to_itself(tmp_path):
    write(tmp_path / "photos/a.png", PNG)
    write(tmp_path / "photos/b.png", PNG)
    (tmp_path / "list.txt").write_text("photos/b.png\n\nphotos/a.png\nphotos/b.png\n")
    source = open_images(tmp_path / "list.txt")
    assert source.keys() == ["photos/b.png", "photos/a.png"]
    assert source.read("photos/a.png") == PNG


def test_a_list_may_be_relative_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "work/photos/a.png", PNG)
    write(tmp_path / "lists/list.txt", b"photos/a.png\n")
    monkeypatch.chdir(tmp_path / "work")
    source = open_images(tmp_path / "lists/list.txt")
    monkeypatch.chdir(tmp_path)
    assert source.read("photos/a.png") == PNG


def make_shards(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(folder / f"train-{shard:03d}.tar", "w") as tar:
            for name in ("0.png", "0.json", "1.png"):
                info = tarfile.TarInfo(name)
                info.size = len(PNG)
                tar.addfile(info, io.BytesIO(PNG))


@pytest.mark.parametrize("where", ["shards", "shards/train-{000..001}.tar"])
def test_webdataset_shards(tmp_path, where):
    make_shards(tmp_path / "shards")
    source = open_images(tmp_path / where)
    assert source.keys() == [f"train-00{i}.tar/{j}.png" for i in range(2) for j in range(2)]
    assert source.read("train-001.tar/1.png") == PNG
    one = source.subset(["train-001.tar/1.png"])
    assert one.keys() == ["train-001.tar/1.png"]
    assert one.read("train-001.tar/1.png") == PNG


def test_one_shard(tmp_path):
    make_shards(tmp_path)
    assert open_images(tmp_path / "train-001.tar").keys() == ["train-001.tar/0.png", "train-001.tar/1.png"]


def test_a_shard_that_was_cut_after_opening(tmp_path):
    make_shards(tmp_path)
    source = open_images(tmp_path / "train-000.tar")
    (tmp_path / "train-000.tar").write_bytes(b"")
    with pytest.raises(ImageDecodeError, match="truncated"):
        source.read("train-000.tar/0.png")


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({}, ".", "is empty"),
        ({"a.txt": b"x", "b/c.pdf": b"x"}, ".", "No images among the 2 files"),
        ({}, "nowhere", "No such path"),
        ({"list.txt": b"\n\n"}, "list.txt", "list .* is empty"),
        ({"list.txt": b"nowhere.png\n"}, "list.txt", "neither beside the list"),
        ({"photo.png": PNG}, "photo.png", "neither a folder"),
        ({"a.tar": b"not a tar" * 100}, "a.tar", "shard .* cannot be read"),
    ],
)
def test_mistakes_are_told(tmp_path, files, where, message):
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(ImagesError, match=message) as caught:
        open_images(tmp_path / where)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_file_that_vanished(tmp_path):
    write(tmp_path / "a.png", PNG)
    source = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageDecodeError, match=r"a\.png cannot be read"):
        source.read("a.png")


def test_importing_images_is_cheap():
    code = "import sys, adept_training.images; sys.exit(bool({'torch', 'numba', 'pyarrow', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
