"""Commands that pre-train the architectures of the registry."""

from __future__ import annotations

from dataclasses import asdict

from adept_hub.spec import DetectorSpec
from adept_hub.words.command_line import command_line

#: Bundled recipes of the paper's architecture by method, and the one for the small architecture and few images.
_RECIPES = {
    "adept_joint": "adept_joint_r50_100ep",
    "adept_separate": "adept_separate_r50_100ep",
    "soco": "soco_r50_100ep",
    "byol": "adept_joint_r50_100ep",
}
_SMALL_RECIPE = "own_photos_cpu"
#: The one recipe of detection, which is not the paper's.
_DETECTION_RECIPE = "own_photos_detection"
_SMALL = DetectorSpec(depth=18, fpn_channels=128, head_conv_channels=128, head_fc_channels=512)


def training_command(method: str, spec: DetectorSpec, init: object = None) -> str:
    """Return the command that pre-trains an architecture, with IMAGES for the user to fill in.

    Args:
        method: one of `adept_hub.spec.METHODS`.
        spec: the architecture.
        init: a source to start from; default: none, except for ``adept_separate``, which starts from a SoCo run.
    """
    small = spec == _SMALL or method not in _RECIPES
    recipe, base = (_SMALL_RECIPE, _SMALL) if small else (_RECIPES[method], DetectorSpec())
    if method == "detection":
        recipe = _DETECTION_RECIPE
    words = ["pretrain", "--images", "IMAGES", "--recipe", recipe, "--method", method]
    if init is None and method == "adept_separate":
        init = "runs/soco"  # it trains only the RPN, on the other parts of a SoCo run of the same architecture
    words += ["--init", str(init)] if init is not None else []
    defaults = asdict(base)
    for name, value in asdict(spec).items():
        if value != defaults[name] and not isinstance(value, dict):
            words += ["--set", f"model.{name}={value}"]
    return command_line(*words, "--out", "runs/mine")
