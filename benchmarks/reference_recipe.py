"""`adept finetune` beside torchvision's reference recipe, from the same weights, on the same labels.

``python -m benchmarks.reference_recipe WEIGHTS VOC_DIR --out DIR`` fine-tunes an exported torchvision folder twice for
each seed:

  ours    adept finetune's code with its default recipe, of which only the size, the batch and the iterations are given
  theirs  the recipe of torchvision's references/detection (train.py, engine.py), written anew here with torch,
          torchvision, torchvision's transform and pycocotools alone: build_model.py of the export, every parameter in
          one SGD (0.02 / 16 an image, momentum 0.9, weight decay 1e-4), a linear warm-up over the first epoch, the rate
          divided by ten at 16/26 and 22/26 of the epochs, flips, statistics of batch norm as they were last

Both train on 64 RoIs and 300 proposals an image and test with 200 proposals, which a processor needs to end in time.
Both see the same training images ``--epochs`` times and are judged as they are at the end, on the test set. Results are
kept in DIR/results.json as they come: the same command continues.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import runpy
import statistics
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torchvision.transforms.functional import hflip, pil_to_tensor

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.convert.export import write_export
from adept_hub.frameworks import TORCHVISION
from adept_training.cli.finetune import side_settings
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Split
from adept_training.labels.subsets import Budget, draw
from adept_training.metrics.stats import interval

Record = tuple[Path, torch.Tensor, torch.Tensor]
BATCH, LONGEST = 2, 1333 / 800
#: RoIs an image in training; proposals after NMS in training and in testing.
ROIS, TRAIN_PROPOSALS, TEST_PROPOSALS = 64, 300, 200


def main() -> None:
    """Run what is not yet in the results, and print all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="a checkpoint folder")
    parser.add_argument("voc", type=Path, help="a Pascal VOC folder with the sets train and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=100, help="training images, drawn by seed for both alike")
    parser.add_argument("--side", type=int, default=192, help="shorter side, pixels")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after so long")
    args = parser.parse_args()
    export = args.out / "export"
    if not export.exists():
        config = read_config(args.weights)
        write_export(read_tensors(args.weights, config), config, TORCHVISION, export)
    path, started = args.out / "results.json", time.monotonic()
    results = json.loads(path.read_text()) if path.is_file() else {}
    for seed in range(args.seeds):
        for side, run in (("theirs", theirs), ("ours", ours)):
            if f"{side} {seed}" not in results and time.monotonic() - started < 60 * args.minutes:
                before = time.monotonic()
                labels = draw(open_data(f"voc:{args.voc}:train:test").train, Budget(args.images, "img"), seed)
                results[f"{side} {seed}"] = run(args, export, labels, seed) | {
                    "seconds": round(time.monotonic() - before)
                }
                path.write_text(json.dumps(results, indent=2))
    report(results)


def report(results: dict[str, dict[str, float]]) -> None:
    """Each side's mean and 95% interval, and Welch's interval of the difference."""
    for key, row in results.items():
        print(key, row)
    for metric in ("AP", "AP50"):
        values = {s: [row[metric] for key, row in results.items() if key.startswith(s)] for s in ("theirs", "ours")}
        if min(map(len, values.values()), default=0) < 2:
            return
        spread = math.sqrt(sum(statistics.variance(v) / len(v) for v in values.values()))
        difference = statistics.mean(values["ours"]) - statistics.mean(values["theirs"])
        means = {side: str(interval(v)) for side, v in values.items()}
        print(f"{metric}: {means}, ours - theirs {difference:+.2f}, standard error {spread:.2f}")


def ours(args: argparse.Namespace, export: Path, labels: Split, seed: int) -> dict[str, float]:
    """`adept finetune` with its defaults."""
    data = open_data(f"voc:{args.voc}:train:test")
    iterations = args.epochs * (len(labels) // BATCH)
    settings = [*side_settings(args.side), f"schedule.iterations={iterations}", f"engine.batch_size={BATCH}"]
    settings += [f"engine.seed={seed}", "engine.workers=0", "engine.evaluations=0", f"detector.rois={ROIS}"]
    settings += [f"detector.train_proposals={TRAIN_PROPOSALS}", f"detector.test_proposals={TEST_PROPOSALS}"]
    folder = args.out / f"ours{seed}"
    outcome = finetune(
        str(args.weights), data, load_finetune_recipe(None, settings), folder, subset=labels, accelerator="cpu"
    )
    assert outcome.report is not None
    return {name: float(outcome.report.flat()[name] or 0) for name in ("AP", "AP50")}


def theirs(args: argparse.Namespace, export: Path, labels: Split, seed: int) -> dict[str, float]:
    """Run the reference recipe: torchvision's model, transform, optimizer and schedulers, and a plain loop."""
    classes = sorted(
        {name for which in ("train", "test") for _, names in objects(args.voc, which) for name, _ in names}
    )
    train, test = (records(args.voc, which, classes) for which in ("train", "test"))
    torch.manual_seed(seed)
    chosen = {image.id for image in labels.images}
    train = [record for record in train if record[0].stem in chosen]
    model = runpy.run_path(str(export / "build_model.py"))["build_model"](len(classes) + 1)
    model.transform.min_size, model.transform.max_size = (args.side,), round(args.side * LONGEST)
    model.roi_heads.fg_bg_sampler.batch_size_per_image = ROIS
    model.rpn._post_nms_top_n = {"training": TRAIN_PROPOSALS, "testing": TEST_PROPOSALS}
    loader = DataLoader(
        train, batch_sampler=BatchSampler(RandomSampler(train), BATCH, drop_last=True),
        collate_fn=lambda rows: tuple(zip(*map(sample, rows), strict=True)),
    )  # fmt: skip
    total = args.epochs * len(loader)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02 * BATCH / 16, momentum=0.9, weight_decay=1e-4)
    steps = [round(total * share / 26) for share in (16, 22)]
    schedulers = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 1000, total_iters=min(1000, len(loader) - 1)),
        torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, 0.1),
    ]
    model.train()
    for _ in range(args.epochs):
        for images, targets in loader:
            loss = sum(model(list(images), list(targets)).values())
            assert torch.isfinite(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
    return evaluate_model(model, test)


def objects(voc: Path, which: str) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """Names and corners by image. VOC counts pixels from 1, both edges included; empty boxes are left out."""
    found = []
    for stem in (voc / "ImageSets" / "Main" / f"{which}.txt").read_text().split():
        rows = []
        for node in ElementTree.parse(voc / "Annotations" / f"{stem}.xml").iter("object"):
            x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax"))
            if x2 > x1 - 1 and y2 > y1 - 1:
                rows.append((node.findtext("name"), [max(x1 - 1, 0), max(y1 - 1, 0), x2, y2]))
        found.append((stem, rows))
    return found


def records(voc: Path, which: str, classes: list[str]) -> list[Record]:
    """Images with at least one object."""
    return [
        (voc / "JPEGImages" / f"{stem}.jpg", torch.tensor([box for _, box in rows]),
         torch.tensor([classes.index(name) + 1 for name, _ in rows]))
        for stem, rows in objects(voc, which) if rows
    ]  # fmt: skip


def sample(record: Record) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return an image and its target, mirrored with probability 1/2."""
    path, boxes_M4, labels_M = record
    pixels_CHW = pil_to_tensor(Image.open(path).convert("RGB")).float() / 255
    if torch.rand(()) < 0.5:
        pixels_CHW = hflip(pixels_CHW)
        boxes_M4 = torch.stack(
            [
                pixels_CHW.shape[2] - boxes_M4[:, 2],
                boxes_M4[:, 1],
                pixels_CHW.shape[2] - boxes_M4[:, 0],
                boxes_M4[:, 3],
            ],
            1,
        )
    return pixels_CHW, {"boxes": boxes_M4, "labels": labels_M}


@torch.inference_mode()
def evaluate_model(model: torch.nn.Module, test: list[Record]) -> dict[str, float]:
    """COCO's AP and AP50, by pycocotools."""
    model.eval()
    truth, found = COCO(), []
    annotations = []
    for at, (path, boxes_M4, labels_M) in enumerate(test, start=1):
        for (x1, y1, x2, y2), label in zip(boxes_M4.tolist(), labels_M.tolist(), strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": at, "category_id": label, "iscrowd": 0,
                                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)})  # fmt: skip
        row = model([pil_to_tensor(Image.open(path).convert("RGB")).float() / 255])[0]
        boxes_D4 = row["boxes"].numpy()
        boxes_D4 = np.concatenate([boxes_D4[:, :2], boxes_D4[:, 2:] - boxes_D4[:, :2]], axis=1)
        for box, label, score in zip(boxes_D4.tolist(), row["labels"], row["scores"], strict=True):
            found.append({"image_id": at, "category_id": int(label), "bbox": box, "score": float(score)})
    categories = sorted({a["category_id"] for a in annotations})
    truth.dataset = {"images": [{"id": at} for at in range(1, len(test) + 1)], "annotations": annotations,
                     "categories": [{"id": i} for i in categories], "info": {}}  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return {"AP": round(100 * float(evaluation.stats[0]), 2), "AP50": round(100 * float(evaluation.stats[1]), 2)}


if __name__ == "__main__":
    main()
