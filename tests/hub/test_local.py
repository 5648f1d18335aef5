"""``LAYOUT:FILE`` wherever a source is taken: what the file is converted to, and what it is refused for."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

import adept_hub
from adept_hub.checkpoint.folder import read_tensors
from adept_hub.cli.main import main
from adept_hub.errors import AdeptError, CheckpointError, SourceError, UnknownKeyError
from adept_hub.hub.fetch import FetchOptions, fetch
from adept_hub.integrations.url_handler import cached_weights
from adept_hub.io.digest import sha256_file
from adept_hub.spec import Start
from tests.foreign.test_adopt import MEAN, write_timm
from tests.foreign.test_import_weights import MoCo


@pytest.fixture(scope="module")
def moco() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return nn.ModuleDict({"module": MoCo()}).state_dict()


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    torch.manual_seed(6)
    return resnet18().state_dict()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moco: dict[str, Tensor], resnet: dict[str, Tensor]) -> Path:
    """A folder with MoCo's own file, without a suffix, and a ResNet of an unknown project."""
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": 200, "state_dict": moco}, tmp_path / "checkpoint_0199")
    torch.save(resnet, tmp_path / "my net.pth")
    return tmp_path


def test_the_stated_layout_is_what_is_read(here: Path, moco: dict[str, Tensor], resnet: dict[str, Tensor]) -> None:
    for source, start, state in (
        ("moco:checkpoint_0199", "module.encoder_q.", moco),
        (f"moco:{here / 'checkpoint_0199'}", "module.encoder_q.", moco),
        ("byol:my net.pth", "", resnet),
        ("simclr:my net.pth", "", resnet),
    ):
        found = fetch(source)
        layout, _, name = source.partition(":")
        assert (found.origin, found.config.name) == (source, f"{layout}_r18.imported")
        file = here / name
        assert found.config.provenance.starts == (Start(file.name, sha256_file(file), "unknown"),)
        tensors = read_tensors(found.folder, found.config)
        assert len(tensors) == 120
        assert all(torch.equal(t, state[f"{start}{key.removeprefix('backbone.')}"]) for key, t in tensors.items())
    means = [fetch(f"{layout}:my net.pth").config.preprocessing.mean for layout in ("simclr", "byol")]
    assert means == [(0.0, 0.0, 0.0), (0.485, 0.456, 0.406)]


def test_every_loading_call_takes_it(here: Path, resnet: dict[str, Tensor]) -> None:
    source = "byol:my net.pth"
    model = adept_hub.load_pretrained(source, num_classes=3, parts="backbone")
    assert model.load_report.source == source
    assert torch.equal(model.backbone.body.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])
    again = adept_hub.create_model(source, pretrained=True, num_classes=3, parts="backbone")
    assert torch.equal(again.backbone.body.conv1.weight, resnet["conv1.weight"])
    mine = resnet18()
    assert adept_hub.load_into(mine, source, parts=("backbone",)).loaded == 120
    assert torch.equal(mine.conv1.weight, resnet["conv1.weight"])
    assert len(adept_hub.load_state_dict(source, parts="backbone")) == 120
    with pytest.raises(SourceError, match=r"has no fpn and no rpn, .*\n.*adept finetune byol:my net.pth --data"):
        adept_hub.load_detector(source)
    weights = torch.load(cached_weights(f"adept://byol:{here / 'my net.pth'}", "mmdet"), weights_only=True)
    assert torch.equal(weights["state_dict"]["backbone.conv1.weight"], resnet["conv1.weight"])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("pull SOURCE", 0), ("verify SOURCE", 0), ("card SOURCE", 0), ("doctor SOURCE --target mmdet", 1),
        ("export SOURCE --to torchvision --parts backbone --out out", 0), ("import SOURCE --out out", 0),
    ],
)  # fmt: skip
def test_every_command_takes_it(here: Path, words: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.replace("SOURCE", "byol:my net.pth") for word in words.split()]) == status
    printed = capsys.readouterr()
    assert not printed.err
    assert "byol" in printed.out or (here / "out").is_dir()


