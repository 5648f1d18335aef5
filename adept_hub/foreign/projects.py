"""Layouts of other projects' checkpoints: SoCo's and AlignDet's detectors, and common ResNet backbones.

The names are taken from each project's classes; docs/frameworks.md lists the layouts that were tested with real files.
Each table also lists what it drops (heads, queues, the other network); any other key raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from adept_hub.convert.keymap import KeyRow, KeyTable, Kind
from adept_hub.foreign.detectors import DETECTOR_LAYOUTS
from adept_hub.foreign.layout import ForeignLayout
from adept_hub.frameworks import DETECTRON2, MMDET
from adept_hub.spec import PARTS, AnchorSpec, LevelSpec, Preprocessing


def _resnet(prefix: str) -> tuple[KeyRow, ...]:
    """Return torchvision's names of a ResNet, which most of these projects use, with a prefix."""
    return (
        KeyRow("conv", "backbone.conv1", f"{prefix}conv1"),
        KeyRow("norm", "backbone.bn1", f"{prefix}bn1"),
        KeyRow("conv", "backbone.layer{}.{}.conv{}", f"{prefix}layer{{}}.{{}}.conv{{}}"),
        KeyRow("norm", "backbone.layer{}.{}.bn{}", f"{prefix}layer{{}}.{{}}.bn{{}}"),
        KeyRow("conv", "backbone.layer{}.{}.downsample.0", f"{prefix}layer{{}}.{{}}.downsample.0"),
        KeyRow("norm", "backbone.layer{}.{}.downsample.1", f"{prefix}layer{{}}.{{}}.downsample.1"),
    )


def _soco(suffix: str) -> tuple[KeyRow, ...]:
    neck, head = f"module.neck{suffix}.", f"module.head{suffix}."
    return (
        *_resnet(f"module.encoder{suffix}."),
        KeyRow("conv", "fpn.inner_blocks.{}.0", f"{neck}lateral_convs.{{}}.conv"),
        KeyRow("norm", "fpn.inner_blocks.{}.1", f"{neck}lateral_convs.{{}}.bn"),
        KeyRow("conv", "fpn.layer_blocks.{}.0", f"{neck}fpn_convs.{{}}.conv"),
        KeyRow("norm", "fpn.layer_blocks.{}.1", f"{neck}fpn_convs.{{}}.bn"),
        KeyRow("conv", "head.0.0", f"{head}conv1"),
        KeyRow("norm", "head.0.1", f"{head}bn1"),
        KeyRow("conv", "head.1.0", f"{head}conv2"),
        KeyRow("norm", "head.1.1", f"{head}bn2"),
        KeyRow("conv", "head.2.0", f"{head}conv3"),
        KeyRow("norm", "head.2.1", f"{head}bn3"),
        KeyRow("conv", "head.3.0", f"{head}conv4"),
        KeyRow("norm", "head.3.1", f"{head}bn4"),
        KeyRow("linear", "head.5", f"{head}fc1"),
    )


def _aligndet(prefix: str) -> tuple[KeyRow, ...]:
    """Return the names of an MMDetection detector, with a wrapper's prefix; its FPN and head have no norms."""
    rows = MMDET.key_table().rows
    return tuple(KeyRow(kind, name, f"{prefix}{target}") for kind, name, target in rows)


_IN_STAGE: tuple[tuple[Kind, str], ...] = (
    ("conv", "conv{}"),
    ("norm", "bn{}"),
    ("conv", "downsample.0"),
    ("norm", "downsample.1"),
)
#: In yaox12/BYOL-PyTorch torchvision's ResNet is a Sequential: conv1, bn1, relu, maxpool, layer1, ...
_SEQUENCE = "module.online_network.encoder."
_BYOL_PYTORCH = (
    KeyRow("conv", "backbone.conv1", f"{_SEQUENCE}0"),
    KeyRow("norm", "backbone.bn1", f"{_SEQUENCE}1"),
    *(
        KeyRow(kind, f"backbone.layer{stage}.{{}}.{name}", f"{_SEQUENCE}{stage + 3}.{{}}.{name}")
        for stage in (1, 2, 3, 4)
        for kind, name in _IN_STAGE
    ),
)

