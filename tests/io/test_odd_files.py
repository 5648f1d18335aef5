"""Where a file or a folder is asked for and something else is found, every command says what it is."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image

import adept_hub
import adept_training
from adept_hub.cli.main import main
from adept_hub.io.paths import not_a, resolved, what_is
from tests.training.conftest import write_voc

KINDS = {
    "pipe": "is a named pipe", "socket": "is a socket", "device": "is a device", "dangling": "is a broken link",
    "loop": "is a link that points to itself",
}  # fmt: skip
#: Words of a command -> what in its folder is replaced.
DOORS = {
    "data check coco:X:images": "X",
    "data check coco:a.json:X": "X",
    "data check voc:X": "X",
    "data check voc:voc": "voc/ImageSets/Main/train.txt",
    "data check X.yaml": "X.yaml",
    "proposals X --out out": "X",
    "proposals X.tar --out out": "X.tar",
    "pretrain --images images --method adept_joint --out out --recipe X.yaml": "X.yaml",
    "finetune scratch --data voc:voc --out out --recipe X.yaml": "X.yaml",
    "finetune scratch --data voc:voc --out out --labels X.json": "X.json",
    "pretrain --images images --method adept_separate --out out --init X": "X",
    "export X --to mmdet --out out": "X",
    "card local-dir:X": "X",
    "push X org/name": "X",
    "import X.pth --out out": "X.pth",
    "import X.safetensors --out out": "X.safetensors",
    "doctor X.yaml --target detectron2": "X.yaml",
    "doctor X.pth --target mmdet": "X.pth",
    "deploy X --to torchvision --out out": "X",
    "report X": "X",
    "report run": "run/log.jsonl",
}
OUTPUTS = {
    "pretrain --images images --method adept_joint --out X": "X",
    "finetune scratch --data voc:voc --out X --labels 50%": "X",
    "compare scratch --data voc:voc --out X --image-counts 1 --seeds 1": "X",
    "fewshot scratch --data voc:voc --out X --shots 1 --seeds 1": "X",
    "proposals images --out X": "X",
    "export CHECKPOINT --to mmdet --out X": "X",
    "card --all X": "X",
    "data subset voc:voc --labels 1img --out X": "X",
}
CASES = [(words, place, kind) for words, place in DOORS.items() for kind in KINDS]
CASES += [(words, place, kind) for words, place in OUTPUTS.items() for kind in KINDS if kind != "dangling"]


def put(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)  # a longer path is refused
    else:
        path.symlink_to({"device": "/dev/zero", "dangling": "nowhere", "loop": path.name}[kind])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    write_voc(folder / "voc", images=1)
    (folder / "images").mkdir()
    (folder / "run").mkdir()
    for i in range(2):
        Image.new("RGB", (40, 30), (i, 9, 7)).save(folder / "images" / f"{i}.png")
    (folder / "a.json").write_text(json.dumps({"images": [], "categories": [], "annotations": []}))
    return folder


@pytest.mark.parametrize(("words", "place", "kind"), CASES)
def test_it_is_called_what_it_is(
    words: str, place: str, kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(home, tmp_path / "home")
    path = tmp_path / "home" / place
    monkeypatch.chdir(path.parent)
    put(path, kind)
    monkeypatch.chdir(tmp_path / "home")
    checkpoint = next((Path(adept_hub.__file__).parent / "bundled").glob("adept*"))
    assert main(words.replace("CHECKPOINT", str(checkpoint)).split()) == 1
    error = capsys.readouterr().err
    assert KINDS[kind].removeprefix("is ") in error, error
    assert place in error
    assert "rm " not in error, "nobody is advised to remove a device"
    assert "Traceback" not in error


def test_what_is_asked_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not_a("a folder", tmp_path / "file") == f"{tmp_path / 'file'} is a file, not a folder."
    assert not_a("an image folder", tmp_path / "x") == f"There is no image folder {tmp_path / 'x'}."
    assert what_is(tmp_path / "file" / "below") == "does not exist"
    assert what_is(tmp_path / "\0") == "is not a valid path: it contains a null character"
    assert what_is(tmp_path / ("n" * 300)) == "cannot be read (File name too long)"
    assert what_is(tmp_path) == "is a folder"


def test_links_without_end_have_a_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("file")
    assert resolved(tmp_path / "loop").name == "loop"
    assert resolved(tmp_path / "link").name == "file"


def test_nobody_else_resolves_links() -> None:
    """`Path.resolve` raises RuntimeError for a link that leads to itself, which nobody expects of an output folder."""
    found = [
        f"{path}:{node.lineno}"
        for package in (adept_hub, adept_training)
        for path in Path(package.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "resolve"
        and not node.args and "__file__" not in ast.unparse(node)
    ]  # fmt: skip
    assert found == []
