"""The process of `benchmarks.gpu.speed` that measures one variant, and its inputs."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from adept_training.method.adept import Adept
from adept_training.pretraining.compiled import compile_networks
from adept_training.pretraining.optim import make_optimizer
from adept_training.pretraining.recipe import Recipe, load_recipe
from benchmarks.gpu.inputs import make_batches
from benchmarks.gpu.variants import Variant
from benchmarks.pretrain.batch import to_device
from benchmarks.pretrain.step import cast_to, fed, matrix_peak, parts_of, train_on

SMALL = (
    "model.depth=18", "model.fpn_channels=16", "model.head_conv_channels=16", "model.head_fc_channels=32",
    "views.sizes=[40,40,32]", "method.projector_hidden=32", "method.projection=16",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """What `benchmarks.pretrain.step` reads of its arguments."""

    device: str
    precision: str
    batch: int
    rounds: int
    workers: int
    images: str


@dataclass
class Place:
    """Where and for how long a variant is measured."""

    out: Path
    deadline: float
    rehearsal: bool
    device: str
    #: Seconds of a block, and blocks.
    block: float
    blocks: int

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the device to this process."""
        with (self.out / "speed" / "turn.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def measure_variant(variant: Variant, out: Path, deadline: float, rehearsal: bool) -> None:
    """Measure a variant and write its result or its error; never raises."""
    # A child of a fork server would start the loader's workers by one of its own, which imports everything again.
    multiprocessing.set_start_method("fork", force=True)
    device = "cuda" if torch.cuda.is_available() and not rehearsal else "cpu"
    place = Place(out, deadline, rehearsal, device, 0.0 if rehearsal else 0.5, 1 if rehearsal else 5)
    try:
        if not rehearsal and device == "cpu":
            raise RuntimeError("there is no GPU; --rehearsal runs on the CPU")  # written like any other
        torch.set_num_threads(1 if rehearsal else 4)
        torch.backends.cudnn.benchmark = variant.benchmark
        result = KINDS[variant.kind](variant, place)
    except Exception as error:  # noqa: BLE001  # of whatever kind: the record of this variant
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"[:600]}
    path = out / "speed" / f"{variant.name}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.rename(path)


def measure_machine(variant: Variant, place: Place) -> dict[str, Any]:
    """Measure the two ceilings, and name the card and the software."""
    side, count = (256, 1 << 16) if place.rehearsal else (8192, 1 << 30)
    with place.turn():
        peak = matrix_peak(place.device, torch.bfloat16, side)
        source = torch.randint(0, 255, (count,), dtype=torch.uint8, device=place.device)
        goal, best = torch.empty_like(source), float("inf")
        for _ in range(10):
            place.wait()
            start = time.perf_counter()
            goal.copy_(source)
            place.wait()
            best = min(best, time.perf_counter() - start)
    return {
        "device": torch.cuda.get_device_name() if place.device == "cuda" else platform.machine(),
        "matrix_peak_tflop_per_s": round(peak, 2), "copy_gb_per_s": round(2 * count / best / 1e9, 1),
        "torch": torch.__version__, "torchvision": torchvision.__version__, "cores": os.cpu_count(),
        "python": sys.version.split()[0],
    }  # fmt: skip


def measure_bare(variant: Variant, place: Place) -> dict[str, Any]:
    """Measure classification training of torchvision's ResNet on as many pixels as three views have."""
    recipe, batch = recipe_of(variant, place)
    make = torchvision.models.resnet18 if recipe.model.depth == 18 else torchvision.models.resnet50
    model: nn.Module = make(weights=None)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    model = model.to(place.device, memory_format=layout).train()  # type: ignore[call-overload]  # as in benchmarks.pretrain
    if variant.compile:
        model.compile(dynamic=False, **compile_options(variant, place))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    side, sizes = recipe.views.sizes[0], recipe.views.sizes
    count = max(round(batch * sum(size**2 for size in sizes) / side**2), 2)
    shape = (count, 3, side, side)
    images = [torch.randn(shape, device=place.device).contiguous(memory_format=layout) for _ in range(2)]
    classes = [torch.randint(0, 1000, (count,), device=place.device) for _ in range(2)]
    turn = iter(range(1 << 62))

    def forward() -> Tensor:
        number = next(turn) % 2
        with torch.autocast(place.device, torch.bfloat16):
            return F.cross_entropy(model(images[number]).float(), classes[number])

    def step() -> None:
        loss = forward()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    flops = count_flops(lambda: forward().backward(), place, variant)
    return timed(step, batch, place, variant, flops)


def measure_step(variant: Variant, place: Place) -> dict[str, Any]:
    """Measure whole training steps on batches that are on the device."""
    recipe, size = recipe_of(variant, place)
    batches = [to_device(batch, place.device) for batch in make_batches(recipe, size, 2)]
    model, optimizer = make_model(recipe, variant, place)
    args = args_of(size, place)
    turn = iter(range(1 << 62))

    def step() -> None:
        if variant.compile == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        train_on(model, optimizer, batches[next(turn) % 2], args)  # type: ignore[arg-type]  # what it reads of its options

    def once() -> None:
        with cast_to(args):  # type: ignore[arg-type]
            model(batches[0]).loss.backward()

    flops = count_flops(once, place, variant)
    return timed(step, size, place, variant, flops)


def measure_parts(variant: Variant, place: Place) -> dict[str, Any]:
    """Measure a step part by part, waiting for each."""
    recipe, size = recipe_of(variant, place)
    batch = to_device(make_batches(recipe, size, 1)[0], place.device)
    model, optimizer = make_model(recipe, variant, place)
    args = args_of(size, place)
    with place.turn():
        train_on(model, optimizer, batch, args)  # type: ignore[arg-type]
        parts = parts_of(model, optimizer, batch, args)  # type: ignore[arg-type]
    return {"parts": {name: round(1000 * seconds, 2) for name, seconds in parts.items()}, "unit": "ms"}


def measure_fed(variant: Variant, place: Place) -> dict[str, Any]:
    """Measure from JPEG files on: images/s and the share of the time for which steps wait for data."""
    recipe, size = recipe_of(variant, place)
    trained = make_model(recipe, variant, place)
    args = args_of(size, place, rounds=1 if place.rehearsal else 28)
    with place.turn():
        result = fed(recipe, trained, args)  # type: ignore[arg-type]
    return {"images_per_s": result["fed_images_per_s"], "data_wait": result["data_wait"], "workers": args.workers}


KINDS: dict[str, Callable[[Variant, Place], dict[str, Any]]] = {
    "machine": measure_machine, "bare": measure_bare, "step": measure_step, "parts": measure_parts, "fed": measure_fed,
}  # fmt: skip


def timed(step: Callable[[], None], images: int, place: Place, variant: Variant, flops: float | None) -> dict[str, Any]:
    """Time blocks of whole steps, in turn with the other processes; the median counts."""
    began = time.perf_counter()
    if variant.compile:
        step()  # compiles, while others are measured
        place.wait()
    compiled = time.perf_counter() - began
    with place.turn():
        for _ in range(0 if place.rehearsal else 4):
            step()
        place.wait()
        start = time.perf_counter()
        step()
        place.wait()
        each = time.perf_counter() - start
    steps = max(round(place.block / each), 1)
    blocks: list[float] = []
    for _ in range(place.blocks):
        if blocks and time.time() + 2 * steps * each > place.deadline:
            break
        with place.turn():
            if not place.rehearsal:
                step()  # not counted: the device was another's
            place.wait()
            start = time.perf_counter()
            for _ in range(steps):
                step()
            place.wait()
            blocks.append(steps * images / (time.perf_counter() - start))
    speed = statistics.median(blocks)
    result: dict[str, Any] = {
        "images_per_s": round(speed, 1), "least": round(min(blocks), 1), "most": round(max(blocks), 1),
        "blocks": len(blocks), "steps_of_a_block": steps, "ms_of_a_step": round(1000 * images / speed, 2),
    }  # fmt: skip
    if variant.compile:
        result["compile_s"] = round(compiled, 1)
    if flops is not None:
        result |= {
            "gflop_an_image": round(flops / images / 1e9, 1),
            "tflop_per_s": round(flops / images * speed / 1e12, 2),
        }
    if place.device == "cuda":
        result["peak_memory_mib"] = torch.cuda.max_memory_allocated() // 2**20
    return result


def count_flops(once: Callable[[], None], place: Place, variant: Variant) -> float | None:
    """Count a forward and backward pass; not compiled, which hides the operations."""
    if variant.compile:
        return None
    with place.turn(), FlopCounterMode(display=False) as counter:
        once()
    return float(counter.get_total_flops())


def recipe_of(variant: Variant, place: Place) -> tuple[Recipe, int]:
    batch = 2 if place.rehearsal else variant.batch
    small = SMALL if place.rehearsal else ()
    own = (
        f"engine.batch_size={batch}",
        "engine.precision=bf16",
        f"engine.channels_last={str(variant.channels_last).lower()}",
    )
    return load_recipe("adept_joint_r50_100ep", (*variant.settings, *small, *own)), batch


def args_of(batch: int, place: Place, rounds: int = 5) -> Args:
    images, workers = os.environ.get("ADEPT_SPEED_IMAGES", ""), min(14, max((os.cpu_count() or 2) - 1, 1))
    return Args(place.device, "bf16", batch, rounds, 1 if place.rehearsal else workers, images)


def make_model(recipe: Recipe, variant: Variant, place: Place) -> tuple[Adept, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    with torch.device(place.device):  # initialized where it will be: a few seconds less
        model = Adept(recipe.model, recipe.method, recipe.views.sizes)
    model = model.to(place.device, memory_format=layout)  # type: ignore[call-overload]
    if variant.compile:
        compile_networks(model, place.device, 1, **compile_options(variant, place))
        leave_small_views(model, recipe.views.sizes[0])
    return model.train(), make_optimizer(model, recipe.optimizer, recipe.engine.batch_size)


def leave_small_views(model: Adept, side: int) -> None:
    """Keep backbone and FPN eager on views of other sides: a ninth of the work, and half of the time to compile."""
    for network in (model.online, model.target):
        for part, stride in ((network.parts.backbone, 1), (network.parts.fpn, 4)):
            compiled, eager, own = part._compiled_call_impl, part._call_impl, side // stride

            def call(x: Any, compiled: Any = compiled, eager: Any = eager, own: int = own) -> Any:
                first = x if isinstance(x, Tensor) else x["p2"]
                return (compiled if first.shape[-1] == own else eager)(x)

            part._compiled_call_impl = call


def compile_options(variant: Variant, place: Place) -> dict[str, Any]:
    """Return the options of torch.compile; the rehearsal only traces, since Inductor's C++ would take minutes."""
    if place.device == "cpu":
        return {"backend": "eager"}
    return {} if variant.compile == "default" else {"mode": variant.compile}
