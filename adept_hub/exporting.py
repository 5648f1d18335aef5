"""Export checkpoints under a framework's names: as a state dict, or as weights and a config on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Unpack

from torch import Tensor

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.convert.export import export_state, write_export
from adept_hub.convert.options import Detector, StateOptions, Target, TargetOptions
from adept_hub.errors import OptionValueError, UnsupportedDetectorError
from adept_hub.frameworks import FRAMEWORKS, find_framework
from adept_hub.hub.fetch import FetchOptions, fetch
from adept_hub.loading.promise import promised_parts, promised_tensors
from adept_hub.spec import PARTS

Source = str | os.PathLike[str]


@checked
def load_state_dict(
    source: Source,
    *,
    framework: str = "canonical",
    detector: Detector = "faster_rcnn",
    parts: str | Iterable[str] = PARTS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Unpack[StateOptions],
) -> dict[str, Tensor]:
    """Load the pre-trained tensors under a framework's names.

    Args:
        framework: ``torchvision``, ``detectron2``, ``mmdet``, or ``canonical`` for the names of the checkpoint file.
        detector: the detector whose names to use.
        **options: ``norm`` and ``anchors`` of `adept_hub.convert.options.Target`; they need a framework.

    For the other arguments and the errors see `load_pretrained`.

    Raises:
        UnsupportedDetectorError: the framework, the detector or an option is not supported.
        OptionValueError: an option that has no effect with canonical names.

    Example:
        >>> import adept_hub
        >>> state = adept_hub.load_state_dict("detection", framework="detectron2", parts="rpn")
        >>> tuple(state["proposal_generator.rpn_head.conv.weight"].shape)
        (128, 128, 3, 3)
    """
    check_choice("framework", framework, ("canonical", *FRAMEWORKS), UnsupportedDetectorError)
    target = Target(detector=detector, **options)
    names = tuple(FRAMEWORKS)
    if framework == "canonical" and (target != Target() or options):
        raise OptionValueError(
            "The canonical names are the same for every detector: detector, norm and anchors have no effect.\n"
            f"Specify the framework too: framework={names[0]!r} (or {', '.join(names[1:])})."
        )
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    tensors = promised_tensors(fetched, promised_parts(parts, fetched.config))
    return (
        tensors
        if framework == "canonical"
        else export_state(tensors, fetched.config.spec, FRAMEWORKS[framework], target)
    )


@checked
def export(
    source: Source,
    framework: str,
    out: str | os.PathLike[str],
    *,
    detector: Detector = "faster_rcnn",
    parts: str | Iterable[str] = PARTS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Unpack[TargetOptions],
) -> list[Path]:
    """Write weights under a framework's names, and a config with which the framework builds the matching detector.

    Args:
        framework: a name in `adept_hub.frameworks.FRAMEWORKS`: ``torchvision``, ``detectron2`` or ``mmdet``.
        out: the output folder; it must not exist, or be empty.
        detector: the detector to configure.
        parts: the parts to write; the framework initializes the others.
        **options: those of `adept_hub.convert.options.Target` (``num_classes``, ``norm``, ``anchors``, ``levels``).

    Returns:
        The written files.

    Raises:
        OutputExistsError, DiskFullError: ``out`` is not empty, or cannot be written. Others as in `load_pretrained`.

    Example:
        >>> import adept_hub, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in adept_hub.export("detection", "detectron2", f"{folder}/out", num_classes=4)]
        ['model.pth', 'config.yaml']
    """
    definition = find_framework(framework)
    target = Target(detector=detector, **options)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    tensors = promised_tensors(fetched, promised_parts(parts, fetched.config))
    return write_export(tensors, fetched.config, definition, Path(out), target)
