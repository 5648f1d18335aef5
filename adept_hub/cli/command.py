"""Commands of ``adept``: name, one-line help and the module that implements each."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from adept_hub.errors import MissingExtraError


class CommandModule(Protocol):
    """Interface of a command's module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit status."""


@dataclass(frozen=True)
class Command:
    """A command; ``extra`` is the extra of adept-hub that its module needs, if any, and ``group`` one of `GROUPS`."""

    name: str
    help: str
    module: str
    extra: str = ""
    group: str = "more"

    def load(self) -> CommandModule:
        """Import the module.

        Raises:
            MissingExtraError: one of its dependencies is not installed.
        """
        try:
            return cast("CommandModule", importlib.import_module(self.module))
        except ModuleNotFoundError as error:
            raise self.explain(error) from error

    def explain(self, error: ModuleNotFoundError) -> Exception:
        """Return a `MissingExtraError` if the missing package is optional, else ``error`` itself."""
        package = (error.name or "").partition(".")[0]
        if not self.extra or package in {"", "adept_hub", "adept_training"}:
            return error
        return MissingExtraError(f"adept {self.name}", self.extra, package)


#: Groups of commands in the main help, each with an example.
GROUPS = {
    "use weights": "adept export adept_joint --to detectron2 --out weights",
    "pre-train on your images": "adept pretrain --images IMAGES --recipe own_photos_cpu --out runs/mine",
    "train and test on your labels": "adept finetune runs/mine --data voc:DIR --out runs/tuned",
    "publish": "adept push runs/mine ORG/NAME",
    "more": "",
}
_USE, _PUBLISH = "use weights", "publish"

COMMANDS = (
    Command("list", "list models and their published weights", "adept_hub.cli.list_models", group=_USE),
    Command("info", "show the details of a model", "adept_hub.cli.info", group=_USE),
    Command("pull", "fetch and verify a checkpoint", "adept_hub.cli.pull", group=_USE),
    Command(
        "export", "export a checkpoint to torchvision, Detectron2 or MMDetection", "adept_hub.cli.export", group=_USE
    ),
    Command(
        "import",
        "import weights of another project (SoCo, AlignDet, MoCo, ...)",
        "adept_hub.cli.import_weights",
        group=_USE,
    ),
    Command("doctor", "check a detector's config against a checkpoint", "adept_hub.cli.doctor", group=_USE),
    Command("verify", "verify the digests of checkpoints", "adept_hub.cli.verify", group=_USE),
    Command("push", "push a checkpoint or a run to the Hub", "adept_hub.cli.push", group=_PUBLISH),
    Command("card", "print or write a checkpoint's model card", "adept_hub.cli.card", group=_PUBLISH),
)
