"""adept:// inside the real Detectron2 and MMEngine."""

from __future__ import annotations

import pytest
import torch

from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.convert.export import export_state, write_export
from adept_hub.convert.options import Target
from adept_hub.errors import AdeptError, SourceError
from adept_hub.frameworks import DETECTRON2, MMDET
from adept_hub.hub.fetch import FetchOptions
from adept_hub.integrations.url_handler import cached_weights, parse_address
from tests.frameworks_support import (
    one_thread,  # noqa: F401  # an autouse fixture
    register_mmdet,
)


@pytest.mark.parametrize(
    ("address", "source", "options"),
    [
        ("adept://adept_joint", "adept_joint", {}),
        ("adept://hf-hub:me/mine@v1", "hf-hub:me/mine@v1", {}),
        ("adept://local-dir:/a/b", "local-dir:/a/b", {}),
        ("adept:///a/b#detector=cascade_rcnn&norm=none", "/a/b", {"detector": "cascade_rcnn", "norm": "none"}),
    ],
)
def test_addresses(address, source, options):
    assert parse_address(address) == (source, options)


@pytest.mark.parametrize(
    "address", ["adept://", "adept://x#what=1", "adept://x#cascade", "adept://#detector=mask_rcnn"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(SourceError):
        parse_address(address)


def test_an_export_is_cached_and_its_options_are_checked(make_checkpoint):
    folder, _, module = make_checkpoint()
    path = cached_weights(f"adept://{folder}", "mmdet")
    before = path.stat().st_mtime_ns
    assert cached_weights(f"adept://{folder}", "mmdet") == path
    assert path.stat().st_mtime_ns == before
    assert cached_weights(f"adept://{folder}#norm=none", "mmdet") != path
    with pytest.raises(AdeptError, match="detector"):
        cached_weights(f"adept://{folder}#detector=yolo", "mmdet")
    state = torch.load(path, weights_only=True)["state_dict"]
    assert torch.equal(state["neck.fpn_convs.0.conv.weight"], module.state_dict()["fpn.layer_blocks.0.0.weight"])
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_every_difference_between_two_addresses_is_another_file(make_checkpoint, tmp_path):
    """Two checkpoints of one name, two frameworks, and each option: no file stands for another."""
    folder, config, module = make_checkpoint()
    tensors = {key: tensor + 1 for key, tensor in module.state_dict().items()}
    kept = {"spec": config.spec, "provenance": config.provenance, "license": config.license, "parts": config.parts}
    write_checkpoint(tmp_path / "again", tensors, name=config.name, **kept)
    choices = {"": {}, "#norm=FrozenBN": {"norm": "FrozenBN"}, "#anchors=rescaled": {"anchors": "rescaled"},
               "#detector=cascade_rcnn": {"detector": "cascade_rcnn"}}  # fmt: skip
    found = {}
    for source, values in ((folder, module.state_dict()), (tmp_path / "again", tensors)):
        for framework in (DETECTRON2, MMDET):
            for words, options in choices.items():
                path = cached_weights(f"adept://{source}{words}", framework.name)
                expected = export_state(values, config.spec, framework, Target(**options))
                content = torch.load(path, weights_only=True)
                state = content["state_dict" if framework is MMDET else "model"]
                assert state.keys() == expected.keys()
                for key, tensor in expected.items():
                    assert torch.equal(torch.as_tensor(state[key]), tensor), (path, key)
                found[source, framework.name, words] = path
    assert len(set(found.values())) == len(found) == 16


def test_the_revision_of_an_address_is_the_one_that_is_fetched(monkeypatch):
    """With every option of an address next to it."""
    seen = []

    class FetchedError(Exception):
        pass

    def fetch(source, options):
        seen.append((source, options))
        raise FetchedError

    monkeypatch.setattr("adept_hub.hub.fetch.fetch", fetch)
    with pytest.raises(FetchedError):
        cached_weights("adept://hf-hub:me/mine#norm=BN&revision=v2&detector=mask_rcnn", "mmdet", force=True)
    with pytest.raises(FetchedError):
        cached_weights("adept://adept_joint", "mmdet")
    assert seen == [("hf-hub:me/mine", FetchOptions(revision="v2", force=True)), ("adept_joint", FetchOptions())]


def test_options_mistyped_or_given_twice_are_named():
    for address, message in (
        ("adept://x#detectro=mask_rcnn", r"'detectro' is not an option\. Did you mean 'detector'"),
        ("adept://x#norm=BN&norm=none", "'norm' is repeated"),
        ("adept://x#norm=SynBN", r"norm='SynBN' is not valid\. Did you mean 'SyncBN'"),
    ):
        with pytest.raises(AdeptError, match=message):
            cached_weights(address, "mmdet")


def test_a_part_that_the_framework_will_start_at_random_is_told(make_checkpoint, caplog):
    folder, _, _ = make_checkpoint(parts=("backbone", "fpn", "head"), method="soco")
    with caplog.at_level("WARNING", "adept_hub"):
        cached_weights(f"adept://{folder}", "detectron2")
    assert "has no rpn: randomly initialized by detectron2" in caplog.text


def test_force_exports_again(make_checkpoint):
    folder, _, _ = make_checkpoint()
    path = cached_weights(f"adept://{folder}", "mmdet")
    path.write_bytes(b"")
    assert cached_weights(f"adept://{folder}", "mmdet").stat().st_size == 0
    assert cached_weights(f"adept://{folder}", "mmdet", force=True).stat().st_size > 0


@pytest.mark.frameworks
def test_detectron2_s_file_manager_reads_only_and_takes_no_other_option(make_checkpoint):
    from detectron2.utils.file_io import PathManager

    import adept_hub.integrations.detectron2  # noqa: F401

    folder, _, _ = make_checkpoint()
    with PathManager.open(f"adept://{folder}", "rb") as stream:
        assert stream.read(2) == b"PK"
    with pytest.raises(SourceError, match="is read-only"):
        PathManager.open(f"adept://{folder}", "wb")
    with pytest.raises(ValueError, match="speed"):
        PathManager.get_local_path(f"adept://{folder}", speed=3)


@pytest.mark.frameworks
@pytest.mark.parametrize("detector", ["faster_rcnn", "cascade_rcnn"])
def test_detectron2_loads_an_address(detector, make_checkpoint, tmp_path):
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    import adept_hub.integrations.detectron2  # noqa: F401

    folder, config, module = make_checkpoint()
    tensors = module.state_dict()
    _, path = write_export(tensors, config, DETECTRON2, tmp_path / "out", Target(detector))
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = f"adept://local-dir:{folder}#detector={detector}"
    model = build_model(cfg)
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    state = model.state_dict()
    expected = export_state(tensors, config.spec, DETECTRON2, Target(detector))
    assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())


@pytest.mark.frameworks
def test_mmengine_loads_an_address_both_ways(make_checkpoint, tmp_path):
    register_mmdet()
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint

    import adept_hub.integrations.mmdet  # noqa: F401

    folder, config, module = make_checkpoint()
    tensors = module.state_dict()
    _, path = write_export(tensors, config, MMDET, tmp_path / "out")
    expected = export_state(tensors, config.spec, MMDET)
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, f"adept://{folder}")
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in expected.items())
    cfg.model.init_cfg = {"type": "Pretrained", "checkpoint": f"adept://{folder}"}
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in expected.items())
