"""The type of a framework: everything specific to torchvision, Detectron2 or MMDetection in one value.

Functions of `adept_hub.convert` take such a value instead of a name; the values are in `adept_hub.frameworks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from adept_hub.convert.facts import Facts
from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.convert.options import CASCADE_STAGES, Detector, Target
from adept_hub.convert.structure import Layout, Shapes, read_structure
from adept_hub.spec import CheckpointConfig, DetectorSpec


class KeyPatterns(NamedTuple):
    """Regular expressions for tensor names by which a framework's detectors are recognized.

    Attributes:
        marker: a name in every detector of the framework, with any options.
        two_stage: names that only its two-stage detectors with an FPN have, each at least once.
        cascade: a name in a Cascade R-CNN's predictors.
        mask: a name in a mask head.
        without_fpn: names in detectors without an FPN, and the description of each such detector.
    """

    marker: str
    two_stage: tuple[str, ...]
    cascade: str
    mask: str
    without_fpn: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class InferenceSettings:
    """Inference settings of a fine-tuned detector, for the config of its export.

    Attributes:
        classes: names of the classes, without the background.
        masks: whether it is a Mask R-CNN.
        anchors: square-root areas of the anchors on P2-P6, pixels of the network's input.
        side: shorter side of the resized images, pixels.
        longest: maximum of the longer side, pixels.
        proposals: number of the RPN's proposals per image.
        score: minimum score of a detection.
        detections: maximum number of detections per image.
        predictor: source of a class for the predictors and the lines that install it; empty for linear ones.
    """

    classes: tuple[str, ...]
    masks: bool
    anchors: tuple[float, ...]
    side: int
    longest: int
    proposals: int
    score: float
    detections: int
    predictor: tuple[str, str] = ("", "")


@dataclass(frozen=True, eq=False)
class Framework:
    """One framework: its names of tensors, its files and its conventions.

    Attributes:
        name: the name that a user types.
        body: names of backbone, FPN and RPN.
        head: names of the RoI head inside ``box_head``: four convolutions and a fully connected layer.
        two_fc: names of a RoI head of two fully connected layers inside ``box_head``.
        deep_rpn: names of the RPN's convolutions if it has two of them.
        box_head: module of the RoI head; a Cascade's stages are numbered below it.
        fresh: patterns of names in no pre-trained part: predictors, mask head, buffers.
        box_predictor: names of the classifier and the box regressor; ``{stage}`` is replaced for Cascade only.
        mask_head: names of the mask head and its predictor.
        buffers: patterns of names that a state dict may have besides weights.
        background_first: whether the background is the first class of all predictors; otherwise it is the last class
            of the classifier only.
        layout: the modules from which a detector's structure is read.
        patterns: the names by which a detector is recognized.
        counted_norms: parts whose frozen norms keep the batch counter.
        stock: facts of the framework's Faster R-CNN R50-FPN config.
        config_suffixes: suffixes of the config files that ``read_config`` reads; empty if the framework has none.
        config_kind: the usual suffix, for messages.
        read_config: return the facts of a config file; the second argument allows executing a Python file.
        read_pixels: return the preprocessing facts of a module that normalizes images; None for any other module.
        none_frozen: the value of the configs' option for no frozen stages.
        pixel_scale: the maximum pixel value, 1 or 255.
        remedies: the remedy for each disagreement; ``{want}`` is the value that the weights need.
        anchor_setting: return the setting for anchors of the given sizes on P2-P6.
        weights_file, config_file: names of the files of an export.
        write_config: return the config's text, from the checkpoint's config, the target, the path of the weights, the
            exported parts and, for a fine-tuned detector, its settings.
        wrap: return the top-level object of a weights file, from the state dict and the classes, if any.
        holds_source: whether the config is a Python module, which can define a custom predictor.
        next_steps: return the commands that fine-tune from an export in a folder.
    """

    name: str
    body: tuple[KeyRow, ...]
    head: tuple[KeyRow, ...]
    two_fc: tuple[KeyRow, ...]
    deep_rpn: tuple[KeyRow, ...]
    box_head: str
    fresh: tuple[str, ...]
    box_predictor: tuple[KeyRow, ...]
    mask_head: tuple[KeyRow, ...]
    buffers: tuple[str, ...]
    background_first: bool
    layout: Layout
    patterns: KeyPatterns
    counted_norms: tuple[str, ...]
    stock: Facts
    config_suffixes: tuple[str, ...]
    config_kind: str
    read_config: Callable[[Path, bool], Facts]
    read_pixels: Callable[[nn.Module], Facts | None]
    none_frozen: int
    pixel_scale: int
    remedies: Mapping[str, str]
    anchor_setting: Callable[[tuple[float, ...]], str]
    weights_file: str
    config_file: str
    write_config: Callable[[CheckpointConfig, Target, str, Iterable[str], InferenceSettings | None], str]
    wrap: Callable[[Mapping[str, Tensor], tuple[str, ...]], dict[str, Any]]
    holds_source: bool
    next_steps: Callable[[Path], str]

    def key_table(self, detector: Detector = "faster_rcnn", spec: DetectorSpec | None = None) -> KeyTable:
        """Return the two-way key table of one detector, for the RPN and the RoI head of ``spec``.

        Raises:
            UnsupportedDetectorError: the detector is not supported.
        """
        cascade = Target(detector=detector).detector == "cascade_rcnn"
        heads = [f"{self.box_head}.{stage}" for stage in range(CASCADE_STAGES)] if cascade else [self.box_head]
        box_head = self.two_fc if spec is not None and spec.head == "2fc" else self.head
        rows = (KeyRow(kind, name, f"{head}.{inside}") for head in heads for kind, name, inside in box_head)
        body = self.body
        if spec is not None and spec.rpn_convs == 2:
            body = (*(row for row in body if not row.canonical.startswith("rpn.conv.")), *self.deep_rpn)
        return KeyTable(self.name, (*body, *rows), self.fresh)

    def read_shape(self, shapes: Shapes) -> DetectorSpec:
        """Return a spec with the RPN and the RoI head of a detector's tensors, for `key_table`; the rest are defaults.

        Args:
            shapes: shapes of the tensors, by the framework's names.
        """
        has = read_structure(shapes, self.layout)
        two_fc = (has.head_convs, has.head_fcs) == (0, 2)
        return DetectorSpec(
            rpn_convs=2 if has.rpn_convs == 2 else 1,
            head="2fc" if two_fc else "4conv1fc",
            head_norm="none" if two_fc else "bn",
        )

    def remedy(self, code: str, **values: object) -> str:
        """Return the remedy for one disagreement, with its values."""
        return self.remedies[code].format(**values)


class Recognized(NamedTuple):
    """The framework and detector of a model, and a wrapper's prefix of its keys, such as ``module.``."""

    framework: Framework
    detector: Detector
    prefix: str
