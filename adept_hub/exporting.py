"""Checkpoints under a framework's own names: as a state dict, or as weights and a config on disk."""

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
    """The pre-trained tensors under a framework's own names.

    Args:
        framework: ``torchvision``, ``detectron2``, ``mmdet``, or ``canonical`` for the names of the checkpoint file.
        detector: the detector that the names are for.
        **options: ``norm`` and ``anchors`` of `adept_hub.convert.options.Target`; they need a framework.

    For the other arguments and the errors see `load_pretrained`.

    Raises:
        UnsupportedDetectorError: the framework, the detector or an option is not known.
        OptionValueError: an option that changes nothing under canonical names.

    Example:
        >>> import adept_hub
        >>> state = adept_hub.load_state_dict("adept_joint", framework="detectron2", parts="rpn")
        >>> tuple(state["proposal_generator.rpn_head.conv.weight"].shape)
        (128, 128, 3, 3)
    """
    check_choice("framework", framework, ("canonical", *FRAMEWORKS), UnsupportedDetectorError)
    target = Target(detector=detector, **options)
    names = tuple(FRAMEWORKS)
    if framework == "canonical" and (target != Target() or options):
        raise OptionValueError(
            "The canonical names are those of every detector: detector, norm and anchors change nothing there.\n"
            f"Name the framework too: framework={names[0]!r} (or {', '.join(names[1:])})."
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
    """Write weights under a framework's names and the config that makes the framework agree with them.

    Args:
        framework: a name in `adept_hub.frameworks.FRAMEWORKS`: ``torchvision``, ``detectron2`` or ``mmdet``.
        out: the folder to write; must not exist, or be empty.
        detector: the detector to configure.
        parts: the parts to write; the framework initializes the others.
        **options: those of `adept_hub.convert.options.Target` (``num_classes``, ``norm``, ``anchors``, ``levels``).

    Returns:
        The files written.

    Raises:
        OutputExistsError, DiskFullError: about ``out``. Others as in `load_pretrained`.

    Example:
        >>> import adept_hub, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in adept_hub.export("adept_joint", "detectron2", f"{folder}/out", num_classes=4)]
        ['model.pth', 'config.yaml']
    """
    known = find_framework(framework)
    target = Target(detector=detector, **options)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    tensors = promised_tensors(fetched, promised_parts(parts, fetched.config))
    return write_export(tensors, fetched.config, known, Path(out), target)
