"""Workflows, forms, Dockerfiles and the job script refer to targets, files, versions and options that exist.

Nobody runs them here, so that a wrong word in one of them would first be seen by a stranger.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import adept_hub
from tests.light import BY_NAME, heavy_tests, is_light

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
JOB = ROOT / "training/jobs/own_images.py"


def jobs() -> list[tuple[str, dict[str, Any]]]:
    found = [(path, yaml.safe_load(path.read_text())["jobs"]) for path in WORKFLOWS]
    return [(f"{path.stem}:{name}", job) for path, inside in found for name, job in inside.items()]


def steps(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize(("name", "job"), jobs(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_job_ends_and_runs_targets_that_exist(name: str, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 350
    targets = re.findall(r"\bmake ([\w-]+)", steps(job))
    assert targets or name in ("release:publish", "site:deploy")
    assert [target for target in targets if not re.search(rf"^{target}:", MAKEFILE, re.M)] == []
    variables = {
        word for words in re.findall(r"\bmake [\w-]+(.*)", steps(job)) for word in re.findall(r"\b([A-Z]+)=", words)
    }
    assert [word for word in variables if f"$({word})" not in MAKEFILE] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert True in workflow or "on" in workflow  # YAML 1.1 reads the word on as true
    grants = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    allowed = {"publish": {"id-token": "write"}, "deploy": {"id-token": "write", "pages": "write"}}
    assert grants == {name: allowed[name] for name in grants}


def test_the_light_tests_run_on_every_supported_python_and_system() -> None:
    light = dict(jobs())["tests:light"]["strategy"]["matrix"]
    found = {classifier.rpartition(" ")[2] for classifier in PROJECT["classifiers"] if ":: Python :: 3." in classifier}
    assert set(light["python"]) == found
    assert min(found, key=_version) == PROJECT["requires-python"].removeprefix(">=")
    systems = {*light["os"], *(row["os"] for row in light["include"])}
    assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}
    minor = sorted(int(version.split(".")[1]) for version in found)
    assert all(b == a + 1 for a, b in pairwise(minor))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_oldest_versions_are_those_of_the_requirements() -> None:
    pinned = dict(re.findall(r"(\w+)==([\d.]+)", steps(dict(jobs())["tests:oldest"])))
    lowest = dict(re.findall(r"^(\w+)>=([\d.]+)$", "\n".join(PROJECT["dependencies"]), re.M))
    assert set(pinned) == set(lowest)
    assert all(pinned[name].startswith(lowest[name]) for name in pinned), (pinned, lowest)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names) > 0
    assert all(field["attributes"] for field in form["body"])
    assert {field["type"] for field in form["body"]} <= {"textarea", "dropdown", "checkboxes", "input", "markdown"}


def test_there_is_one_repository_and_one_version() -> None:
    """A fork or a move changes one address; half of it would send strangers elsewhere."""
    home = PROJECT["urls"]["Repository"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["repository-code"] == home
    forms = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())
    assert all(link["url"].startswith(f"{home}/") for link in forms["contact_links"])
    assert all(url.startswith(home) for url in PROJECT["urls"].values())
    assert f"git+{home}" in JOB.read_text()
    (short,) = set(re.findall(r'torch\.hub\.load\("([\w/-]+)"', (ROOT / "README.md").read_text()))
    assert home.endswith(short)


def test_pre_commit_pins_its_hooks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"] for repo in hooks for hook in repo["hooks"]} == {"ruff-check", "ruff-format", "nbstripout"}
    assert all(re.fullmatch(r"v?[\d.]+", repo["rev"]) for repo in hooks)


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_an_image_is_built_of_files_that_it_is_given(path: Path) -> None:
    text, ignore = path.read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    assert f"-f docker/{path.name}" in text
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.+)$", text, re.M)]
    assert copied
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignore, f"{name} is not sent to docker"
    extras = {extra for names in re.findall(r"'\.\[([\w,]+)\]'", text) for extra in names.split(",")}
    assert extras <= set(PROJECT["optional-dependencies"])
    (python,) = re.findall(r"^FROM python:([\d.]+)", text, re.M)
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_the_job_script_is_one_that_uv_runs() -> None:
    """PEP 723: its requirements stand in comments between two marks, as TOML."""
    (block,) = re.findall(r"^# /// script\n(.*?)^# ///$", JOB.read_text(), re.M | re.S)
    header = tomllib.loads("".join(f"{line[2:]}\n" for line in block.splitlines()))
    assert header["requires-python"] == PROJECT["requires-python"]
    assert header["dependencies"][0].startswith(f"{PROJECT['name']}[train] @ ")


def test_the_job_script_calls_what_exists() -> None:
    """Its calls with the names of their arguments, held against the real signatures."""
    training = pytest.importorskip("adept_training.calls.pretraining")
    real = {"pretrain": training.pretrain, "push_to_hub": adept_hub.push_to_hub}
    calls = [node for node in ast.walk(ast.parse(JOB.read_text())) if isinstance(node, ast.Call)]
    named = {getattr(call.func, "attr", ""): call for call in calls}
    for name, function in real.items():
        call = named[name]
        inspect.signature(function).bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})


def test_light_files_are_told_from_others(tmp_path: Path) -> None:
    tests = ROOT / "tests"
    assert is_light(tests / "test_load.py")
    assert not is_light(tests / "test_printed_commands.py"), "it imports the trainer"
    assert not is_light(tests / "benchmarks/gpu/test_jobs.py")
    assert not is_light(tests / "training/finetuning/test_rivals.py"), "it runs the trainer's commands"
    assert not is_light(tests / "training/studio/conftest.py")
    assert is_light(tests / "io/conftest.py"), "a folder without one is looked into"
    assert not is_light(tests / "hostile/test_large_files.py"), "a module that it imports needs pyarrow"
    assert "test_there_is_one_repository_and_one_version" not in heavy_tests(Path(__file__))
    writers = heavy_tests(tests / "io/test_write_failures.py")
    assert "test_so_is_a_full_disk" in writers, "a script that it runs imports pyarrow"
    assert "test_a_folder_below_a_file_is_refused_in_words" not in writers
    assert all((ROOT / name).is_file() for name in BY_NAME)
    assert sum(is_light(path) for path in tests.rglob("test_*.py")) > 60
