"""Facts out of files: a Detectron2 YAML, a MMDetection config, or any weights file of the three frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adept_hub.convert.facts import Config, Facts, detectron2_facts, mmdet_facts
from adept_hub.errors import CheckpointError, MissingExtraError, UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor


def facts_of_file(path: Path, framework: str) -> Facts:
    """What a file says about the detector it configures or holds.

    Raises:
        CheckpointError: not such a file, or not readable.
        PickleRefusedError: a weights file with pickled objects other than tensors.
        MissingExtraError: MMEngine is needed to put a MMDetection config together.
        UnsupportedModelError: weights that are no two-stage FPN detector's, or another framework's.
    """
    if path.suffix in (".yaml", ".yml") and framework == "detectron2":
        return detectron2_facts(_read_yaml(path))
    if path.suffix in (".py", ".json", ".yaml", ".yml") and framework == "mmdet":
        return mmdet_facts(_read_mmengine(path))
    if path.suffix in (".pth", ".pt", ".pkl", ".safetensors", ".bin"):
        return facts_of_shapes({key: tuple(t.shape) for key, t in read_state(path).items()}, framework)
    kinds = {"detectron2": ".yaml", "mmdet": ".py", "torchvision": "none (torchvision has no config files)"}
    raise CheckpointError(
        f"{path} is neither a config of {framework} nor a weights file.\n"
        f"Configs of {framework}: {kinds[framework]}; weights: .pth, .safetensors."
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading a Detectron2 config", "train", "pyyaml") from error
    from adept_hub.convert.facts import merge

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(data, dict) or not {"MODEL", "_BASE_", "INPUT", "SOLVER"} & set(data):
        raise CheckpointError(f"{path} is not a Detectron2 config: it has no MODEL.")
    base = data.pop("_BASE_", None)
    return data if base is None else merge(_read_yaml(path.parent / base), data)


def _read_mmengine(path: Path) -> Config:
    try:
        from mmengine.config import Config as MMConfig
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path} is a Python config, which only MMEngine can put together, and mmengine is not installed here.\n"
            "Run adept doctor where you train: pip install mmengine"
        ) from error
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    model = MMConfig.fromfile(str(path)).get("model")
    if not model or "roi_head" not in model or "neck" not in model:
        raise CheckpointError(f"{path} configures no two-stage detector with a neck.")
    found: Config = model.to_dict()
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a weights file: safetensors, a .pth with tensors (alone, or under model or state_dict), or a
    Detectron2 .pkl with arrays.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no tensors.
        PickleRefusedError: it holds pickled objects other than tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from adept_hub.convert.array_pickles import is_array_pickle, load_arrays_only
    from adept_hub.pickles import load_tensors_only

    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    if path.suffix == ".pkl" and is_array_pickle(path):
        return load_arrays_only(path)
    if path.suffix != ".safetensors":
        return load_tensors_only(path)
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not state:
        raise CheckpointError(f"{path} holds no tensors.")
    return state


def facts_of_shapes(shapes: Mapping[str, tuple[int, ...]], framework: str) -> Facts:
    """What the names and shapes of a detector's tensors tell: its structure, not its pixels, strides or anchors."""
    from adept_hub.convert.recognise import recognise
    from adept_hub.convert.structure import read_structure

    known = recognise(shapes)
    if known.framework != framework:
        raise UnsupportedModelError(
            f"The names are those of {known.framework}, not of {framework}.\nAsk with --target {known.framework}"
        )
    inside = {k.removeprefix(known.prefix): s for k, s in shapes.items() if k.startswith(known.prefix)}
    has = read_structure(inside, framework)
    names = {"none": "", "BN": "BN", "FrozenBN": "FrozenBN", "GN": "GN"}
    return Facts(
        framework=framework,
        depth=has.depth,
        backbone_norm=names[has.backbone_norm],
        fpn_norm=names[has.fpn_norm],
        fpn_channels=has.fpn_channels,
        p6="convolutions" if has.fpn_extra_convs else "pool",
        rpn_convs=has.rpn_convs,
        rpn_softmax=has.rpn_softmax,
        head_convs=has.head_convs,
        head_fcs=has.head_fcs,
        head_conv_channels=has.head_conv_channels,
        head_fc_channels=has.head_fc_channels,
        head_norm=names[has.head_norm],
    )
