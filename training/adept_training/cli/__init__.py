"""Commands of the trainer, which ``adept`` finds through entry points; a call imports its implementation."""

from __future__ import annotations

from adept_hub.cli.command import Command

_TRAIN = "train"
_PRETRAIN, _LABELS = "pre-train on your images", "train and test on your labels"

PROPOSALS = Command(
    "proposals", "find selective-search boxes in images", "adept_training.cli.proposals", _TRAIN, _PRETRAIN
)
PRETRAIN = Command(
    "pretrain", "pre-train a detector on unlabeled images", "adept_training.cli.pretrain", _TRAIN, _PRETRAIN
)
PLAN = Command(
    "plan", "plan a pre-training run that fits machine, images and time", "adept_training.cli.plan", _TRAIN, _PRETRAIN
)
REPORT = Command("report", "write a web page about pre-training runs", "adept_training.cli.report", _TRAIN, _PRETRAIN)
DEMO = Command(
    "demo", "run the bundled weights on the bundled images", "adept_training.demo.command", _TRAIN, _PRETRAIN
)
DATA = Command("data", "check labeled data, or write a subset", "adept_training.cli.data", _TRAIN, _LABELS)
FINETUNE = Command("finetune", "fine-tune a detector on your labels", "adept_training.cli.finetune", _TRAIN, _LABELS)
EVALUATE = Command(
    "evaluate", "compute AP, AR, VOC AP and TIDE of a detector", "adept_training.cli.evaluate", _TRAIN, _LABELS
)
FEWSHOT = Command(
    "fewshot", "compare sources on K labeled objects per class", "adept_training.cli.fewshot", _TRAIN, _LABELS
)
COMPARE = Command("compare", "compare sources over label budgets", "adept_training.cli.compare", _TRAIN, _LABELS)
DEPLOY = Command(
    "deploy", "convert a fine-tuned detector for another framework", "adept_training.cli.deploy", _TRAIN, _LABELS
)
PREDICT = Command(
    "predict", "find objects in your images: pictures and files", "adept_training.cli.predict", _TRAIN, _LABELS
)
RECIPE = Command(
    "recipe", "list the bundled recipes, or print one in full", "adept_training.cli.recipe", _TRAIN, _PRETRAIN
)

#: What ``adept`` lists, in this order.
COMMANDS = (
    PROPOSALS, PLAN, PRETRAIN, REPORT, RECIPE, DATA, FINETUNE, EVALUATE, FEWSHOT, COMPARE, PREDICT, DEPLOY, DEMO,
)  # fmt: skip
