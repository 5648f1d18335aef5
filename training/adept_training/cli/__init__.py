"""The trainer's commands, found by ``adept`` through entry points; their work is imported when they are called."""

from __future__ import annotations

from adept_hub.cli.command import Command

_TRAIN = "train"

PROPOSALS = Command("proposals", "selective-search boxes of photographs", "adept_training.cli.proposals", _TRAIN)
PRETRAIN = Command("pretrain", "photographs in, a checkpoint folder out", "adept_training.cli.pretrain", _TRAIN)
REPORT = Command("report", "pre-training runs as a web page, side by side", "adept_training.cli.report", _TRAIN)
DEMO = Command("demo", "bundled weights on bundled photographs", "adept_training.demo.command", _TRAIN)
DATA = Command("data", "check labeled data, or draw a subset", "adept_training.cli.data", _TRAIN)
FINETUNE = Command("finetune", "a detector on your labels", "adept_training.cli.finetune", _TRAIN)
EVALUATE = Command("evaluate", "AP, AR, VOC AP and TIDE of a detector", "adept_training.cli.evaluate", _TRAIN)
FEWSHOT = Command("fewshot", "K labeled objects a class, over many seeds", "adept_training.cli.fewshot", _TRAIN)
COMPARE = Command("compare", "what each source gains over label budgets", "adept_training.cli.compare", _TRAIN)
DEPLOY = Command("deploy", "a fine-tuned detector for another framework", "adept_training.cli.deploy", _TRAIN)
