"""Load checkpoints: as a detector ready to fine-tune, or into a user's own model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Unpack, get_args

from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice, check_num_classes, chosen_parts
from adept_hub.convert.options import DEFAULT_ANCHORS, Anchors, Detector, Levels, Target
from adept_hub.convert.plan import plan_for_model
from adept_hub.convert.strides import refuse_other_epsilon, refuse_other_strides, refuse_stride_elsewhere
from adept_hub.errors import OptionValueError, UnsupportedDetectorError
from adept_hub.frameworks.plain_resnet import check_backbone_alone, input_note, recognize_resnet
from adept_hub.frameworks.recognize import recognize
from adept_hub.hub.fetch import FetchOptions, fetch
from adept_hub.load_report import LoadReport
from adept_hub.loading.account import notes, part_rows
from adept_hub.loading.detector import load_fetched
from adept_hub.loading.pixels import pixel_notes
from adept_hub.loading.promise import promised_parts, promised_tensors
from adept_hub.loading.transfer import plainly, transfer
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.options import DetectorOptions
from adept_hub.models.wrapped import own_tensors
from adept_hub.registry import registry
from adept_hub.spec import PARTS

Source = str | os.PathLike[str]

_SET_EPSILON = "Set it: [setattr(m, 'eps', 1e-5) for m in model.modules() if hasattr(m, 'running_var')]"
#: COCO's 80 categories and the background.
NUM_CLASSES = 81


@checked
def load_pretrained(
    source: Source,
    *,
    num_classes: int = NUM_CLASSES,
    detector: Detector = "faster_rcnn",
    parts: str | Iterable[str] = PARTS,
    anchors: Anchors = DEFAULT_ANCHORS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Unpack[DetectorOptions],
) -> GeneralizedRCNN:
    """Load a torchvision detector with pre-trained backbone, FPN, RPN and RoI head, ready to fine-tune.

    Its class, box and mask predictors are newly initialized, but for the source's box regressor if it has one;
    ``model.load_report`` lists what was loaded. The model takes a list of float32 RGB images (3, H, W) in [0, 1]; boxes
    are xyxy in pixels of those images.

    Args:
        source: a name (``adept_joint``), ``hf-hub:org/repo[@revision]``, ``local-dir:PATH``, a checkpoint folder or
            a run folder (its ``export/`` or ``best/``); another project's weights file, with its layout if several
            projects use its names (``moco:ckpt.pth``), or a repository or folder of timm: with
            ``parts=("backbone",)`` if it is a ResNet.
        num_classes: number of classes including the background, as in torchvision.
        detector: ``faster_rcnn``, ``mask_rcnn`` or ``cascade_rcnn``.
        parts: the parts to load, as a string or an iterable; the others keep their initial values and are reported as
            re-initialized.
        anchors: ``downstream`` (32-512 px), ``rescaled`` (the same, with the RPN's box deltas adapted to them) or
            ``pretraining`` (the sizes that the RPN was trained with); ``anchor_sizes`` sets any others.
        revision: branch, tag or commit on the Hub.
        cache_dir: folder for downloads; default: huggingface_hub's cache.
        offline: make no request; default: the value of ``HF_HUB_OFFLINE``.
        token: token for private repositories; default: the stored login.
        **options: those of `adept_hub.models.assemble_detector` (``anchor_sizes``, ``levels``) and of torchvision's
            FasterRCNN and MaskRCNN (``min_size``, ``box_detections_per_img``, ...).

    Raises:
        AdeptError: any of the errors of `adept_hub.hub.fetch.fetch` and `adept_hub.checkpoint.folder.read_tensors`.
        IncompleteLoadError: the checkpoint lacks a requested part.
        UnsupportedDetectorError: ``detector`` or ``num_classes`` is not supported.
        UnknownOptionError, OptionTypeError: an option that does not exist, or a value of the wrong type.

    Example:
        >>> import adept_hub, torch
        >>> model = adept_hub.load_pretrained("detection", num_classes=21, min_size=192, max_size=192)
        >>> model.roi_heads.box_predictor.cls_score.out_features
        21
        >>> target = {"boxes": torch.tensor([[8.0, 8.0, 90.0, 90.0]]), "labels": torch.tensor([1])}
        >>> losses = model([torch.rand(3, 192, 192)], [target])
        >>> sorted(losses)
        ['loss_box_reg', 'loss_classifier', 'loss_objectness', 'loss_rpn_box_reg']
    """
    _check_detector(detector, num_classes, anchors, options)
    chosen_parts(parts)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    return load_fetched(fetched, fetched.config.spec, num_classes, detector, parts, anchors, options)


@checked
def create_model(
    name: Source,
    pretrained: bool = False,
    *,
    num_classes: int = NUM_CLASSES,
    detector: Detector = "faster_rcnn",
    parts: str | Iterable[str] | None = None,
    anchors: Anchors = DEFAULT_ANCHORS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Unpack[DetectorOptions],
) -> GeneralizedRCNN:
    """Build the detector of `load_pretrained`, with initial values or, with ``pretrained=True``, the weights.

    Args:
        name: a name; with ``pretrained=True`` any source.
        pretrained: load the weights, as in timm; otherwise every tensor has its initial value.
        parts: the parts to load with ``pretrained=True``; default: all four.
        revision: the branch, tag or commit on the Hub, with ``pretrained=True``.

    For the other arguments and errors see `load_pretrained`.

    Raises:
        UnknownModelError: the name is not registered; the message suggests the closest ones.
        UnsupportedDetectorError: ``detector`` or ``num_classes`` is not supported.
        OptionValueError: ``parts`` or ``revision`` without ``pretrained=True``.

    Example:
        >>> import adept_hub
        >>> model = adept_hub.create_model("soco_r18_fpn128", num_classes=4)
        >>> model.roi_heads.box_predictor.cls_score.out_features
        4
    """
    if pretrained:
        return load_pretrained(
            name, num_classes=num_classes, detector=detector, parts=PARTS if parts is None else parts, anchors=anchors,
            revision=revision, cache_dir=cache_dir, offline=offline, token=token, **options,
        )  # fmt: skip
    for option, value in (("parts", parts), ("revision", revision)):
        if value is not None:
            raise OptionValueError(
                f"{option}={value!r} selects weights, but create_model() loads no weights by default.\n"
                f"Load them: create_model({str(name)!r}, pretrained=True, {option}={value!r})"
            )
    _check_detector(detector, num_classes, anchors, options)
    text, entries = os.fspath(name), registry()
    entries.refuse_other_sources(text, f"Load its weights: create_model({text!r}, pretrained=True)")
    info = entries.resolve(text)
    options.setdefault("anchor_sizes", Target(anchors=anchors).anchor_sizes(info.spec))
    return assemble_detector(DetectorParts(info.spec), num_classes, detector, info.preprocessing, **options)


@checked
def load_into(
    model: nn.Module,
    source: Source,
    *,
    parts: str | Iterable[str] = PARTS,
    fold_norms: bool = False,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
) -> LoadReport:
    """Copy pre-trained tensors into a user's own torchvision, Detectron2 or MMDetection detector.

    The framework is recognized by the names of the model's tensors, with or without a wrapper's prefix. Either every
    tensor of every requested part is copied, or the model is left untouched. If the model's mean, std or channel order
    differs from that of the weights, it is loaded with a warning, which the report repeats. A plain ResNet with
    torchvision's names takes ``parts=("backbone",)``.

    Args:
        fold_norms: if the model's FPN or RoI head has convolutions without norms, fold the pre-trained norms into
            their weights and biases, which is exact in evaluation mode; by default such a model is refused.

    Raises:
        UnsupportedModelError: the model's architecture does not match; the message suggests a fix.
        IncompleteLoadError: the checkpoint lacks a requested part.
        Others as in `load_pretrained`.

    Example:
        >>> import adept_hub
        >>> mine = adept_hub.create_model("detection", num_classes=4)
        >>> report = adept_hub.load_into(mine, "detection", parts=("backbone", "fpn"))
        >>> report["fpn"].loaded, report["head"].loaded
        (48, 0)
    """
    requested = chosen_parts(parts)
    resnet = recognize_resnet(own_tensors(model))
    recognized = resnet or recognize(own_tensors(model))
    if resnet:
        check_backbone_alone(requested)
    refuse_other_epsilon(model, _SET_EPSILON)
    if "backbone" in requested:
        refuse_other_strides(model, recognized.framework)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    promised = promised_parts(parts, fetched.config)
    if "backbone" in requested:
        refuse_stride_elsewhere(model, recognized.framework, fetched.config.spec)
    with plainly():
        tensors = promised_tensors(fetched, promised)
        state = {name: own.tensor for name, own in own_tensors(model).items()}
        plan = plan_for_model(recognized, state, tensors, fetched.config.spec, promised, fold_norms=fold_norms)
        held, also_changed = transfer(model, plan)
        rows = tuple(part_rows(model, held, tensors, "other", recognized))
        pixels = pixel_notes(model, recognized.framework, fetched.config) if "backbone" in requested else ()
        for note in pixels:
            warnings.warn(f"{fetched.config.name}: {note}", stacklevel=3)  # skip the frame of `checked`
        remarks = (*notes(model, held, also_changed), *((input_note(fetched.config),) if resnet else pixels))
        return LoadReport(fetched.origin, fetched.config.name, rows, remarks, fetched.config.license)


def _check_detector(detector: Detector, num_classes: int, anchors: Anchors, options: DetectorOptions) -> None:
    """Refuse invalid options before anything is fetched."""
    Target(detector=detector, anchors=anchors)
    check_choice("levels", options.get("levels", "stock"), get_args(Levels), UnsupportedDetectorError)
    check_num_classes(num_classes)
