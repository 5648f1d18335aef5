"""The type of a framework: everything that the library knows of torchvision, Detectron2 or MMDetection, as one value.

Functions of `adept_hub.convert` take such a value and never a name; the values are in `adept_hub.frameworks`.
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
from adept_hub.convert.structure import Layout
from adept_hub.spec import CheckpointConfig


class KeyPatterns(NamedTuple):
    """Regular expressions of tensor names by which a framework's detectors are recognized.

    Attributes:
        marker: a name that every detector of the framework has, whatever its options.
        two_stage: names that only its two-stage detectors with an FPN have, each at least once.
        cascade: a name of a Cascade R-CNN's predictors.
        mask: a name of a mask head.
        without_fpn: names of detectors without an FPN, and what each of those is called.
    """

    marker: str
    two_stage: tuple[str, ...]
    cascade: str
    mask: str
    without_fpn: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class InferenceSettings:
    """How a fine-tuned detector is tested, for the config of its export.

    Attributes:
        classes: names of its classes, without the background.
        masks: whether it is a Mask R-CNN.
        anchors: square-root areas of its anchors on P2-P6, pixels of the network's input.
        side: the shorter side that images are resized to, pixels.
        longest: the longer side at most, pixels.
        proposals: kept of the RPN, per image.
        score: lowest score of a detection.
        detections: kept at most, per image.
        predictor: source of a class for its predictors and the lines that put it in place; empty for linear ones.
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
    """One framework's names, files and habits.

    Attributes:
        name: what a user types.
        body: names of backbone, FPN and RPN.
        head: names of the RoI head inside ``box_head``.
        box_head: module of the RoI head; a Cascade's stages are numbered below it.
        fresh: patterns of the names that no pre-trained part holds: predictors, mask head, buffers.
        box_predictor: names of the classifier and the box regressor; ``{stage}`` is filled in for Cascade only.
        mask_head: names of the mask head and its predictor.
        buffers: patterns of names that a state may hold besides weights.
        background_first: whether the background is the first class of the predictors; otherwise the last class of the
            classifier alone.
        layout: the modules that show how a detector is built.
        patterns: the names by which a detector is recognized.
        counted_norms: parts whose frozen norms keep the counter of batches.
        stock: facts of its own Faster R-CNN R50-FPN config.
        config_suffixes: of the config files that ``read_config`` reads; empty if the framework has none.
        config_kind: the usual suffix, for messages.
        read_config: facts of a config file; the second argument allows to run a Python file.
        read_pixels: facts of the pixels of a module that normalizes images; None for any other module.
        none_frozen: the number that its configs use for no frozen stage.
        pixel_scale: the largest value of its pixels, 1 or 255.
        remedies: what to change for each disagreement; ``{want}`` is the value that the weights need.
        anchor_setting: how its configs write anchors of these sizes on P2-P6.
        weights_file, config_file: names of the files of an export.
        write_config: text of the config, from the checkpoint's config, the target, the path of the weights and the
            exported parts.
        finish_config: the text with the settings of a fine-tuned detector.
        wrap: what it expects at the top of a file of weights, from the state dict and the classes, if any.
        holds_source: whether its config is a module of Python that can define a predictor of its own.
        next_steps: what to type to fine-tune with an export in a folder.
    """

    name: str
    body: tuple[KeyRow, ...]
    head: tuple[KeyRow, ...]
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
    write_config: Callable[[CheckpointConfig, Target, str, Iterable[str]], str]
    finish_config: Callable[[str, InferenceSettings], str]
    wrap: Callable[[Mapping[str, Tensor], tuple[str, ...]], dict[str, Any]]
    holds_source: bool
    next_steps: Callable[[Path], str]

    def key_table(self, detector: Detector = "faster_rcnn") -> KeyTable:
        """Return the two-way key table of one detector.

        Raises:
            UnsupportedDetectorError: the detector is unknown.
        """
        cascade = Target(detector=detector).detector == "cascade_rcnn"
        heads = [f"{self.box_head}.{stage}" for stage in range(CASCADE_STAGES)] if cascade else [self.box_head]
        rows = (KeyRow(kind, name, f"{head}.{inside}") for head in heads for kind, name, inside in self.head)
        return KeyTable(self.name, (*self.body, *rows), self.fresh)

    def remedy(self, code: str, **values: object) -> str:
        """Return what to change for one disagreement, filled in."""
        return self.remedies[code].format(**values)


class Recognized(NamedTuple):
    """The framework and detector of a model, and the prefix that a wrapper put before its keys (``module.``, say)."""

    framework: Framework
    detector: Detector
    prefix: str
