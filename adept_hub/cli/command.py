"""Commands of ``adept``: name, one-line help and the module that implements each."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from adept_hub.errors import MissingExtraError
from adept_hub.words.pulse import doing


class CommandModule(Protocol):
    """Interface of a command's module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit status."""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        extra: the extra of adept-hub that its module needs, if any.
        group: one of `GROUPS`.
        example: shown below its help; empty if the module's description or its verbs contain examples.
    """

    name: str
    help: str
    module: str
    extra: str = ""
    group: str = "more"
    example: str = ""

    def load(self) -> CommandModule:
        """Import the module.

        Raises:
            MissingExtraError: one of its dependencies is not installed.
        """
        try:
            with doing(lambda: f"loading the libraries of adept {self.name}"):
                return cast("CommandModule", importlib.import_module(self.module))
        except ModuleNotFoundError as error:
            raise self.explain(error) from error

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments and the example.

        Raises:
            MissingExtraError: a dependency of the module is not installed.
        """
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = show_example(self.example) if self.example else None
        self.load().add_arguments(parser)

    def explain(self, error: ModuleNotFoundError) -> Exception:
        """Return a `MissingExtraError` if the missing package is optional, else ``error`` itself."""
        package = (error.name or "").partition(".")[0]
        if not self.extra or package in {"", "adept_hub", "adept_training"}:
            return error
        return MissingExtraError(f"adept {self.name}", self.extra, package)


def show_example(command: str) -> str:
    """Return the lower part of a help text; the command runs as it stands once its blanks are filled in."""
    return f"example:\n  {command}"


#: Groups of commands in the main help, each with an example.
GROUPS = {
    "use weights": "adept export detection --to detectron2 --out weights",
    "pre-train on your images": "adept pretrain --images IMAGES --recipe own_photos_detection --out runs/mine",
    "train and test on your labels": "adept finetune runs/mine --data voc:DIR --out runs/tuned",
    "publish": "adept push runs/mine ORG/NAME",
    "more": "",
}
_USE, _PUBLISH, _CLI = "use weights", "publish", "adept_hub.cli"

COMMANDS = (
    Command("list", "list models and their published weights", f"{_CLI}.list_models", group=_USE,
            example="adept list 'adept_*' --all"),
    Command("info", "show the details of a model, a run or a checkpoint", f"{_CLI}.info", group=_USE,
            example="adept info detection"),
    Command("pull", "fetch and verify a checkpoint", f"{_CLI}.pull", group=_USE, example="adept pull detection"),
    Command("export", "export a checkpoint to torchvision, Detectron2 or MMDetection", f"{_CLI}.export", group=_USE,
            example="adept export detection --to detectron2 --out weights"),
    Command("import", "import weights of another project (SoCo, AlignDet, MoCo, ...)", f"{_CLI}.import_weights",
            group=_USE, example="adept import moco.pth --layout moco --out weights"),
    Command("doctor", "check a detector's config against a checkpoint", f"{_CLI}.doctor", group=_USE,
            example="adept doctor config.yaml --target detectron2 --weights detection"),
    Command("verify", "verify the digests of checkpoints", f"{_CLI}.verify", group=_USE,
            example="adept verify detection"),
    Command("push", "push a checkpoint or a run to the Hub", f"{_CLI}.push", group=_PUBLISH,
            example="adept push runs/mine ORG/NAME --dry-run"),
    Command("card", "print or write a checkpoint's model card", f"{_CLI}.card", group=_PUBLISH,
            example="adept card runs/mine --write"),
    Command("completion", "print the completion script of a shell", f"{_CLI}.completion"),
)  # fmt: skip
