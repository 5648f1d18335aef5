"""Models that something wraps: they are loaded as the plain one is, or the message says what to do first."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import adept_hub
from adept_hub.errors import UnsupportedModelError
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.spec import DetectorSpec
from tests.conftest import SMALL
from tests.test_load_into import assert_loaded, mine, refused


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """One process, by gloo and a file."""
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel(make_checkpoint, process_group: None) -> None:
    folder, _, parts = make_checkpoint()
    model = nn.parallel.DistributedDataParallel(mine())
    report = adept_hub.load_into(model, folder)
    assert_loaded(model.module, parts)
    assert report.loaded == 200
    assert "module.rpn.head.bbox_pred.bias" not in report["rpn"].reinitialized


def test_torch_compile_around_the_model_and_inside_it(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    inner = mine()
    report = adept_hub.load_into(torch.compile(inner), folder)
    assert_loaded(inner, parts)
    assert report.loaded == 200

    inner = mine()
    inner.backbone = torch.compile(inner.backbone)
    inner.roi_heads.box_head[1] = torch.compile(inner.roi_heads.box_head[1])
    report = adept_hub.load_into(inner, folder)
    assert report.loaded == 200
    state = {key.replace("_orig_mod.", ""): t for key, t in inner.state_dict().items()}
    assert torch.equal(state["backbone.body.conv1.weight"], parts.backbone.conv1.weight)
    assert torch.equal(state["roi_heads.box_head.1.0.weight"], parts.head[1][0].weight)
    assert all(key in inner.state_dict() for row in report.parts for key in row.reinitialized), "their own names"


def test_activation_checkpointing(make_checkpoint) -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing

    folder, _, parts = make_checkpoint()
    model = mine()
    apply_activation_checkpointing(model, check_fn=lambda module: type(module).__name__ == "BasicBlock")
    assert type(model.backbone.body.layer1[0]).__name__ == "CheckpointWrapper"
    assert adept_hub.load_into(model, folder).loaded == 200
    assert torch.equal(model.backbone.body.layer1[0].conv1.weight, parts.backbone.layer1[0].conv1.weight)


def fsdp2() -> Callable[..., nn.Module]:
    """torch's fully_shard, which has a public name since 2.6."""
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        from torch.distributed._composable.fsdp import fully_shard
    return fully_shard


