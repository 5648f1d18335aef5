"""Commands of the trainer, which ``adept`` finds through entry points; a call imports its implementation."""

from __future__ import annotations

from adept_hub.cli.command import Command

_TRAIN = "train"
_PRETRAIN, _LABELS = "pre-train on your images", "train and test on your labels"

_CLI = "adept_training.cli"

PROPOSALS = Command("proposals", "find selective-search boxes in images", f"{_CLI}.proposals", _TRAIN, _PRETRAIN)
PRETRAIN = Command(
    "pretrain", "pre-train a detector on unlabeled images", f"{_CLI}.pretrain", _TRAIN, _PRETRAIN,
    "adept pretrain --images photos --recipe own_photos_detection --out runs/mine --minutes 60",
)  # fmt: skip
PLAN = Command("plan", "plan a pre-training run that fits machine, images and time", f"{_CLI}.plan", _TRAIN, _PRETRAIN)
REPORT = Command(
    "report", "write a web page about pre-training runs", f"{_CLI}.report", _TRAIN, _PRETRAIN,
    "adept report runs/mine runs/other --out comparison.html",
)  # fmt: skip
DEMO = Command(
    "demo", "run the bundled weights on the bundled images", "adept_training.demo.command", _TRAIN, _PRETRAIN,
    "adept demo --images photos --out demo_out",
)  # fmt: skip
DATA = Command("data", "check labeled data, convert it, or write a subset", f"{_CLI}.data", _TRAIN, _LABELS)
FINETUNE = Command(
    "finetune", "fine-tune a detector on your labels", f"{_CLI}.finetune", _TRAIN, _LABELS,
    "adept finetune runs/mine --data yolo:data.yaml --out runs/tuned",
)  # fmt: skip
EVALUATE = Command(
    "evaluate", "compute AP, AR, VOC AP and TIDE of a detector", f"{_CLI}.evaluate", _TRAIN, _LABELS,
    "adept evaluate runs/tuned --data yolo:data.yaml --report look",
)  # fmt: skip
FEWSHOT = Command(
    "fewshot", "compare sources on K labeled objects per class", f"{_CLI}.fewshot", _TRAIN, _LABELS,
    "adept fewshot scratch runs/mine --data voc:VOC2007 --shots 1,5 --out fewshot",
)  # fmt: skip
COMPARE = Command(
    "compare", "compare sources over label budgets", f"{_CLI}.compare", _TRAIN, _LABELS,
    "adept compare scratch runs/mine --data voc:VOC2007 --image-counts 10,30 --out compare",
)  # fmt: skip
DEPLOY = Command(
    "deploy", "convert a fine-tuned detector for another framework", f"{_CLI}.deploy", _TRAIN, _LABELS,
    "adept deploy runs/tuned --to onnx --out deployed",
)  # fmt: skip
PREDICT = Command(
    "predict", "find objects in your images: pictures and files", f"{_CLI}.predict", _TRAIN, _LABELS,
    "adept predict runs/tuned photos --out predictions",
)  # fmt: skip
STUDIO = Command(
    "studio", "look through boxes, views, maps, detections and runs", f"{_CLI}.studio", _TRAIN, _LABELS,
    "adept studio runs/mine detection --images photos",
)  # fmt: skip
RECIPE = Command(
    "recipe", "list the bundled recipes, or print one in full", f"{_CLI}.recipe", _TRAIN, _PRETRAIN,
    "adept recipe own_photos_detection",
)  # fmt: skip

#: What ``adept`` lists, in this order.
COMMANDS = (
    PROPOSALS, PLAN, PRETRAIN, REPORT, RECIPE, DATA, FINETUNE, EVALUATE, FEWSHOT, COMPARE, PREDICT, STUDIO, DEPLOY,
    DEMO,
)  # fmt: skip
