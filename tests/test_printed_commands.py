"""Every command, option, setting, extra and module that we print is one that exists, in its own context.

What is collected and how it is judged is in `tests.printed`; `tests.test_printed_remedies` runs what errors advise.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

import adept_hub
from adept_hub.cli.main import build_parser, commands
from adept_hub.io.schema import to_dict
from adept_hub.registry import list_models, model_info
from adept_hub.registry.training import training_command
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.pretraining.recipe import Recipe, load_recipe
from adept_training.runtime.recipe_files import flatten
from tests.printed import (
    DOCUMENTS,
    HOLE,
    RECIPES,
    ROOT,
    SOURCES,
    commands_in,
    comments_of,
    docstrings_of,
    document_commands,
    every_option,
    fault_of,
    mentions_in,
    parser_of,
    strings_of,
    words_of,
)

#: Options of programs that are not ours, and of our modules that are no command.
FOREIGN = {
    "--config-file", "--num-gpus", "--cfg-options", "--nproc-per-node", "--upgrade", "--logdir", "--project",  # others'
    "--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--requeue", "--signal",
    "--kill-on-bad-exit",  # SLURM's
    "--torch-backend", "--flavor", "--timeout", "--secrets",  # uv's and hf jobs'
    "--onnx", "--min", "--opt", "--max", "--save",  # trtexec's --minShapes and so on
    "--alias",  # python -m adept_hub.publish.bundle
    "--parts-of",
}  # fmt: skip
#: Options of the benchmarks, which stand in documents alone.
BENCHMARKS = {
    option
    for path in (ROOT / "benchmarks").rglob("*.py")
    for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
}
SECTIONS = ("data", "views", "colors", "method", "optimizer", "schedule", "export", "engine", "detector", "norms")
RECIPE_DEFAULTS = (Recipe(), FinetuneRecipe())
KEYS = {path for recipe in RECIPE_DEFAULTS for path in flatten(to_dict(recipe, complete=True))}


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _faults(found: Iterable[tuple[str, str]]) -> list[str]:
    """Where a faulty command stands, what it is, and why it is none."""
    return [f"{where}: {command}: {fault}" for where, command in found if (fault := fault_of(command))]


def _help(name: str | None) -> str:
    return build_parser(name).format_help() if name is None else parser_of(name).format_help()


@pytest.mark.parametrize("path", SOURCES, ids=_named)
def test_commands_of_messages(path: Path) -> None:
    texts = [*strings_of(path), *docstrings_of(path)]
    assert not _faults((where, command) for where, text in texts for command in commands_in(text))
    named = [(where, name) for where, text in texts for name in mentions_in(text)]
    assert not [f"{where}: adept {name}" for where, name in named if name not in commands()]


@pytest.mark.parametrize("path", SOURCES, ids=_named)
def test_options_and_settings_of_messages(path: Path) -> None:
    texts, known = list(strings_of(path)), every_option() | FOREIGN
    words = [(where, word) for where, text in [*texts, *docstrings_of(path)] for word in _options(text)]
    assert not [f"{where}: {word}" for where, word in words if word not in known]
    assert not [f"{where}: {key}" for where, text in texts for key in _keys(text) if not _is_key(key)]


def _options(text: str) -> list[str]:
    """``--words``, but not those of a style sheet."""
    return [] if "@media" in text else re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text)


def _keys(text: str) -> list[str]:
    """``section.field`` of a recipe, with or without a value."""
    found = re.findall(rf"(?<![\w./-])((?:{'|'.join(SECTIONS)})(?:\.[a-z_0-9]+)+)(?![\w/(*-])", text)
    return [key for key in found if not key.endswith((".json", ".yaml", ".py", ".pth", ".parquet", ".onnx", ".pkl"))]


def _is_key(key: str) -> bool:
    return key in KEYS or any(known.startswith(f"{key}.") for known in KEYS)


@pytest.mark.parametrize("path", [*RECIPES, *(p for p in SOURCES if "recipes" in p.parts)], ids=_named)
def test_commands_of_recipes(path: Path) -> None:
    ((where, text),) = comments_of(path)
    found = re.findall(r"`(adept [^`]+)`", text)
    assert not _faults((where, command) for command in found if " -" in command)
    assert not [word for word in _options(text) if word not in every_option()]


@pytest.mark.parametrize("name", [None, *sorted(commands())], ids=str)
def test_help(name: str | None) -> None:
    text = _help(name)
    assert not [(command, fault_of(command)) for command in commands_in(text) if fault_of(command)]
    assert not [key for key in _keys(text) if not _is_key(key)]
    if name is None:
        assert len(commands_in(text)) >= 3, "the main help shows what to begin with"


@pytest.mark.parametrize("page", DOCUMENTS, ids=_named)
def test_commands_of_documents(page: Path) -> None:
    assert not _faults((page.name, command) for command in document_commands(page))
    text = page.read_text(encoding="utf-8")
    assert not [word for word in _options(text) if word not in every_option() | FOREIGN | BENCHMARKS]
    code = "" if page.name == "python.md" else " ".join(re.findall(r"`([^`\n]+)`", text))  # there: attributes
    assert not [key for key in _keys(code) if not _is_key(key)]


@pytest.mark.parametrize("page", [*DOCUMENTS, *SOURCES], ids=_named)
def test_extras_modules_targets_and_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [extra for names in re.findall(r"(?:adept-hub|'\.)\[([a-z,]+)\]", text) for extra in names.split(",")]
    assert set(extras) <= set(project["optional-dependencies"])
    modules = re.findall(r"python -m ((?:adept_\w+|benchmarks|tests)(?:\.\w+)*)", text)
    assert not [name for name in modules if importlib.util.find_spec(name) is None]
    if page.suffix == ".md":
        targets = re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.M)
        known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert {name for pair in targets for name in pair if name} <= set(known)
        used = set(re.findall(r"\badept_hub\.([a-z_]+)\(", text))
        assert not [name for name in used if not hasattr(adept_hub, name)]


def test_messages_install_from_the_checkout_while_nothing_is_released() -> None:
    """As `tests.test_site` demands of the pages."""
    assert "Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), "or messages may name the package"
    texts = [(where, text) for path in [*SOURCES, ROOT / "hubconf.py"] for where, text in strings_of(path)]
    assert len(texts) > 1000
    assert [where for where, text in texts if re.search(r"pip install[^`\n]*\badept-hub", text)] == []


@pytest.mark.parametrize("name", list_models())
def test_what_info_advises_trains_that_architecture(name: str) -> None:
    info = model_info(name)
    command = training_command(info.method, info.spec)
    assert fault_of(command) == ""
    args = parser_of("pretrain").parse_args(words_of(command))
    recipe = load_recipe(args.recipe, args.settings, args.method)
    assert recipe.method.name == info.method
    assert recipe.model == dataclasses.replace(info.spec)
    assert (args.init is not None) == (info.method == "adept_separate")


# --- the collector itself: it must see what it is for ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("adept pretrain --images PHOTOS --method adept_joint --out runs/mine", "name a recipe"),
        ("adept pretrain --images P --recipe adept_separate_r50_100ep --out r", "needs --init"),
        ("adept pretrain --images P --recipe own_photos --out r", "no recipe"),
        ("adept pretrain --images P --recipe own_photos_cpu --set engine.batchsize=2 --out r", "batchsize"),
        ("adept export RUN --to detectron2", "--out"),
        ("adept export RUN --to detectron --out d", "invalid choice"),
        ("adept finetune S --data voc:D --out r --recipe coco", "no recipe"),
        ("adept finetune ... --skip-damage", "no such option"),
        ("adept doctr X", "no command"),
        ("adept list --al", "unrecognized"),
        ("adept export 'x --to mmdet --out d", "shell"),
        (f"adept finetune {HOLE} --data DATA --out RUN --iterations N", ""),
        ("adept export SOURCE --to FRAMEWORK --out DIR [--detector D]", ""),
        ("adept pretrain --images IMAGES --method M --out RUN", ""),
        ("adept finetune ... --skip-damaged", ""),
    ],
)
def test_faults_are_found(command: str, fault: str) -> None:
    found = fault_of(command)
    assert (fault in found) if fault else found == ""


def test_commands_are_found_in_texts(tmp_path: Path) -> None:
    text = "Do.\nTry: adept list x\n  adept demo    see it\nA name (adept list shows names). `adept info X --json`."
    assert commands_in(text) == ["adept list x", "adept demo", "adept info X --json"]
    assert mentions_in(text) == ["list", "demo", "list", "info"]
    page = tmp_path / "page.md"
    page.write_text(
        "```\nadept list; adept info X  # both\nadept pull \\\n  S\ntorchrun --n 8 -m adept_hub.cli.main list\n"
        "srun adept verify\n```\n`adept` and `adept list` are mentions, `adept list --all` is a command.\n"
    )
    assert document_commands(page) == [
        "adept list", "adept info X", "adept pull S", "adept list", "adept verify", "adept list --all",
    ]  # fmt: skip


def test_values_and_calls_in_source_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tests.printed as printed

    monkeypatch.setattr(printed, "ROOT", tmp_path)
    source = tmp_path / "a.py"
    source.write_text(
        '"""Docs: adept list"""\nx = f"Go: adept export {a.b} --to {c}\\n" "More."\n'
        'log("Ask? adept doctor %s --target mmdet", x)\ny = command_line("pull", x, "--force")\n'
    )
    found = [command for _, text in printed.strings_of(source) for command in commands_in(text)]
    assert sorted(found) == [
        "adept doctor HOLE --target mmdet",
        "adept export HOLE --to HOLE",
        "adept pull HOLE --force",
    ]
    assert [command for _, text in printed.docstrings_of(source) for command in commands_in(text)] == ["adept list"]


def test_enough_is_collected() -> None:
    """A collector that finds nothing would pass: far fewer than there are now means that it has gone blind."""
    messages = [command for path in SOURCES for _, text in strings_of(path) for command in commands_in(text)]
    assert len(messages) > 30
    assert sum(len(document_commands(page)) for page in DOCUMENTS) > 60
