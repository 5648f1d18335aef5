"""Does a GPU compute what the CPU does? Losses, gradients and the export of one joint step, to 1e-3, in fp64.

``python -m benchmarks.gpu.sanity`` exits with 1 if it does not. Without a GPU the CPU is compared with
itself: a rehearsal.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys

import torch
from torch import Tensor

from adept_training.data.loader import Batch, Sealed
from adept_training.method.adept import Adept
from adept_training.pretraining.export import exported_tensors
from adept_training.pretraining.recipe import load_recipe
from adept_training.runtime.launch import make_fabric
from benchmarks.pretrain.batch import make_batch

#: Of every value, in fp64: in fp32 this random network amplifies rounding beyond it.
TOLERANCE = 1e-3


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = load_recipe("adept_joint_r18_fpn128_cpu")
    torch.manual_seed(7)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    batch = make_batch(8, recipe.views.sizes, 1)
    expected, actual = _step(copy.deepcopy(model), batch, "cpu"), _step(model, batch, device)
    errors = {name: _error(actual[name], value) for name, value in expected.items()}
    worst = max(errors, key=lambda name: errors[name])
    report = {"device": _name(device), "torch": torch.__version__, "tensors": len(errors), "worst": worst,
              "worst_error": errors[worst], "tolerance": TOLERANCE, "passed": errors[worst] <= TOLERANCE}  # fmt: skip
    rows = [f"{error:.1e}  {name}" for name, error in sorted(errors.items(), key=lambda row: -row[1])]
    sys.stdout.write("\n".join([*rows, json.dumps(report), ""]))
    sys.exit(not report["passed"])


def _step(model: Adept, batch: Batch, device: str) -> dict[str, Tensor]:
    """Return losses, gradients by part, and exported tensors after one step of plain SGD."""
    fabric = make_fabric("fp64", device)
    wrapped = fabric.setup(model)
    out = wrapped(Sealed(fabric.to_device(batch)))
    fabric.backward(out.loss)
    found = {f"loss {name}": value for name, value in out.terms.items()}
    for part, module in model.online.named_children():
        grads = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        if grads:
            found[f"gradient {part}"] = torch.cat(grads)
    with torch.no_grad():
        for param in model.parameters():
            if param.grad is not None:
                param -= 0.1 * param.grad
    # By part: the bias of a convolution before a norm is zero but for rounding.
    exported = exported_tensors(model, "online")[0]
    for part in dict.fromkeys(name.split(".")[0] for name in exported):
        found[f"export {part}"] = torch.cat(
            [t.flatten() for name, t in exported.items() if name.startswith(f"{part}.")]
        )
    return {name: t.detach().cpu().double() for name, t in found.items()}


def _error(actual: Tensor, expected: Tensor) -> float:
    """Return the relative error in the 2-norm; NaN counts as infinite."""
    error = float((actual - expected).norm() / expected.norm().clamp(min=1e-12))
    return error if error == error else float("inf")


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu, with itself"


if __name__ == "__main__":
    main()
