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
    """A command; ``extra`` is the extra of adept-hub that its module needs, if any."""

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
        """Return a `MissingExtraError` if the missing package is optional, else ``error`` itself."""
        package = (error.name or "").partition(".")[0]
        if not self.extra or package in {"", "adept_hub", "adept_training"}:
            return error
        return MissingExtraError(f"adept {self.name}", self.extra, package)


COMMANDS = (
    Command("list", "list models and their published weights", "adept_hub.cli.list_models"),
    Command("info", "show the details of a model", "adept_hub.cli.info"),
    Command("pull", "fetch and verify a checkpoint", "adept_hub.cli.pull"),
    Command("export", "export a checkpoint to torchvision, Detectron2 or MMDetection", "adept_hub.cli.export"),
    Command(
        "import",
        "import weights of another project (SoCo, AlignDet, MoCo, ...)",
        "adept_hub.cli.import_weights",
    ),
    Command("doctor", "check a detector's config against a checkpoint", "adept_hub.cli.doctor"),
    Command("verify", "verify the digests of checkpoints", "adept_hub.cli.verify"),
    Command("push", "push a checkpoint or a run to the Hub", "adept_hub.cli.push"),
    Command("card", "print or write a checkpoint's model card", "adept_hub.cli.card"),
)