def test_the_message_for_a_file_of_several_projects_has_the_source_that_works(here: Path) -> None:
    with pytest.raises(CheckpointError, match=r"my net\.pth: Several projects use exactly these names: ") as caught:
        adept_hub.load_pretrained("./my net.pth", num_classes=3, parts="backbone")
    first, second = str(caught.value).splitlines()
    assert "torchvision, timm, byol, simclr, densecl, detco, resnet" in first
    (source,) = [word.rstrip(",") for word in shlex.split(second) if word.startswith("torchvision:")]
    assert adept_hub.load_pretrained(source, num_classes=3, parts="backbone").load_report.loaded == 120


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("moco:my net.pth", UnknownKeyError,
         r"my net\.pth has 'conv1\.weight', .* layout moco \(MoCo v1.*\n.*matches the layouts torchvision, timm, .*"
         r": pass 'torchvision:my net\.pth' "),
        ("swav:checkpoint_0199", UnknownKeyError,
         r" has 'module\.queue.*\n.*the layout moco: pass moco:checkpoint_0199 "),
        ("timm:resnet50.a1_in1k", SourceError, r"does not exist\.\n.*timm:FILE.*hf-hub:timm/NAME"),
        ("moco:absent.pth", SourceError, r"absent\.pth does not exist\.\nThe form is moco:FILE"),
        ("moco:.", SourceError, r"is a folder, .*\nPass the file: moco:my net.pth$"),
        ("mocco:my net.pth", SourceError, r"'mocco' is not a layout\. Did you mean 'moco'"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_fit_is_refused(here: Path, source: str, error: type[AdeptError], message: str) -> None:
    for call in (fetch, lambda s: adept_hub.load_pretrained(s, num_classes=3)):
        with pytest.raises(error, match=message) as caught:
            call(source)
        assert len(str(caught.value).splitlines()) == 2


def test_a_revision_is_refused(here: Path) -> None:
    with pytest.raises(SourceError, match="a file has no revisions"):
        fetch("byol:my net.pth", FetchOptions(revision="main"))


def test_our_own_checkpoints_have_no_layout(make_checkpoint, tmp_path: Path) -> None:
    folder = make_checkpoint()[0]
    run = tmp_path / "run"
    shutil.copytree(folder, run / "export")
    for path in (folder, folder / "model.safetensors", run):
        with pytest.raises(
            SourceError, match=r"is a checkpoint of adept_hub, .*\nPass it without the layout: "
        ) as caught:
            fetch(f"torchvision:{path}")
        advised = str(caught.value).rpartition(": ")[2]
        assert fetch(advised).config == fetch(folder).config
    shutil.copy(folder / "model.safetensors", tmp_path / "ours.safetensors")
    with pytest.raises(UnknownKeyError, match=r"\nThe file is that of a checkpoint of adept_hub: pass the folder"):
        fetch(f"torchvision:{tmp_path / 'ours.safetensors'}")


def test_timm_s_folder_keeps_its_own_facts(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "resnet18.mine", resnet)
    for path in (folder, folder / "model.safetensors"):
        config = fetch(f"timm:{path}").config
        assert (config, config.preprocessing.mean) == (fetch(folder).config, MEAN)
        with pytest.raises(SourceError, match=rf"is a folder of timm .* resnet is .*\n.*: {folder}$"):
            fetch(f"resnet:{path}")


def test_a_config_of_others_next_to_the_file_is_not_read(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(resnet, tmp_path / "model.safetensors")
    for text in ('{"architectures": ["Theirs"]}', "[]", "5", "{"):
        (tmp_path / "config.json").write_text(text)
        assert fetch(f"resnet:{tmp_path / 'model.safetensors'}").config.name == "resnet_r18.imported"
