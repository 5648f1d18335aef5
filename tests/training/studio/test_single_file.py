"""The page in one file, and the command, with a detector of random weights."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adept_hub.cli.main import main
from adept_training.studio.answers import PAGE
from tests.training.studio.conftest import EVIL_CLASS


@pytest.fixture
def page(
    tuned: Path, boxes: Path, comparison: Path, labels: str, make_checkpoint: Callable[..., Any], tmp_path: Path,
    one_thread: None, capsys: pytest.CaptureFixture[str],
) -> str:  # fmt: skip
    weights, out = make_checkpoint(folder=tmp_path / "weights")[0], tmp_path / "page.html"
    words = ["studio", str(tuned), str(weights), str(boxes), str(comparison), "--data", labels, "--out", str(out)]
    assert main([*words, "--limit", "2", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"Page: {out} (")
    assert main([*words, "--limit", "2"]) == 1
    assert "exists" in capsys.readouterr().err
    return out.read_text()


def test_one_file_has_everything_and_no_external_address(page: str) -> None:
    namespace = "http://www.w3.org/2000/svg"
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page.replace(namespace, "").replace("// ", "")) == []
    assert not re.search(r"\bsrc=[\"'](?!data:)|<link[^>]+stylesheet", page)
    (data,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    content = json.loads(data)
    start = content["/api/start.json"]
    assert start["empty"].keys() == {"views"}, "random weights have no recipe"
    assert start["limit"].startswith("the first 2 images of each set; all of them: adept studio ")
    assert EVIL_CLASS in start["sets"][0]["classes"]
    assert content["/image/0/1/large.jpg"].startswith("data:image/jpeg;base64,")
    assert content["/api/boxes/0/1.json"]["tables"][0]["first"] == [2, 3]
    assert set(content["/api/maps/0/1/2.json"]) == {"all", "P2", "P3", "P4", "P5"}, "random weights"
    assert content["/api/found/0/1/1.json"]["regions"]
    assert content["/api/errors/0/0.json"]["state"] == "done"
    assert all(one["i"] < 2 for one in content["/api/errors/0/0.json"]["errors"])
    assert len(content["/api/runs/0.json"]["runs"]) == 6
    assert not [key for key, value in content.items() if isinstance(value, dict) and "error" in value]
    _only_its_script_may_run(page)


def _only_its_script_may_run(page: str) -> None:
    """Names that are markup end no element, and the policy has the hashes of what is there."""
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0]
    for name, tag in (("studio.js", "script"), ("studio.css", "style")):
        text = (PAGE / name).read_text(encoding="utf-8")
        assert f"<{tag}>{text}</{tag}>" in page
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_script_writes_no_markup() -> None:
    script = (PAGE / "studio.js").read_text(encoding="utf-8")
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("//"))
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|srcdoc", code)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{images}"], r"is a folder of unknown kind.\nExpected the --out of adept pretrain, finetune, compare or"),
        (["nothing/there"], "adept list"),
        (["{boxes}", "--limit", "0"], "--limit is 0; it must be at least 1"),
        (["{boxes}", "--images", "{images}/gone"], "does not exist"),
        (["{boxes}", "--port", "99999"], "--port 99999 cannot be used"),
    ],
)
def test_mistakes(
    words: list[str], message: str, folder: Path, boxes: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    typed = [word.format(images=folder, boxes=boxes) for word in words]
    assert main(["studio", *typed]) == 1
    error = capsys.readouterr().err
    assert message in error.replace("\n", r"\n") or message in error
    assert len(error.splitlines()) <= 3
