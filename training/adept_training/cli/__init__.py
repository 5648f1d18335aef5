"""Commands of the trainer, which ``adept`` finds through entry points; a call imports its implementation."""

from __future__ import annotations

from adept_hub.cli.command import Command

_TRAIN = "train"

PROPOSALS = Command("proposals", "find selective-search boxes in images", "adept_training.cli.proposals", _TRAIN)
PRETRAIN = Command("pretrain", "pre-train a detector on unlabeled images", "adept_training.cli.pretrain", _TRAIN)
PLAN = Command("plan", "plan a pre-training run that fits machine, images and time", "adept_training.cli.plan", _TRAIN)
REPORT = Command("report", "write a web page about pre-training runs", "adept_training.cli.report", _TRAIN)
DEMO = Command("demo", "run the bundled weights on the bundled images", "adept_training.demo.command", _TRAIN)
DATA = Command("data", "check labeled data, or write a subset", "adept_training.cli.data", _TRAIN)
FINETUNE = Command("finetune", "fine-tune a detector on your labels", "adept_training.cli.finetune", _TRAIN)
EVALUATE = Command("evaluate", "compute AP, AR, VOC AP and TIDE of a detector", "adept_training.cli.evaluate", _TRAIN)
FEWSHOT = Command("fewshot", "compare sources on K labeled objects per class", "adept_training.cli.fewshot", _TRAIN)
COMPARE = Command("compare", "compare sources over label budgets", "adept_training.cli.compare", _TRAIN)
DEPLOY = Command("deploy", "convert a fine-tuned detector for another framework", "adept_training.cli.deploy", _TRAIN)
PREDICT = Command("predict", "find objects in your images: pictures and files", "adept_training.cli.predict", _TRAIN)
RECIPE = Command("recipe", "list the bundled recipes, or print one in full", "adept_training.cli.recipe", _TRAIN)

#: What ``adept`` lists, in this order.
COMMANDS = (
    PROPOSALS, PLAN, PRETRAIN, REPORT, RECIPE, DATA, FINETUNE, EVALUATE, FEWSHOT, COMPARE, PREDICT, DEPLOY, DEMO,
)  # fmt: skip
