"""docs/reference/, generated from the source.

python -m adept_training.reference.pages docs/reference
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import adept_hub
from adept_hub import errors
from adept_hub.cli.command import COMMANDS, Command
from adept_hub.cli.parser import Parser
from adept_hub.io.write import atomic_file
from adept_hub.spec import CheckpointConfig
from adept_training import cli
from adept_training.cli.list_settings import recipe_classes
from adept_training.reference.docstrings import markdown
from adept_training.runtime.recipe_fields import fields_of, settings_of

_GENERATED = "Generated from the source by `make reference`; do not edit.\n"
_RECIPES = {
    "pretrain": "Pre-training",
    "finetune": "Fine-tuning: finetune, fewshot and compare",
}
#: The calls of the trainer that a program makes.
_TRAINER = (
    "adept_training:propose",
    "adept_training:plan",
    "adept_training:pretrain",
    "adept_training:finetune",
    "adept_training:evaluate",
    "adept_training:compare",
    "adept_training.comparing.fewshot:fewshot",
    "adept_training.deploying.deploy:deploy",
)


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {
        "recipes.md": _recipes(),
        "cli.md": _cli(),
        "config.md": _config(),
        "python.md": _python(),
        "errors.md": _errors(),
    }


def _recipes() -> str:
    text = (
        f"# Recipe fields\n\n{_GENERATED}\n"
        "Set a field in a recipe or with `--set section.field=value`. A value out of bounds is refused before any\n"
        "work. `adept pretrain --list-settings` and `adept finetune --list-settings` print the same list, and\n"
        "`adept recipe NAME` prints a shipped recipe with all of its fields.\n"
    )
    for kind, cls in recipe_classes().items():
        rows = [(f"`{one.path}`", f"`{one.default}`", one.allowed, _linked(one.text)) for one in settings_of(cls)]
        text += f"\n## {_RECIPES[kind]}\n\n{_table(('field', 'default', 'allowed', 'description'), rows)}"
    return text


def _linked(text: str) -> str:
    """Turn the path of another page into a link to it."""
    return re.sub(r"\bdocs/([\w/]+\.md)", r"[\1](../\1)", text)


def _cli() -> str:
    own = sorted((c for c in vars(cli).values() if isinstance(c, Command)), key=lambda c: c.name)
    text = (
        f"# Command line\n\n{_GENERATED}\n"
        "Exit status: 0 done, 1 a mistake reported in one to three lines, 2 bad usage, 130 interrupted with finished\n"
        "work kept. `--debug` shows the traceback of an error.\n"
    )
    for command in (*COMMANDS, *own):
        parser = Parser(prog=f"adept {command.name}", add_help=False)
        command.declare(parser)
        text += "".join(_command(parser, command.help, "##"))
    return text


def _command(parser: argparse.ArgumentParser, help: str, rank: str) -> Iterator[str]:  # noqa: A002  # argparse's word
    yield f"\n{rank} {parser.prog}\n\n{help[:1].upper()}{help[1:]}.\n"
    for text in filter(None, (parser.description, parser.epilog)):
        yield from _with_examples(text)
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield from _command(child, helps.get(name, ""), f"{rank}#")
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            rows.append((f"`{_usage(action)}`", (action.help or "") % {**vars(action), "prog": parser.prog}))
    if rows:
        yield f"\n{_table(('argument', 'description'), rows)}"


def _with_examples(text: str) -> Iterator[str]:
    """Yield the prose of a help text as it is, and its commands as blocks whose descriptions are comments."""
    for part in re.split(r"((?:^ +\S.*\n?)+)", text, flags=re.MULTILINE):
        if not part.startswith(" "):
            prose = re.sub(r"^examples?:$", "", part.strip())
            yield prose and f"\n{prose}\n"
            continue
        joined = re.sub(r"\n {20,}", "  ", part)
        lines = [re.sub(r"^(adept .*?) {2,}(?:# )?", r"\1  # ", line.strip()) for line in joined.splitlines()]
        yield "\n```bash\n" + "\n".join(lines) + "\n```\n"


def _usage(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        value = ",".join(map(str, action.choices))
    dots = " ..." if action.nargs in ("*", "+") else ""
    if not action.option_strings:
        return f"{value}{dots}"
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}{dots}"


def _config() -> str:
    text = (
        f"# config.json\n\n{_GENERATED}\n"
        "Every field of a checkpoint folder's `config.json`. A field that is missing, unknown or of another type is\n"
        "refused.\n"
    )
    for name, cls in _nested("", CheckpointConfig):
        rows = [
            (f"`{one.path}`", f"`{one.allowed}`", one.default and f"`{one.default}`", one.text)
            for one in fields_of(cls)
        ]
        title = f"`{name}`" if name else "The file"
        text += f"\n## {title}\n\n{markdown(cls)}\n{_table(('field', 'type', 'default', 'description'), rows)}"
    return text


def _nested(name: str, cls: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    yield name, cls
    for field, hint in typing.get_type_hints(cls).items():
        inner = next((arg for arg in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(arg)), None)
        if inner is not None:
            several = "" if inner is hint else "[]"
            yield from _nested(f"{name}.{field}{several}".lstrip("."), typing.cast("type[Any]", inner))


def _python() -> str:
    text = f"# Python API\n\n{_GENERATED}\n## adept_hub\n"
    for name in adept_hub.__all__:
        text += _entry(f"adept_hub.{name}", getattr(adept_hub, name))
    text += "\n## adept_training\n"
    for address in _TRAINER:
        module, _, name = address.partition(":")
        text += _entry(f"{module}.{name}", getattr(importlib.import_module(module), name))
    return text


def _entry(address: str, thing: Any) -> str:
    name = address.rpartition(".")[2]
    return f"\n### {address}\n\n```python\n{_signature(name, thing)}\n```\n\n{markdown(thing)}"


def _signature(name: str, thing: Any) -> str:
    signature = inspect.signature(thing)
    words: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        words.append(f"{stars}{parameter.name}: {parameter.annotation}{default}")
    returns = "" if isinstance(thing, type) else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(words)}){returns}"
    return line if len(line) <= 100 else "\n    ".join([f"{name}(", *(f"{word}," for word in words)]) + f"\n){returns}"


def _errors() -> str:
    text = (
        f"# Errors\n\n{_GENERATED}\n"
        "Every error that `adept_hub` and `adept_training` raise on purpose derives from `AdeptError`. The message\n"
        "states what happened, why, and what to type next.\n\n"
    )
    rows = []
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.AdeptError):
            when, _, remedy = " ".join((cls.__doc__ or "").split()).partition(" Fix: ")
            bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
            rows.append((f"`{name}`", bases, when.replace("``", "`"), remedy.replace("``", "`")))
    return text + _table(("class", "derives from", "raised for", "what to do"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every page into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/reference"))
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{folder / name}\n")


if __name__ == "__main__":
    main()