#: Separius/SimCLRv2-Pytorch, resnet.py: ResNets without selective kernels, whose files are r50_1x_sk0.pth and so on.
_BLOCK, _INSIDE = "backbone.layer{}.{}", "net.{}.blocks.{}"
_SIMCLR_V2 = (
    KeyRow("conv", "backbone.conv1", "net.0.0"),
    KeyRow("norm", "backbone.bn1", "net.0.1.0"),
    KeyRow("conv", f"{_BLOCK}.conv1", f"{_INSIDE}.net.0"),
    KeyRow("norm", f"{_BLOCK}.bn1", f"{_INSIDE}.net.1.0"),
    KeyRow("conv", f"{_BLOCK}.conv2", f"{_INSIDE}.net.2"),
    KeyRow("norm", f"{_BLOCK}.bn2", f"{_INSIDE}.net.3.0"),
    KeyRow("conv", f"{_BLOCK}.conv3", f"{_INSIDE}.net.4"),
    KeyRow("norm", f"{_BLOCK}.bn3", f"{_INSIDE}.net.5.0"),
    KeyRow("conv", f"{_BLOCK}.downsample.0", f"{_INSIDE}.projection.shortcut"),
    KeyRow("norm", f"{_BLOCK}.downsample.1", f"{_INSIDE}.projection.bn.0"),
)

#: Names of a ResNet from ``convert-pretrain-to-detectron2.py`` of MoCo, DenseCL and DetCo.
_DETECTRON2 = tuple(
    row._replace(target=row.target.removeprefix("backbone.bottom_up."))
    for row in DETECTRON2.body
    if row.canonical.startswith("backbone.")
)

_SOCO_HEADS = r"module\.(projector|predictor)(_k)?\..*"
_ALIGNDET_HEADS = r"roi_head\.(bbox_head\.fc_(cls|reg)|mask_head)\..*"
_ALIGNDET_TWINS = r"(online|target)_backbone\..*"
#: AlignDet was trained with MMDetection's anchors and level assignment: 112, 224 and 448 px.
_MMDET_ANCHORS = AnchorSpec((32.0, 64.0, 128.0, 256.0))
_MMDET_LEVELS = LevelSpec((112.0, 224.0, 448.0, 896.0))
_NO_NORMS = (
    "The original FPN and RoI head have no batch norms; the added ones leave the outputs unchanged in evaluation mode, "
    "but use batch statistics in training mode."
)
#: SimCLR's code trains on pixels in [0, 1] without normalization.
_RAW = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
_PLAIN = KeyTable("ResNet", _resnet(""), (r"fc\..*",))


def _plain(
    about: str, preprocessing: Preprocessing | None = None, note: str = "", labeled: bool | None = False
) -> ForeignLayout:
    pixels = preprocessing or Preprocessing()
    return ForeignLayout(about, _PLAIN, "conv1.weight", preprocessing=pixels, note=note, labeled=labeled)


