"""The trainer's readers of what a user brings: labels, detections, recipes, images, lists and shards."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from adept_hub.errors import AdeptError, DataError, ImageDecodeError, ImagesError, RecipeError
from adept_hub.images.decode import decode, read_size
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.images import open_images
from adept_training.labels.check import check_data
from adept_training.labels.records import Split
from adept_training.labels.sources import read_data
from adept_training.labels.subsets import draw, load_subset, parse_budget, save_subset
from adept_training.metrics.coco_files import load_detections, save_annotations, save_detections
from adept_training.pretraining.recipe import load_recipe
from tests.hostile.mutate import RAW, Choose, mutate_bytes, mutate_json, mutate_lines, mutate_xml
from tests.hostile.property import Reader
from tests.house import write_house_data
from tests.training.conftest import TINY, write_voc
from tests.training.labels.formats.yolo_written import NAMES, TWO, write_yolo
from tests.training.support import TINY as TINY_PRETRAIN

Make = Callable[[Path], None]


# --- labels --------------------------------------------------------------------------------------------------------


def make_coco(folder: Path) -> None:
    data = write_house_data(folder)
    content = json.loads(data.train.read_text())
    content["info"] = {"year": 2020}
    first = content["annotations"][0]
    content["annotations"][1]["segmentation"] = {"size": [130, 96][::-1], "counts": [130 * 96 - 200, 200]}
    content["annotations"].append({**first, "id": 5000, "iscrowd": 1, "area": 3.5})
    data.train.write_text(json.dumps(content))
    (folder / "two.yaml").write_text(
        yaml.safe_dump({"train": ["coco:train.json:."], "val": "coco:val.json:.", "classes": ["ant", "zebra", "mouse"]})
    )
    split = read_data(data.words())[0].train
    save_subset(folder / "subset.json", draw(split, parse_budget("1shot"), 3), parse_budget("1shot"), 3)


def check_split(split: Split) -> None:
    """Everything that training would do with it."""
    for image in split.images:
        boxes_M4 = image.boxes_M4
        assert np.isfinite(boxes_M4).all(), "a box that is not finite"
        assert (boxes_M4[:, 2:] > boxes_M4[:, :2]).all(), "a box without an area"
        assert (boxes_M4 >= 0).all(), "a box outside"
        assert (boxes_M4 <= [image.width, image.height] * 2).all(), "a box outside"
        assert ((image.labels_M > 0) & (image.labels_M <= len(split.classes))).all(), "a label of no class"
        for mask in image.masks or ():
            if mask is not None:
                from adept_training.metrics.detections import to_rle

                to_rle(mask, image.height, image.width)


def check_problems(data: Any, problems: list[Any]) -> None:
    for problem in problems:
        text = str(problem)
        odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cs")}
        assert not odd or odd <= {"\n"}, f"control characters in {text[:200]!r}"
    for split in data.splits():
        check_split(split)


def read_coco(folder: Path) -> None:
    data, problems = check_data([f"coco:{folder}/{name}.json:{folder}" for name in ("train", "val")], decode_all=False)
    check_problems(data, problems)
    save_annotations(folder / "saved.json", data.train)


def read_yaml(folder: Path) -> None:
    check_problems(*read_data(folder / "two.yaml"))


def house_val(folder: Path) -> Split:
    return read_data([f"coco:{folder}/val.json:{folder}"])[0].train


def read_detections(folder: Path) -> None:
    split = house_val(folder)
    found = load_detections([folder / "perfect.json"], split)
    for one in found.values():
        assert np.isfinite(one.boxes_D4).all()
        assert np.isfinite(one.scores_D).all()
    save_detections(folder / "saved.json", split, found)


def read_subset(folder: Path) -> None:
    check_split(load_subset(folder / "subset.json", read_data([f"coco:{folder}/train.json:{folder}"])[0].train))


def make_voc(folder: Path) -> None:
    write_voc(folder, images=2)
    text = (folder / "Annotations" / "train0.xml").read_text()
    more = "<filename>train0.png</filename><object><name>red</name><difficult>1</difficult><bndbox><xmin>3</xmin>"
    more += "<ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    (folder / "Annotations" / "train0.xml").write_text(text.replace("</annotation>", more))


def read_voc(folder: Path) -> None:
    check_problems(*check_data(f"voc:{folder}", decode_all=False))


def make_yolo(folder: Path) -> None:
    write_yolo(folder / "y", {"train/a": TWO + "1 0.1 0.1 0.6 0.1 0.1 0.6\n", "val/b": TWO}, NAMES + "nc: 3\npath: y\n")
    (folder / "data.yaml").write_text((folder / "y/data.yaml").read_text().replace("images/train", "[list.txt]"))
    (folder / "y/list.txt").write_text("./images/train/a.png\nimages/val/b.png\n")


def read_yolo(folder: Path) -> None:
    check_problems(*check_data(f"yolo:{folder / 'data.yaml'}", decode_all=False))


# --- recipes -------------------------------------------------------------------------------------------------------


def make_recipe(settings: tuple[str, ...], load: Callable[..., Any], folder: Path) -> None:
    (folder / "base.yaml").write_text("{}")
    (folder / "recipe.yaml").write_text(f"extends: {folder / 'base.yaml'}\n{load(None, settings).to_yaml()}")


def read_recipe(load: Callable[..., Any], folder: Path) -> None:
    recipe = load(folder / "recipe.yaml")
    text = recipe.to_yaml()
    (folder / "again.yaml").write_text(text)
    assert load(folder / "again.yaml").to_yaml() == text


def make_settings(folder: Path) -> None:
    names = (*TINY_PRETRAIN, "engine.max_minutes=3", "export.data=x", "optimizer.lr=1e-2")
    (folder / "text").write_text("\n".join(names))


def mutate_setting(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """One line, of which the name, the sign or the value is changed."""
    line = choose(content.split(b"\n"))
    name, _, value = line.partition(b"=")
    if choose([True, False]):
        value = choose([raw.encode() for raw in RAW])
        return "value", name + b"=" + value
    done, line = mutate_bytes(line, choose)
    return done, line


def read_setting(load: Callable[..., Any], folder: Path) -> None:
    text = (folder / "text").read_bytes().decode("utf-8", "surrogateescape")
    load(None, [text] if "\n" not in text else text.split("\n"))


# --- images --------------------------------------------------------------------------------------------------------

FORMATS = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "ppm": "PPM"}


def make_image(suffix: str, folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    options = {"exif": exif} if suffix in ("jpg", "png", "tif", "webp") else {}
    Image.fromarray(pixels).save(folder / f"x.{suffix}", FORMATS[suffix], **options)


def read_image(suffix: str, folder: Path) -> None:
    source = open_images(folder)
    (key,) = source.keys()
    content = source.read(key)
    refused: AdeptError | None = None
    try:
        size = read_size(content, key)
    except ImageDecodeError as error:
        refused = error
    pixels = decode(content, key)
    assert refused is None, f"decoded, but has no size: {refused}"
    assert pixels.shape == (size[1], size[0], 3), "another size than the header's"


def make_list(folder: Path) -> None:
    for i in range(4):
        (folder / f"{i}.png").write_bytes(b"\x89PNG")
    (folder / "list.txt").write_text("".join(f"{i}.png\n" for i in range(4)))


def read_list(folder: Path) -> None:
    source = open_images(folder / "list.txt")
    for key in source.keys()[:50]:
        try:
            source.read(key)
        except ImageDecodeError:
            continue


def make_shard(folder: Path) -> None:
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("0.png", "b/é.jpg", "x" * 120 + ".png", "0.txt"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(bytes(700)))


def read_shard(folder: Path) -> None:
    source = open_images(folder / "a.tar")
    for key in source.keys()[:50]:
        try:
            source.read(key)
        except ImageDecodeError:
            continue


D, R = (DataError,), (RecipeError,)
READERS: list[tuple[Make, Reader]] = [
    (make_coco, Reader("COCO", "train.json", mutate_json, read_coco, D, examples=3)),
    (make_coco, Reader("data YAML", "two.yaml", mutate_bytes, read_yaml, D)),
    (make_coco, Reader("detections", "perfect.json", mutate_json, read_detections, D)),
    (make_coco, Reader("subset", "subset.json", mutate_json, read_subset, D)),
    (make_voc, Reader("VOC", "Annotations/train0.xml", mutate_xml, read_voc, D, examples=2)),
    (make_voc, Reader("VOC set", "ImageSets/Main/train.txt", mutate_lines, read_voc, D)),
    (make_yolo, Reader("YOLO labels", "y/labels/train/a.txt", mutate_lines, read_yolo, D)),
    (make_yolo, Reader("YOLO data.yaml", "data.yaml", mutate_lines, read_yolo, D)),
    (make_yolo, Reader("YOLO list", "y/list.txt", mutate_lines, read_yolo, D)),
    (partial(make_recipe, TINY_PRETRAIN, load_recipe),
     Reader("recipe", "recipe.yaml", mutate_lines, partial(read_recipe, load_recipe), R)),
    (partial(make_recipe, tuple(TINY), load_finetune_recipe),
     Reader("fine-tuning recipe", "recipe.yaml", mutate_lines, partial(read_recipe, load_finetune_recipe), R)),
    (make_settings, Reader("--set", "text", mutate_setting, partial(read_setting, load_recipe), R, examples=3)),
    *((partial(make_image, suffix),
       Reader(f"image {suffix}", f"x.{suffix}", mutate_bytes, partial(read_image, suffix),
              (ImagesError,))) for suffix in FORMATS),
    (make_list, Reader("list", "list.txt", mutate_lines, read_list, (ImagesError,))),
    (make_shard, Reader("shard", "a.tar", mutate_bytes, read_shard, (ImagesError,), examples=2)),
]  # fmt: skip
