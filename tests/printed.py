"""Every command that a message, a help text or a document prints, and whether the real parsers take it.

A command is ``adept NAME ...`` at the start of a line, after a colon or a question mark, in back quotes with an option,
in a shell block, or put together by `adept_hub.words.command_line.command_line`. It goes on to the end of its line,
which is what a user pastes. Any other ``adept NAME`` is a mention, of which only the name is checked.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adept_hub.cli.main import build_parser, commands
from adept_training.cli.finetune import settings_of
from adept_training.finetuning.recipe import load_finetune_recipe, protocol_names
from adept_training.pretraining.recipe import load_recipe, recipe_names

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("adept_hub", "training/adept_training", "training/recipes")
SOURCES = sorted(path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = [
    ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "model_cards").glob("*.md")),
    *sorted(path for path in ROOT.glob("*.md") if path.name not in ("README.md", "CHANGELOG.md")),
]  # fmt: skip
RECIPES = sorted((ROOT / "training" / "recipes").rglob("*.yaml"))

#: What stands for a value that is known when the message is made.
HOLE = "HOLE"
#: Words that the reader fills in: DATA, RUN|SOURCE, ORG/NAME, YOUR_CONFIG, ANN.json:IMAGE_DIR.
_BLANK = re.compile(r"[A-Z][A-Z0-9_.]*([|/:,=][A-Z0-9_.]+)*(\.\.\.)?")
#: What starts the same command on many processes.
_LAUNCHER = re.compile(r"^(?:\w+=\S+ )?(?:(?:torchrun|python) .*-m adept_hub\.cli\.main|srun adept)\b")
#: Names of fine-tuning's recipes are for these.
TUNING = ("finetune", "compare", "fewshot")


class Printed(NamedTuple):
    """A command or a piece of text, and where it stands."""

    where: str
    text: str


# --- collecting ------------------------------------------------------------------------------------------------------


def commands_in(text: str) -> list[str]:
    """The commands in a message, as `Printed` defines them."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        starts = [m.start(1) for m in re.finditer(r"(?:^\s*(?:\d+\. )?|[:?] +)(adept [a-z]+)", line)]
        quoted = [m for m in re.findall(r"`+(adept [^`]+)`+", line) if " -" in m]
        found += [_end(line[start:]) for start in starts[:1]] + quoted
    return found


def _end(line: str) -> str:
    """A command without what is written beside it: a comment, words behind two blanks, or where its output goes."""
    return re.split(r"\s{2,}|\s[#>]\s|\\n", line)[0].strip()


def mentions_in(text: str) -> list[str]:
    """Every NAME of ``adept NAME`` that is not followed by more of a word."""
    return re.findall(r"(?<![\w./-])adept ([a-z][a-z-]*)\b(?!\s*=)", text)


@functools.cache
def strings_of(path: Path) -> tuple[Printed, ...]:
    """Every text in a Python file, its values as `HOLE`, with the line; docstrings are left out."""
    return tuple(_strings_of(path))


def _strings_of(path: Path) -> Iterator[Printed]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name, docs = str(path.relative_to(ROOT)), _docstrings(tree)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield Printed(f"{name}:{node.lineno}", _joined(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in inside and id(node) not in docs:
                yield Printed(f"{name}:{node.lineno}", re.sub(r"%[sdg]|%\(\w+\)s", HOLE, node.value))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("command_line", "training_command"):
            yield Printed(f"{name}:{node.lineno}", _called(node))


def _docstrings(tree: ast.AST) -> set[int]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    return {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}


@functools.cache
def docstrings_of(path: Path) -> tuple[Printed, ...]:
    """Every docstring in a Python file."""
    return tuple(_docstrings_of(path))


def _docstrings_of(path: Path) -> Iterator[Printed]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = _docstrings(tree)
    for node in ast.walk(tree):
        if id(node) in known and isinstance(node, ast.Constant):
            yield Printed(f"{path.relative_to(ROOT)}:{node.lineno}", str(node.value))


def _joined(node: ast.JoinedStr) -> str:
    parts = [str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values]
    # {sign}{name} are two values and one word; a call of command_line is a command of its own
    return "".join(parts)


def _called(node: ast.Call) -> str:
    if getattr(node.func, "id", "") == "training_command":
        return ""
    words = ["adept"]
    for argument in node.args:
        if isinstance(argument, ast.Constant):
            words.append(str(argument.value))
        else:
            words.append(HOLE)
    return shlex.join(words)


def comments_of(path: Path) -> Iterator[Printed]:
    """The comments of a recipe, as one text."""
    lines = [line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    yield Printed(str(path.relative_to(ROOT)), " ".join(lines))


def document_commands(path: Path) -> list[str]:
    """Lines of code blocks, and code within the text that has options, so that it is no mere mention."""
    text = path.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M)).replace("\\\n", " ")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    code = re.findall(r"`((?:adept|torchrun|python -m) [^`]+)`", prose.replace("\n", " "))
    lines = [*blocks.splitlines(), *(line for line in code if " -" in line)]
    lines = [_LAUNCHER.sub("adept", line.strip()) for line in lines]
    parts = [part.strip() for line in lines for part in re.split(r";|&&|>", _uncommented(line))]
    return [" ".join(part.split()) for part in parts if re.match(r"adept [a-z]", part)]


def _uncommented(line: str) -> str:
    return re.split(r"(?:^|\s)#\s", line)[0]


# --- parsing ---------------------------------------------------------------------------------------------------------


def words_of(command: str) -> list[str]:
    """The words behind ``adept``: without what is optional, and of alternatives the first."""
    command = re.sub(r"\s\[-[^]]*\]|\s\[[A-Z][^]]*\]", "", command)
    words = [word for word in shlex.split(command)[1:] if not re.fullmatch(r"\$[A-Z]+", word)]
    return [re.sub(r"^([\w-]+)\|.*", r"\1", word) if not _BLANK.fullmatch(word) else word for word in words]


def is_blank(word: object) -> bool:
    """Whether a word stands for a value that is filled in, by the program or by the reader."""
    return isinstance(word, str) and bool(HOLE in word or "..." in word or "$" in word or _BLANK.fullmatch(word))


class _Choices:
    def __init__(self, known: Sequence[Any]) -> None:
        self.known = known

    def __contains__(self, word: object) -> bool:
        return word in self.known or is_blank(word)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.known)