FOREIGN_LAYOUTS: Mapping[str, ForeignLayout] = {
    "torchvision": _plain("torchvision's own ResNets, supervised", labeled=True),
    "timm": _plain("timm's ResNets (resnet18, resnet34, resnet50, resnet101), supervised", labeled=True),
    "byol": _plain(
        "BYOL, DeepMind's weights as chigur/byol-convert writes them",
        note="DeepMind's BYOL pads strided convolutions only at the right and bottom ('SAME'), this ResNet on all "
        "sides, so that features are shifted relative to the published network's.",
    ),
    "simclr": _plain("SimCLR, Google's weights as tonylins/simclr-converter writes them: pixels in [0, 1]", _RAW),
    "densecl": _plain("DenseCL, as its tools/extract_backbone_weights.py writes it"),
    "detco": _plain("DetCo, before the conversion to Detectron2"),
    "resnet": _plain("any ResNet with torchvision's names, trained with ImageNet's mean and std", labeled=None),
    "vissl": ForeignLayout(
        "VISSL's ResNets (SimCLR, SwAV, MoCo, ...): the trunk",
        KeyTable("vissl", _resnet("_feature_blocks.")),
        marker="_feature_blocks.conv1.weight",
        labeled=None,  # its model zoo has supervised ones, too
    ),
    "simclr-v2": ForeignLayout(
        "SimCLR and SimCLRv2, Google's weights as Separius/SimCLRv2-Pytorch writes them: pixels in [0, 1]",
        KeyTable("simclr-v2", _SIMCLR_V2, (r"fc\..*",)),
        marker="net.0.0.weight",
        labeled=None,  # Google's files are pre-trained, fine-tuned and supervised ones
        preprocessing=_RAW,
    ),
    "byol-pytorch": ForeignLayout(
        "BYOL, a training file of yaox12/BYOL-PyTorch (the online network)",
        KeyTable(
            "byol-pytorch",
            _BYOL_PYTORCH,
            (r"module\.online_network\.projetion\..*", r"module\.(target_network|predictor)\..*"),
        ),
        marker=f"{_SEQUENCE}0.weight",
        network="online",
    ),
    "detectron2-backbone": ForeignLayout(
        "a ResNet with Detectron2's names, as the converters of MoCo, DenseCL and DetCo write it",
        KeyTable("detectron2-backbone", _DETECTRON2, (r"(stem\.)?fc\..*",)),
        marker="stem.conv1.weight",
        labeled=None,  # Detectron2's own ImageNet weights have these names
    ),
    "moco": ForeignLayout(
        "MoCo v1 and v2, and projects based on them (the query encoder)",
        KeyTable("moco", _resnet("module.encoder_q."), (r"module\.encoder_q\.fc\..*", r"module\.(encoder_k|queue).*")),
        marker="module.encoder_q.conv1.weight",
        network="online",
    ),
    "moco-v3": ForeignLayout(
        "MoCo v3 (the base encoder)",
        KeyTable(
            "moco-v3",
            _resnet("module.base_encoder."),
            (r"module\.base_encoder\.fc\..*", r"module\.(momentum_encoder|predictor)\..*"),
        ),
        marker="module.base_encoder.conv1.weight",
        network="online",
    ),
    "swav": ForeignLayout(
        "SwAV and DeepCluster-v2",
        KeyTable("swav", _resnet("module."), (r"module\.(projection_head|prototypes)\..*",)),
        marker="module.conv1.weight",
    ),
    "openselfsup": ForeignLayout(
        "OpenSelfSup and MMSelfSup training files: DenseCL, BYOL, SimCLR, MoCo",
        KeyTable(
            "openselfsup",
            _resnet("backbone."),
            (r"(encoder_q|encoder_k|online_net|target_net|neck|head)\..*", r"queue2?(_ptr)?"),
        ),
        marker="backbone.conv1.weight",
        network="online",
        labeled=None,  # MMPretrain's classifiers have these names
    ),
    "soco": ForeignLayout(
        "SoCo with FPN, its online network, which its own converters use",
        KeyTable("soco", _soco(""), (_SOCO_HEADS, r"module\.(encoder|neck|head)_k\..*")),
        marker="module.encoder.conv1.weight",
        network="online",
        parts=("backbone", "fpn", "head"),
    ),
    "soco-target": ForeignLayout(
        "SoCo with FPN, its target network",
        KeyTable("soco-target", _soco("_k"), (_SOCO_HEADS, r"module\.(encoder|neck|head)\..*")),
        marker="module.encoder_k.conv1.weight",
        network="target",
        parts=("backbone", "fpn", "head"),
    ),
    "aligndet": ForeignLayout(
        "AlignDet's Mask R-CNN, a training file: its online network (norm-free FPN and head become identity norms)",
        KeyTable(
            "aligndet", _aligndet("backbone."), (rf"backbone\.{_ALIGNDET_HEADS}", r"(online|target)_backbone\..*")
        ),
        marker="backbone.backbone.conv1.weight",
        network="online",
        parts=PARTS,
        labeled=None,  # of the frozen backbone
        anchors=_MMDET_ANCHORS,
        levels=_MMDET_LEVELS,
        note=_NO_NORMS,
    ),
    "aligndet-detector": ForeignLayout(
        "AlignDet's Mask R-CNN, as its tools/model_converters/extract_detector_weights.py writes it",
        KeyTable("aligndet-detector", _aligndet(""), (_ALIGNDET_HEADS,)),
        marker="rpn_head.rpn_conv.weight",
        network="online",
        parts=PARTS,
        labeled=None,
        anchors=_MMDET_ANCHORS,
        levels=_MMDET_LEVELS,
        note=_NO_NORMS,
    ),
    **DETECTOR_LAYOUTS,
}
