"""The file of decoded images: whole or not at all, bounded, and never one of other images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adept_hub.errors import ImagesError, RecipeError
from adept_training.data import cache
from adept_training.data.cache import cache_bytes, check_bytes, open_cache, side_of, write_cache
from adept_training.data.loader import Samples
from adept_training.images import ImageSource, open_images
from tests.training.support import RandomBoxes, tiny, write_photographs

SIDE = 37


def _written(folder: Path, count: int = 5) -> tuple[ImageSource, list[str], Path]:
    source = write_photographs(folder / "images", count)
    write_cache(folder / "cache", source, source.keys(), SIDE, 0)
    return source, source.keys(), folder / "cache"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    source, keys, folder = _written(tmp_path)
    cache = open_cache(folder, keys, SIDE)
    assert cache is not None
    assert [cache.size(row) for row in range(5)] == [(96, 80)] * 5
    squares = np.stack([cache.square(row) for row in range(5)])
    assert squares.shape == (5, SIDE, SIDE, 3)
    assert len(np.unique(squares.mean(axis=(1, 2, 3)))) == 5, "five images, not one five times"
    assert (folder / "squares.bin").stat().st_size == cache_bytes(5, SIDE)
    more = write_cache(tmp_path / "more", source, keys, SIDE, 2)
    assert np.array_equal(squares, np.stack([more.square(row) for row in range(5)])), "workers keep the order"


def test_a_cache_of_anything_else_is_not_opened(tmp_path: Path) -> None:
    _, keys, folder = _written(tmp_path)
    assert open_cache(folder, keys, SIDE) is not None
    assert open_cache(folder, keys[::-1], SIDE) is None
    assert open_cache(folder, keys[:-1], SIDE) is None
    assert open_cache(folder, keys, SIDE + 1) is None
    assert open_cache(tmp_path / "none", keys, SIDE) is None


def test_a_cache_of_another_decoder_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys, folder = _written(tmp_path)
    monkeypatch.setattr(cache, "decoder_version", lambda: "Pillow 99, libjpeg-turbo 9")
    assert open_cache(folder, keys, SIDE) is None


@pytest.mark.parametrize("name", ["squares.bin", "sizes.bin"])
def test_a_damaged_byte_is_noticed(tmp_path: Path, name: str) -> None:
    _, keys, folder = _written(tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert open_cache(folder, keys, SIDE) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"images": 1, "sha256": 2})])
def test_a_damaged_description_is_noticed(tmp_path: Path, text: str) -> None:
    _, keys, folder = _written(tmp_path)
    (folder / "about.json").write_text(text)
    assert open_cache(folder, keys, SIDE) is None


def test_an_interrupted_cache_leaves_nothing(tmp_path: Path) -> None:
    source = write_photographs(tmp_path / "images", 3)

    class Stopped:
        def read(self, key: str) -> bytes:
            if key.startswith("002"):
                raise KeyboardInterrupt
            return source.read(key)

    with pytest.raises(KeyboardInterrupt):
        write_cache(tmp_path / "cache", Stopped(), source.keys(), SIDE, 0)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_an_unreadable_image_is_replaced_as_without_a_cache(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", 3)
    (tmp_path / "images" / "001.png").write_bytes(b"not an image")
    source, recipe = open_images(tmp_path / "images"), tiny()
    keys = tuple(source.keys())
    cache = write_cache(tmp_path / "cache", source, keys, SIDE, 0)
    samples = Samples(source, RandomBoxes(), keys, recipe.views, recipe.colors, 0, cache)
    assert [bool(samples[0, index].replaced_N) for index in range(3)] == [False, True, False]
    assert np.array_equal(samples[0, 1].squares_NSS3, cache.square(2))
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"")
    nothing = write_cache(tmp_path / "cache", source, keys, SIDE, 0)
    with pytest.raises(ImagesError, match="8 images in a row"):
        Samples(source, RandomBoxes(), keys, recipe.views, recipe.colors, 0, nothing)[0, 0]


def test_a_cache_above_its_limit_is_refused_with_both_ways_out() -> None:
    assert side_of((100, 64, 60)) == 115
    check_bytes(1000, 100, 0.03)
    with pytest.raises(RecipeError, match=r"0.0301 GB(.|\n)*cache_gb=1(.|\n)*cache=false"):
        check_bytes(1003, 100, 0.03)
