"""What a checkpoint is, in frozen dataclasses: the source for config.json, the registry, the cards and the builders.

Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

PARTS = ("backbone", "fpn", "rpn", "head")
METHODS = ("adept_joint", "adept_separate", "soco", "byol", "scratch")
#: Of config.json, detector.json and the registry; 2 is the first whose keys are spelled as the Hub spells them.
FORMAT_VERSION = 2
DETECTORS = ("faster_rcnn", "mask_rcnn", "cascade_rcnn")
FRAMEWORKS = ("torchvision", "detectron2", "mmdet")

Part = Literal["backbone", "fpn", "rpn", "head"]


@dataclass(frozen=True)
class AnchorSpec:
    """The RPN's anchors."""

    #: Square-root areas in pixels of the network's input, one per pyramid level.
    sizes: tuple[float, ...] = (24.0, 48.0, 96.0, 192.0)
    #: Height / width, in the order of the objectness and delta channels (channel = anchor * 4 + coordinate).
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class LevelSpec:
    """Scale-aware assignment of boxes to P2, P3, ... as in SoCo (section 3.1 of the paper)."""

    #: A box whose sqrt(w * h), in pixels of its own view, is at most ``upper[i]`` belongs to level i; the last is open.
    upper: tuple[float, ...] = (48.0, 96.0, 192.0, 224.0)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input: RGB in [0, 1], then (x - mean) / std, channel by channel."""

    channel_order: Literal["rgb"] = "rgb"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DetectorSpec:
    """The canonical architecture: ResNet (stride in the 3x3), FPN with norms, one-conv RPN, 4conv1fc RoI head."""

    #: Layers of the ResNet.
    depth: Literal[18, 34, 50, 101] = 50
    #: Channels of P2-P6.
    fpn_channels: int = 256
    #: Channels of the RoI head's four convolutions.
    head_conv_channels: int = 256
    #: Outputs of the RoI head's fully connected layer.
    head_fc_channels: int = 1024
    #: Batch norm in backbone, FPN and RoI head.
    norm: Literal["bn"] = "bn"
    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    levels: LevelSpec = field(default_factory=LevelSpec)

    #: Convolutions in the RoI head; fixed, since every key table names them.
    HEAD_CONVS: ClassVar[int] = 4
    #: Side of the pooled RoI features.
    ROI_SIZE: ClassVar[int] = 7

    @property
    def stage_channels(self) -> tuple[int, int, int, int]:
        """Channels of the backbone's C2-C5."""
        return (256, 512, 1024, 2048) if self.depth >= 50 else (64, 128, 256, 512)

    @property
    def anchors_per_location(self) -> int:
        """Anchors at each place of each level."""
        return len(self.anchors.ratios)


@dataclass(frozen=True)
class Metric:
    """One measured figure and where it comes from."""

    name: str
    value: float
    #: The images that it was measured on.
    data: str
    provenance: Literal["paper-reported", "reproduced", "self-reported"]
    #: The command that measured it.
    command: str = ""
    #: Standard deviation or interval over seeds, as text.
    spread: str = ""


@dataclass(frozen=True)
class Start:
    """A checkpoint that training started from: its name, the SHA-256 of its weights, and the license they had."""

    name: str
    sha256: str
    license: str


@dataclass(frozen=True)
class Provenance:
    """How the weights came to be."""

    #: The pre-training method.
    method: str
    #: The images, in words.
    data: str
    #: Number of images.
    images: int
    epochs: float
    #: Which of BYOL's two networks the file holds.
    exported_network: Literal["target", "online", "none"]
    #: Algorithm, preset and digest of the proposals.
    proposals: dict[str, Any] = field(default_factory=dict)
    #: The whole recipe, and the digest of its content.
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_sha256: str = ""
    #: Hardware and libraries of the run, in words.
    trained_on: str = ""
    metrics: tuple[Metric, ...] = ()
    #: Limitations of these very weights, one sentence each.
    notes: tuple[str, ...] = ()
    #: The whole chain of checkpoints that the weights go back to, the oldest first and the direct start last; empty if
    #: they started from random values.
    starts: tuple[Start, ...] = ()
    #: A person claimed the right to grant another license than the direct start's.
    relicensed: bool = False
    #: Labels were trained on, here or in one of the starts.
    labeled: bool = False
    #: Share of random initial values that remains in the weights, by the momentum of a target network, in [0, 1]; null
    #: where it is unknown.
    random_share: float | None = None


@dataclass(frozen=True)
class CheckpointConfig:
    """The whole of config.json."""

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
    #: The parts that the file holds; SoCo's has no ``rpn``.
    parts: tuple[str, ...] = PARTS
    #: Type of the stored weights; they are loaded as float32.
    stored_dtype: Literal["float32", "float16"] = "float32"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    format_version: int = FORMAT_VERSION

    def as_starts(self) -> tuple[Start, ...]:
        """Return the chain of starts of what is trained from this checkpoint: its own, and itself."""
        return (*self.provenance.starts, Start(self.name, self.sha256, self.license))
