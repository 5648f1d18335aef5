"""The trainer's commands, found by ``adept`` through entry points; their work is imported when they are called."""

from __future__ import annotations

from adept_hub.cli.command import Command

_TRAIN = "train"

PROPOSALS = Command("proposals", "selective-search boxes of photographs", "adept_training.proposals.command", _TRAIN)
PRETRAIN = Command("pretrain", "photographs in, a checkpoint folder out", "adept_training.engine.command", _TRAIN)
DEMO = Command("demo", "bundled weights on bundled photographs", "adept_training.demo.command", _TRAIN)
