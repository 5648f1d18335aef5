"""The schema of a checkpoint as frozen dataclasses, shared by config.json, the registry, the cards and the builders.

This module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

PARTS = ("backbone", "fpn", "rpn", "head")
METHODS = ("adept_joint", "adept_separate", "soco", "byol", "detection", "scratch")
#: Version of config.json, detector.json and the registry; 2 is the first with the Hub's spelling of keys.
FORMAT_VERSION = 2
DETECTORS = ("faster_rcnn", "mask_rcnn", "cascade_rcnn")
FRAMEWORKS = ("torchvision", "detectron2", "mmdet")
DEVICES = ("auto", "cpu", "cuda", "mps")

Part = Literal["backbone", "fpn", "rpn", "head"]
Norm = Literal["bn", "frozen_bn", "none"]

#: Metadata of a field that is written only if it differs from its default, so that files without it keep their content
#: and their digest.
OPTIONAL = {"omit_default": True}


@dataclass(frozen=True)
class AnchorSpec:
    """The RPN's anchors."""

    #: Square-root areas in pixels of the network's input, one per level of P2-P5 or P2-P6; P6's default is twice P5's.
    sizes: tuple[float, ...] = (24.0, 48.0, 96.0, 192.0)
    #: Height / width, in the order of the objectness and delta channels (channel = anchor * 4 + coordinate).
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    #: ``exact``: unrounded, at strides of 4, 8, ...; ``rounded``: torchvision's, rounded to whole pixels, at strides of
    #: the image's side over the map's.
    generator: Literal["exact", "rounded"] = field(default="exact", metadata=OPTIONAL)

    @property
    def with_p6(self) -> tuple[float, ...]:
        """Sizes of the anchors on P2-P6."""
        return self.sizes if len(self.sizes) > 4 else (*self.sizes, 2 * self.sizes[-1])

    def is_same(self, other: AnchorSpec) -> bool:
        """Check whether two specs describe the same anchors, P6's written out or not."""
        mine, theirs = ((spec.with_p6, spec.ratios, spec.generator) for spec in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class LevelSpec:
    """Scale-aware assignment of boxes to P2, P3, ... as in SoCo (section 3.1 of the paper)."""

    #: A box whose sqrt(w * h), in pixels of the view, is at most ``upper[i]`` is assigned to level i; the last level
    #: also takes all larger boxes.
    upper: tuple[float, ...] = (48.0, 96.0, 192.0, 224.0)


@dataclass(frozen=True)
class Preprocessing:
    """Normalization of the input: RGB in [0, 1], then (x - mean) / std per channel."""

    channel_order: Literal["rgb"] = "rgb"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DetectorSpec:
    """The architecture: by default ResNet (stride in the 3x3), FPN with norms, one-conv RPN, 4conv1fc RoI head.

    The fields after ``levels`` describe other projects' detectors, such as those with COCO weights.
    """

    #: Layers of the ResNet.
    depth: Literal[18, 34, 50, 101] = 50
    #: Channels of P2-P6.
    fpn_channels: int = 256
    #: Channels of the RoI head's four convolutions.
    head_conv_channels: int = 256
    #: Outputs of the RoI head's fully connected layer.
    head_fc_channels: int = 1024
    #: Kind of the norms in backbone, FPN and RoI head.
    norm: Literal["bn"] = "bn"
    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    levels: LevelSpec = field(default_factory=LevelSpec)
    #: Hidden convolutions in the RPN.
    rpn_convs: Literal[1, 2] = field(default=1, metadata=OPTIONAL)
    #: The RoI head: four convolutions and one fully connected layer, or two fully connected layers.
    head: Literal["4conv1fc", "2fc"] = field(default="4conv1fc", metadata=OPTIONAL)
    #: Norms of the backbone; ``frozen_bn``: statistics, gains and biases are constants.
    backbone_norm: Literal["bn", "frozen_bn"] = field(default="bn", metadata=OPTIONAL)
    #: Norms of the FPN.
    fpn_norm: Norm = field(default="bn", metadata=OPTIONAL)
    #: Norms behind the convolutions of the RoI head.
    head_norm: Norm = field(default="bn", metadata=OPTIONAL)
    #: Strides of a bottleneck in its first 1x1 convolution instead of its 3x3 (Detectron2's and Caffe's ResNets).
    stride_in_1x1: bool = field(default=False, metadata=OPTIONAL)
    #: RoIAlign: ``aligned`` with adaptive sampling, or ``unaligned``, torchvision's: not shifted by half a pixel, 2 x 2
    #: samples.
    pooling: Literal["aligned", "unaligned"] = field(default="aligned", metadata=OPTIONAL)

    #: Convolutions in the RoI head ``4conv1fc``; fixed, since every key table names them.
    HEAD_CONVS: ClassVar[int] = 4
    #: Side of the pooled RoI features.
    ROI_SIZE: ClassVar[int] = 7

    @property
    def stage_channels(self) -> tuple[int, int, int, int]:
        """Number of channels of the backbone's C2-C5."""
        return (256, 512, 1024, 2048) if self.depth >= 50 else (64, 128, 256, 512)

    @property
    def head_layers(self) -> tuple[int, int]:
        """Number of convolutions and of fully connected layers of the RoI head."""
        return (self.HEAD_CONVS, 1) if self.head == "4conv1fc" else (0, 2)

    def differences(self) -> tuple[str, ...]:
        """Return the properties that differ from the default architecture, in words, apart from depth and widths."""
        return tuple(
            words
            for name, value, words in _DIFFERENCES
            if value == (self.anchors.generator if name == "generator" else getattr(self, name))
        )

    def thawed(self) -> DetectorSpec:
        """Return the architecture for random values, with trainable norms instead of frozen ones.

        Frozen norms have no use without measured statistics.
        """
        norms = {f"{part}_norm": getattr(self, f"{part}_norm") for part in ("backbone", "fpn", "head")}
        return replace(self, **{name: "bn" for name, norm in norms.items() if norm == "frozen_bn"})  # type: ignore[arg-type]

    @property
    def anchors_per_location(self) -> int:
        """Number of anchors per location of each level."""
        return len(self.anchors.ratios)


#: Field, value and its description.
_DIFFERENCES = (
    ("backbone_norm", "frozen_bn", "frozen batch norms in the backbone"),
    ("stride_in_1x1", True, "strides in the 1x1 convolutions"),
    ("fpn_norm", "frozen_bn", "frozen batch norms in the FPN"),
    ("fpn_norm", "none", "no norms in the FPN"),
    ("rpn_convs", 2, "two convolutions in the RPN"),
    ("generator", "rounded", "anchors rounded to whole pixels"),
    ("head", "2fc", "a RoI head of two fc layers"),
    ("head_norm", "frozen_bn", "frozen batch norms in the RoI head"),
    ("head_norm", "none", "no norms in the RoI head"),
    ("pooling", "unaligned", "RoIAlign that is not aligned, with 2 x 2 samples"),
)


@dataclass(frozen=True)
class Metric:
    """One metric and where its value comes from."""

    name: str
    value: float
    #: The images on which it was measured.
    data: str
    provenance: Literal["paper-reported", "reproduced", "self-reported"]
    #: The command that measured it.
    command: str = ""
    #: Standard deviation or interval over seeds, as text.
    spread: str = ""


@dataclass(frozen=True)
class Start:
    """A checkpoint that training started from: its name, the SHA-256 of its weights and their license."""

    name: str
    sha256: str
    license: str


@dataclass(frozen=True)
class Provenance:
    """Provenance of the weights: method, data, recipe and the chain of checkpoints that training started from."""

    #: The pre-training method.
    method: str
    #: The images, in words.
    data: str
    #: Number of images.
    images: int
    epochs: float
    #: Which of BYOL's two networks was exported.
    exported_network: Literal["target", "online", "none"]
    #: Algorithm, preset and digest of the proposals.
    proposals: dict[str, Any] = field(default_factory=dict)
    #: The complete recipe, and the digest of its content.
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_sha256: str = ""
    #: Hardware and libraries of the run, in words.
    trained_on: str = ""
    metrics: tuple[Metric, ...] = ()
    #: Limitations of these particular weights, one sentence each.
    notes: tuple[str, ...] = ()
    #: The chain of checkpoints that training started from, the oldest first and the direct start last; empty if
    #: training started from random values.
    starts: tuple[Start, ...] = ()
    #: Whether the user claims the right to grant another license than the direct start's.
    relicensed: bool = False
    #: Whether labels were used, in this training or in one of the starts; null if unknown.
    labeled: bool | None = False
    #: Share of random initial values that remains in the weights due to the momentum of a target network, in [0, 1];
    #: null if unknown.
    random_share: float | None = None

    @property
    def labels(self) -> Literal["used", "not used", "unknown"]:
        """Whether labels were used anywhere in the chain, in words."""
        return "unknown" if self.labeled is None else "used" if self.labeled else "not used"


@dataclass(frozen=True)
class CheckpointConfig:
    """The content of config.json."""

    #: ``architecture.tag``.
    name: str
    spec: DetectorSpec
    provenance: Provenance
    #: A license identifier, or ``unstated``.
    license: str
    #: SHA-256 of model.safetensors.
    sha256: str
    #: Bytes of model.safetensors.
    size: int
    #: The parts that the file contains; SoCo's has no ``rpn``.
    parts: tuple[str, ...] = PARTS
    #: Data type of the stored weights; they are loaded as float32.
    stored_dtype: Literal["float32", "float16"] = "float32"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    #: Whether the file has a class-agnostic box regressor behind the RoI head too: ``head.bbox_pred.weight``
    #: (4, head_fc_channels) and ``.bias``, whose outputs are dx, dy, dw and dh with weights of 10, 10, 5 and 5.
    box_regressor: bool = field(default=False, metadata=OPTIONAL)
    format_version: int = FORMAT_VERSION

    def as_starts(self) -> tuple[Start, ...]:
        """Return the starts of a model that is trained from this checkpoint: its own starts, then itself."""
        return (*self.provenance.starts, Start(self.name, self.sha256, self.license))
