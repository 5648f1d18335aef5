"""The type of a layout: one project's names of tensors, and the settings of its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from adept_hub.convert.framework import Framework
from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.spec import AnchorSpec, DetectorSpec, LevelSpec, Preprocessing

Network = Literal["online", "target", "none"]


@dataclass(frozen=True)
class DetectorKind:
    """Properties of a project's whole detectors that their tensors do not show.

    Attributes:
        framework: its names of tensors.
        specs: the architectures, apart from widths and depth, of files of this kind.
        classes: classes of the published files, with the background.
        bgr: whether the input is BGR; the first convolution is then changed to RGB.
        eps: epsilon of the frozen norms.
        older: names in older files.
        frozen_note: a remark for files with frozen norms.
    """

    framework: Framework
    specs: tuple[DetectorSpec, ...]
    classes: int
    bgr: bool = False
    eps: float = 1e-5
    older: tuple[KeyRow, ...] = ()
    frozen_note: str = ""


@dataclass(frozen=True)
class ForeignLayout:
    """One project's names of tensors, and the settings of its training.

    Attributes:
        about: a description of the files.
        table: canonical names and the project's; ``fresh`` lists what is dropped.
        marker: a key in every such file.
        network: which of the two networks is imported, if there are two.
        parts: the parts that a file can have.
        anchors: the anchors of the RPN, if any.
        levels: the level assignment of the RoI head.
        preprocessing: the preprocessing of the images.
        note: a limitation, for the card.
        labeled: whether labels were used in training; None: files of both kinds have these names.
        data: the training data of the published files, in words.
        license: the license of the published files.
        detector: the kind of detector, if the files are whole ones.
    """

    about: str
    table: KeyTable
    marker: str
    network: Network = "none"
    parts: tuple[str, ...] = ("backbone",)
    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    levels: LevelSpec = field(default_factory=LevelSpec)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    note: str = ""
    labeled: bool | None = False
    data: str = "unknown"
    license: str = "unknown"
    detector: DetectorKind | None = None
