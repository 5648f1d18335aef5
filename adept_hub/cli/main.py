"""The ``adept`` command: import only the module of one command, and report errors in one to three lines."""

from __future__ import annotations

import argparse
import functools
import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import entry_points

import adept_hub
from adept_hub.cli.command import COMMANDS, GROUPS, Command
from adept_hub.cli.output import outlets
from adept_hub.cli.parser import Parser
from adept_hub.errors import AdeptError
from adept_hub.words.pulse import acknowledged, pulse
from adept_hub.words.sanitize import clean


def commands() -> dict[str, Command]:
    """Return the library's commands, then those of installed packages, such as the trainer.

    An entry point names a module; its ``COMMANDS`` are read when ``adept`` starts, so that a new command of a package
    needs no new installation.
    """
    by_name = {command.name: command for command in COMMANDS}
    for module in _installed():
        for command in importlib.import_module(module).COMMANDS:
            by_name.setdefault(command.name, command)
    return by_name


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the modules of other packages: their metadata is read once in a process, which takes milliseconds."""
    return tuple(sorted({entry.module for entry in entry_points(group="adept_hub.commands")}))


def build_parser(command_name: str | None) -> argparse.ArgumentParser:
    """Build the parser with the arguments of only the chosen command, so that only its module is imported."""
    parser = Parser(
        prog="adept",
        usage="adept [-h] [-V] COMMAND ...",
        description="Detectors pre-trained without labels: backbone, FPN, RPN and RoI head.",
        epilog=_grouped(commands()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"adept-hub {adept_hub.__version__}")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS, prog="adept")
    for name, command in commands().items():
        child = sub.add_parser(name, description=_sentence(command.help))
        if name == command_name:
            child.add_argument("--debug", action="store_true", help="show the traceback of an error")
            command.declare(child)
    return parser


def _grouped(known: Mapping[str, Command]) -> str:
    """Return the commands by group, each group with an example: the lower part of the main help."""
    lines = []
    for group, example in GROUPS.items():
        inside = [command for command in known.values() if command.group == group]
        if inside:
            lines += ["", f"{group}:", *(f"  {command.name:<11}{command.help}" for command in inside)]
            lines += [f"  example: {example}"] if example else []
    return "\n".join([*lines[1:], "", "The options of a command: adept COMMAND --help"]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``adept``; return 0 for success, 1 for a user error, 2 for invalid usage, 130 for an interrupt."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if not word.startswith("-")), None)
    # Only as a program: whoever calls this from Python has a terminal and signals of their own.
    alive = argv is None and command is not None
    with outlets(), acknowledged("adept: interrupted, stopping\n") if alive else nullcontext():
        _show_own_messages()
        try:
            with pulse(command or "") if alive else nullcontext():
                status = _run(words, command)
            sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stderr.write("adept: interrupted; finished results are kept\n")
            return 130
        except BrokenPipeError:
            return 0
        except ModuleNotFoundError as error:
            explained = commands()[command].explain(error) if command in commands() else error
            if "--debug" in words or explained is error:
                raise
            return _fail(explained)
        except (AdeptError, OSError) as error:
            if "--debug" in words:
                raise
            return _fail(error)
    return status


def _run(words: list[str], command: str | None) -> int:
    if not words:
        build_parser(None).print_help()
        return 0
    try:
        args = build_parser(command).parse_args(words)
    except SystemExit:
        sys.stdout.flush()  # report a closed pipe or a full disk when help is printed
        raise
    return commands()[args.command].load().run(args)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


def _show_own_messages() -> None:
    """Log our packages' messages to stderr; with the root logger every HTTP request would be logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    for name in ("adept_hub", "adept_training"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]


def _fail(error: Exception) -> int:
    sys.stderr.write(f"adept: {clean(str(error))}\n")
    return 1


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.exit(main())