class _Refused(Exception):  # noqa: N818  # argparse's exit, with its words
    pass


@functools.cache
def parser_of(name: str) -> argparse.ArgumentParser:
    """The real parser of a command, which takes blanks for values of any type."""
    parser = build_parser(name)
    for inner in _parsers(parser):
        inner.error = _refuse  # type: ignore[method-assign]
        inner.allow_abbrev = False
        for action in inner._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            action.type = _or_blank(action.type)
            if action.choices is not None:
                action.choices = _Choices(list(action.choices))  # type: ignore[assignment]
    return parser


def _refuse(message: str) -> None:
    raise _Refused(message)


def _or_blank(kind: Any) -> Callable[[str], Any]:
    return lambda word: word if is_blank(word) or kind is None else kind(word)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _parsers(inner)


def options_of(name: str) -> frozenset[str]:
    """The options of one command and its verbs."""
    parsers = _parsers(parser_of(name))
    return frozenset(option for parser in parsers for action in parser._actions for option in action.option_strings)


@functools.cache
def every_option() -> frozenset[str]:
    """All options of all commands."""
    return frozenset(option for name in commands() for option in options_of(name))


def fault_of(command: str) -> str:
    """What is wrong with a command, in its own context; empty where nothing is."""
    try:
        words = words_of(command)
    except ValueError as error:
        return f"no shell takes it ({error})"
    if words[0] not in commands():
        return f"there is no command {words[0]!r}"
    if words[1:] in (["-h"], ["--help"]):
        return ""
    if words[1:] == ["--list-settings"]:  # it ends there, as --help does
        return "" if words[1] in options_of(words[0]) else f"no such option: {words[1]}"
    if "..." in words:  # the rest of a command that is told elsewhere
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        return next((f"no such option: {word}" for word in given if word not in options_of(words[0])), "")
    try:
        args = parser_of(words[0]).parse_args(words)
    except (_Refused, argparse.ArgumentError) as refused:
        return str(refused)
    return _meaning(words[0], args)


def _meaning(name: str, args: argparse.Namespace) -> str:
    """What only the command itself would notice: recipes, settings, and what a method needs."""
    if name == "pretrain":
        return _pretraining(args)
    if name in TUNING and not is_blank(args.recipe):
        return _loads(load_finetune_recipe, args.recipe, protocol_names(), settings_of(args))
    if name == "proposals" and getattr(args, "preset", None) is not None and not is_blank(args.preset):
        from adept_training.proposals.search.presets import PRESETS

        return "" if args.preset in PRESETS else f"there is no preset {args.preset!r}"
    return ""


def _pretraining(args: argparse.Namespace) -> str:
    if is_blank(args.method):  # a synopsis
        return ""
    if args.recipe is None and not args.resume:
        return "without --recipe it means 100 epochs of a ResNet-50 with 1,024 images a step: name a recipe"
    method = args.method
    if args.recipe is not None and not is_blank(args.recipe):
        minutes = [] if args.minutes is None or is_blank(args.minutes) else [f"engine.max_minutes={args.minutes}"]
        settings = [*args.settings, *minutes]
        if fault := _loads(load_recipe, args.recipe, recipe_names(), settings):
            return fault
        if args.recipe in recipe_names():
            method = method or load_recipe(args.recipe).method.name
    if method == "adept_separate" and args.init is None and not args.resume:
        return "adept_separate needs --init"
    return ""


def _loads(load: Callable[..., Any], recipe: str | None, known: Sequence[str], settings: Sequence[str]) -> str:
    from adept_hub.errors import AdeptError

    source = recipe if recipe in known else None
    if recipe is not None and source is None and not re.search(r"[./]", recipe):
        return f"there is no recipe {recipe!r}"
    try:
        load(source, [setting for setting in settings if not is_blank(setting.partition("=")[2])])
    except AdeptError as error:
        return str(error)
    return ""
