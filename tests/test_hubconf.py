"""torch.hub: from a checkout, and from an archive as the forge serves it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(make_checkpoint, tmp_path: Path) -> dict[str, str]:
    """A registry with one small checkpoint, and torch.hub's folder."""
    folder, config, _ = make_checkpoint(folder=tmp_path / "team" / "ckpt")
    entry = {"location": {"bundled": "ckpt"}, "sha256": config.sha256, "size": config.size}
    data = {
        "format_version": 2,
        "architectures": {"tiny_r18_fpn32": {"method": "adept_joint", "spec": {"depth": 18}}},
        "checkpoints": {"tiny_r18_fpn32.test": entry},
    }
    (folder.parent / "registry.json").write_text(json.dumps(data))
    return os.environ | {"ADEPT_REGISTRY": str(folder.parent / "registry.json"), "TORCH_HOME": str(tmp_path / "torch")}


def python(code: str, environment: dict[str, str], where: Path) -> str:
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_local_checkout(environment: dict[str, str], tmp_path: Path) -> None:
    out = python(
        f"""
        import torch
        root = {str(ROOT)!r}
        model = torch.hub.load(root, "adept_joint", source="local", tag="tiny_r18_fpn32.test", num_classes=3)
        print(model.load_report.loaded, model.roi_heads.box_predictor.cls_score.out_features)
        try:
            torch.hub.load(root, "adept_separate", source="local", tag="tiny_r18_fpn32.tset")
        except RuntimeError as error:
            raise SystemExit(1)
        except Exception as error:
            print(type(error).__name__)
        """,
        environment,
        tmp_path,
    )
    assert out.splitlines() == ["200 3", "UnknownModelError"]


def test_the_entries_of_the_bundled_weights_load_those(tmp_path: Path) -> None:
    out = python(
        f"""
        import torch
        for name in ("adept_joint", "adept_separate", "detection"):
            model = torch.hub.load({str(ROOT)!r}, name, source="local", num_classes=3)
            print(name, model.checkpoint_config.name, model.load_report.loaded > 100)
        model = torch.hub.load({str(ROOT)!r}, "detection", source="local", pretrained=False)
        print(model.load_report.loaded if hasattr(model, "load_report") else "no weights")
        """,
        dict(os.environ),
        tmp_path,
    )
    assert out.splitlines() == [
        "adept_joint adept_joint_r18_fpn128.caltech101 True",
        "adept_separate adept_separate_r18_fpn128.caltech101 True",
        "detection detection_r18_fpn128.caltech101 True",
        "no weights",
    ]


class _Forge(BaseHTTPRequestHandler):
    """An archive of the repository in one folder, ``owner-name-commit/``, as the forge names it."""

    archive = b""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        found = self.path == "/zipball/v1"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.archive) if found else 0))
        self.end_headers()
        self.wfile.write(self.archive if found else b"")


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("org-adept-0123abc")
        paths = [ROOT / "hubconf.py", *(ROOT / "adept_hub").rglob("*.py"), *(ROOT / "adept_hub").rglob("*.json")]
        for path in paths:
            packed.write(path, f"org-adept-0123abc/{path.relative_to(ROOT)}")
    return content.getvalue()


def test_an_archive_from_the_forge(environment: dict[str, str], tmp_path: Path) -> None:
    """torch.hub knows one forge by its address; only that address is replaced, by this machine's."""
    _Forge.archive = archive()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        out = python(
            f"""
            import inspect
            import torch
            torch.hub._git_archive_link = lambda owner, name, ref: (
                "http://127.0.0.1:{server.server_port}/zipball/" + ref
            )
            options = dict(trust_repo=True, skip_validation=True)
            model = torch.hub.load("org/adept:v1", "adept_joint", tag="tiny_r18_fpn32.test", **options)
            import adept_hub
            print(model.load_report.loaded, adept_hub.__file__)
            print(torch.hub.list("org/adept:v1", **options))
            told = torch.hub.help("org/adept:v1", "adept_joint", **options)
            print([option for option in inspect.signature(adept_hub.load_pretrained).parameters if option not in told])
            """,
            environment | {"PYTHONPATH": ""},
            tmp_path,
        )
    finally:
        server.shutdown()

    loaded, names, helpful = out.splitlines()[-3:]  # torch.hub may write a line of its own before
    home = tmp_path / "torch" / "hub" / "org_adept_v1"
    assert loaded == f"200 {home / 'adept_hub' / '__init__.py'}", "the installed package was taken for the archive's"
    assert (names, helpful) == ("['adept_joint', 'adept_separate', 'detection']", "[]"), (
        "an option that help does not tell"
    )
