"""Compile the parts of both networks with torch.compile; losses, boxes and RoIAlign stay eager."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

from torch import nn

from adept_hub.errors import RecipeError
from adept_training.method.model import PretrainModel
from adept_training.method.networks import PartsNetwork


def compile_networks(
    model: PretrainModel,
    device: str,
    processes: int,
    backend: str | Callable[..., Any] = "inductor",
    mode: str | None = None,
) -> None:
    """Compile backbone, FPN, RoI head and the contrastive heads in place; state dict keys stay the same.

    The first step of each view's size is slow. Rounding differs from the eager networks, so a run is compiled from its
    first step to its last.

    Args:
        device: "cpu" or "cuda"; ``processes`` is their number.
        backend: torch.compile's backend; others are for debugging.
        mode: torch.compile's mode: None or ``reduce-overhead`` (CUDA graphs; mark each step's begin).

    Raises:
        RecipeError: this machine cannot compile.
    """
    _require_compiler(device, processes, backend)
    networks = [model.online, model.target] if model.recipe.has_target else [model.online]
    for network in networks:
        for part in _parts(network):
            part.compile(backend=backend, dynamic=False, mode=mode)


def _parts(network: PartsNetwork) -> list[nn.Module]:
    # A module without operations makes Dynamo skip, from then on, every module that is compiled in the same way: the
    # target's identity predictor left the online network's heads eager.
    return [module for module in network.layers() if not isinstance(module, nn.Identity)]


def _require_compiler(device: str, processes: int, backend: str | Callable[..., Any]) -> None:
    without = "Train without it: --set engine.compile=false"
    if device == "cpu" and processes > 1:
        raise RecipeError(
            f"engine.compile does not go with {processes} processes on a CPU: their norms synchronize in the "
            f"middle of a network.\n{without}"
        )
    if backend != "inductor":
        return
    if device == "cpu":
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            raise RecipeError(f"engine.compile needs a C++ compiler, and {compiler} is not installed.\n{without}")
    elif importlib.util.find_spec("triton") is None:
        raise RecipeError(f"engine.compile needs Triton on a GPU (pip install triton).\n{without}")
