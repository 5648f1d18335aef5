"""The one decoder: colors, orientation, damage."""

import io

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import ImageDecodeError
from adept_training.images import MAX_PIXELS, content_hash, decode, read_file_size, read_size

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
#: What a viewer does to the stored pixels, orientation by orientation (EXIF 2.3, 4.6.4).
UPRIGHT = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}  # fmt: skip


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded(Image.fromarray(RGB))


def test_rgb_survives_unchanged():
    decoded = decode(PNG, "a")
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, RGB)
    assert decoded.flags.c_contiguous


def test_gray_is_repeated_over_three_channels():
    gray = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(decode(encoded(Image.fromarray(gray)), "a"), np.stack([gray] * 3, axis=2))


def test_alpha_is_dropped():
    rgba = np.concatenate([RGB, np.full((4, 6, 1), 7, np.uint8)], axis=2)
    assert np.array_equal(decode(encoded(Image.fromarray(rgba)), "a"), RGB)


def test_palette_becomes_its_colors():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert decode(encoded(image), "a").tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    assert decode(encoded(image, "TIFF"), "a")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_gray_keeps_its_high_byte(kind):
    gray = np.array([[0, 255, 256], [32768, 65279, 65535]], dtype=np.uint16)
    decoded = decode(encoded(Image.fromarray(gray), kind), "a")
    assert decoded[:, :, 0].tolist() == [[0, 0, 1], [128, 254, 255]]


def with_orientation(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "TIFF":
        return encoded(Image.fromarray(RGB), kind, tiffinfo={0x0112: orientation})
    if kind == "AVIF":
        # AVIF is lossy and needs larger pixels to be told apart; its container has its own tags (irot, imir).
        return encoded(Image.fromarray(np.kron(RGB, np.ones((8, 8, 1), np.uint8))), kind, exif=exif, quality=100)
    return encoded(Image.fromarray(RGB), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_is_applied_once_in_every_format(kind, orientation, tmp_path):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    content = with_orientation(orientation, kind)
    decoded, expected = decode(content, "a"), UPRIGHT[orientation](RGB)
    if kind == "AVIF":
        decoded = decoded[4::8, 4::8]
    assert decoded.shape == expected.shape
    if kind not in ("JPEG", "AVIF"):
        assert np.array_equal(decoded, expected)
    else:  # lossy: nearer to this than to any other
        errors = {
            other: np.abs(decoded.astype(int) - turned(RGB)).mean()
            for other, turned in UPRIGHT.items()
            if turned(RGB).shape == expected.shape
        }
        assert min(errors, key=errors.get) == orientation
    (tmp_path / "a").write_bytes(content)
    size = decode(content, "a").shape[1::-1]
    assert read_size(content, "a") == read_file_size(tmp_path / "a", "a") == size


def test_orientation_of_a_tiff_that_only_its_xmp_has():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = encoded(Image.fromarray(RGB), "TIFF", tiffinfo={700: xmp})
    assert read_size(content, "a") == decode(content, "a").shape[1::-1]


@pytest.mark.parametrize("read", [decode, read_size])
def test_what_the_header_forbids_is_refused_by_both_readers(read):
    with pytest.raises(ImageDecodeError, match="floating-point"):
        read(encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "a.tif")
    with pytest.raises(ImageDecodeError, match=r"more than 23\. Shrink it"):
        read(PNG, "a.png", max_pixels=23)
    with pytest.raises(ImageDecodeError, match=r"a\.png is not a readable image"):
        read(b"GIF89a", "a.png")


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