def sharded(model: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh

    fully_shard = fsdp2()
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(model.roi_heads.box_head, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def full(model: nn.Module) -> dict[str, Tensor]:
    return {key: t.full_tensor() if hasattr(t, "full_tensor") else t for key, t in model.state_dict().items()}


def test_fsdp2(make_checkpoint, process_group: None) -> None:
    folder, _, parts = make_checkpoint()
    model = sharded(mine())
    assert type(model.rpn.head.cls_logits.weight).__name__ == "DTensor"
    report = adept_hub.load_into(model, folder)
    assert report.loaded == 200
    state = full(model)
    assert torch.equal(state["rpn.head.bbox_pred.weight"], parts.rpn.bbox_pred.weight)
    assert torch.equal(state["roi_heads.box_head.5.weight"], parts.head[5].weight)
    assert torch.equal(state["backbone.body.bn1.running_var"], parts.backbone.bn1.running_var)
    assert type(model.rpn.head.cls_logits.weight).__name__ == "DTensor"


def test_fsdp2_on_the_meta_device(make_checkpoint, process_group: None) -> None:
    """As large models are begun: sharded without memory, then given some, then loaded."""
    folder, _, parts = make_checkpoint()
    with torch.device("meta"):
        model = assemble_detector(DetectorParts(SMALL), 5)
    model = sharded(model)
    with pytest.raises(UnsupportedModelError, match=r"meta device.*\n.*to_empty"):
        adept_hub.load_into(model, folder)
    adept_hub.load_into(model.to_empty(device="cpu"), folder)
    assert torch.equal(full(model)["backbone.fpn.inner_blocks.0.0.weight"], parts.fpn.inner_blocks[0][0].weight)


def share_of(rank: int, folder: str, store: str) -> None:
    """One of two processes: loads, and compares its shards with slices made by hand."""
    from torch.distributed.device_mesh import init_device_mesh

    from adept_hub.checkpoint.folder import read_config, read_tensors

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        model = fsdp2()(mine(), mesh=init_device_mesh("cpu", (2,)))
        adept_hub.load_into(model, folder)
        tensors = read_tensors(Path(folder), read_config(Path(folder)))
        for key, name in (("rpn.bbox_pred.bias", "rpn.head.bbox_pred.bias"), ("rpn.cls_logits.bias", None)):
            whole = tensors[key]
            half = (len(whole) + 1) // 2  # FSDP2 gives the first process the larger share
            shard = model.get_parameter(name or "rpn.head.cls_logits.bias").to_local()
            assert torch.equal(shard, whole[:half] if rank == 0 else whole[half:]), (rank, key)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_fsdp2_in_two_processes(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    torch.multiprocessing.spawn(share_of, (str(folder), f"file://{tmp_path / 'two'}"), nprocs=2)


def test_fsdp1_and_zero_say_what_to_do(make_checkpoint, process_group: None) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    folder, _, _ = make_checkpoint()
    model = FullyShardedDataParallel(mine(), device_id=torch.device("cpu"))
    with pytest.raises(UnsupportedModelError, match=r"FSDP1.*\nLoad before wrapping: adept_hub\.load_into") as caught:
        adept_hub.load_into(model, folder)
    assert len(str(caught.value).splitlines()) == 2
    model = mine()
    model.rpn.head.cls_logits.weight.ds_id = 3
    refused(model, folder, r"ZeRO-3.*\nLoad before deepspeed")


# --- saving is loading the other way round ---------------------------------------------------------------------------


def test_wrapped_models_are_saved_as_the_plain_one(make_checkpoint, tmp_path: Path, process_group: None) -> None:
    folder, config, _ = make_checkpoint()
    model = adept_hub.load_pretrained(folder, num_classes=3)
    model.roi_heads.box_head[1] = torch.compile(model.roi_heads.box_head[1])
    for at, wrapped in enumerate((torch.compile(model), nn.parallel.DistributedDataParallel(model))):
        saved = adept_hub.save_pretrained(wrapped, tmp_path / str(at), name="adept_joint_r18_fpn32.again")
        assert (saved.sha256, saved.license) == (config.sha256, config.license)
        assert saved.provenance.starts[-1].sha256 == config.sha256
    with pytest.raises(UnsupportedModelError, match=r"are sharded.*\n.*full_state_dict=True"):
        adept_hub.save_pretrained(sharded(mine()), tmp_path / "shards", name="adept_joint_r18_fpn32.again")
    with torch.device("meta"):
        empty = assemble_detector(DetectorParts(SMALL), 5)
    with pytest.raises(UnsupportedModelError, match=r"meta device and have no values"):
        adept_hub.save_pretrained(empty, tmp_path / "empty", name="adept_joint_r18_fpn32.again")


# --- what no tensor shows ---------------------------------------------------------------------------------------------


def with_stride_in_1x1() -> nn.Module:
    """As Detectron2's stock ResNets have it, in torchvision's names."""
    model = assemble_detector(DetectorParts(DetectorSpec(50, 32, 32, 64)), 5)
    for stage in (model.backbone.body.layer2, model.backbone.body.layer3, model.backbone.body.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return model


@pytest.mark.parametrize("wrap", ["", "stage", "block", "model", "ddp"])
def test_a_stride_in_the_1x1_is_refused_by_load_into(make_checkpoint, process_group: None, wrap: str) -> None:
    folder, _, _ = make_checkpoint(DetectorSpec(50, 32, 32, 64))
    model = with_stride_in_1x1()
    if wrap == "stage":
        model.backbone.body.layer2 = torch.compile(model.backbone.body.layer2)
    elif wrap == "block":
        model.backbone.body.layer2[0] = torch.compile(model.backbone.body.layer2[0])
    elif wrap:
        model = torch.compile(model) if wrap == "model" else nn.parallel.DistributedDataParallel(model)
    refused(model, folder, r"strides in the 1x1 convolutions.*\nTo fix it: ")
    assert adept_hub.load_into(model, folder, parts=("fpn", "rpn", "head")).loaded > 0


def test_dilated_stages_are_refused_by_load_into(make_checkpoint) -> None:
    """As in DC5: the same tensors, and another network."""
    for depth in (18, 50):
        folder, _, _ = make_checkpoint(DetectorSpec(depth, 32, 32, 64))
        model = assemble_detector(DetectorParts(DetectorSpec(depth, 32, 32, 64)), 5)
        for block in model.backbone.body.layer4:
            block.conv2.dilation, block.conv2.padding = (2, 2), (2, 2)
        refused(model, folder, r"layer4\.0' is dilated.*\nTo fix it: omit replace_stride_with_dilation")
        model = assemble_detector(DetectorParts(DetectorSpec(depth, 32, 32, 64)), 5)
        first = model.backbone.body.layer4[0]
        (first.conv1 if depth == 18 else first.conv2).stride = (1, 1)
        refused(model, folder, r"layer4\.0' has a stride of 1, but the weights were trained with 2")
        shutil.rmtree(folder)


@pytest.mark.frameworks
def test_a_stock_detectron2_model_is_refused_by_load_into(make_checkpoint) -> None:
    """Every tensor of it fits but for the stride: norms, heads and RPN are as the weights need them."""
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    folder, _, _ = make_checkpoint(DetectorSpec(depth=50))
    cfg = model_zoo.get_config("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    cfg.merge_from_list([
        "MODEL.DEVICE", "cpu", "MODEL.FPN.NORM", "BN", "MODEL.ROI_BOX_HEAD.NORM", "BN",
        "MODEL.ROI_BOX_HEAD.NUM_CONV", 4, "MODEL.ROI_BOX_HEAD.NUM_FC", 1,
    ])  # fmt: skip
    model = build_model(cfg)
    refused(model, folder, r"set MODEL\.RESNETS\.STRIDE_IN_1X1 to False")
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    assert adept_hub.load_into(build_model(cfg), folder)["backbone"].loaded > 250
