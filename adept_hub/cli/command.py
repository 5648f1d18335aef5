"""A command of ``adept``: its name, its one-line help, and the module that does the work."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from adept_hub.errors import MissingExtraError


class CommandModule(Protocol):
    """What a command's module must have."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; the return value is the exit status."""


@dataclass(frozen=True)
class Command:
    """``extra`` is the extra of adept-hub that the module's imports need, if any."""

    name: str
    help: str
    module: str
    extra: str = ""

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
        """The user's own error where a missing package is an optional one, else ``error`` itself."""
        package = (error.name or "").partition(".")[0]
        if not self.extra or package in {"", "adept_hub", "adept_training"}:
            return error
        return MissingExtraError(f"adept {self.name}", self.extra, package)


COMMANDS = (
    Command("list", "models and their published weights", "adept_hub.cli.list_models"),
    Command("info", "all that is known of one model", "adept_hub.cli.info"),
    Command("pull", "fetch and verify a checkpoint", "adept_hub.cli.pull"),
    Command("export", "write a checkpoint for torchvision, Detectron2 or MMDetection", "adept_hub.cli.export"),
    Command(
        "import",
        "another project's weights (SoCo, AlignDet, MoCo, ...) as a checkpoint",
        "adept_hub.cli.import_weights",
    ),
    Command("doctor", "what in a config disagrees with a checkpoint, and the remedy", "adept_hub.cli.doctor"),
    Command("verify", "read every byte again and compare it with the promised digests", "adept_hub.cli.verify"),
    Command("push", "publish a checkpoint or a run on the Hub, as one commit", "adept_hub.cli.push"),
    Command("card", "print or write a checkpoint's model card", "adept_hub.cli.card"),
)
