"""Compiled networks give the eager ones' losses and gradients; where nothing can compile, it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adept_hub.errors import RecipeError
from adept_hub.spec import Preprocessing
from adept_training.data.loader import Order, Samples, Steps, make_loader
from adept_training.method.adept import Adept
from adept_training.pretraining import compiled
from adept_training.pretraining.compiled import compile_networks
from adept_training.pretraining.setup import make_model, make_samples
from tests.training.support import RandomBoxes, tiny, tiny_detection, write_photographs


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("_float64")
def test_a_compiled_step_is_the_eager_one(tmp_path: Path) -> None:
    source, recipe = write_photographs(tmp_path, 4), tiny("engine.precision=fp64", "views.sizes=[32,32,32]")
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    found = []
    for compile_too in (False, True):
        torch.manual_seed(0)
        model = Adept(recipe.model, recipe.method, recipe.views.sizes).double().train()
        if compile_too:
            compile_networks(model, "cpu", 1, backend="aot_eager")
        traced = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        loss = model(batch).loss
        loss.backward()
        gradients = {name: p.grad for name, p in model.online.named_parameters()}
        assert (torch._dynamo.utils.counters["stats"]["unique_graphs"] > traced) == compile_too
        found.append((loss.item(), gradients, model.state_dict()))
    (loss, gradients, state), (same_loss, same_gradients, same_state) = found
    assert same_loss == pytest.approx(loss, abs=1e-6)
    assert same_state.keys() == state.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same_gradients[name], gradient, atol=1e-6, rtol=1e-5)
    for name, value in state.items():  # running statistics move once a pass, compiled or not
        torch.testing.assert_close(same_state[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("_float64")
def test_detection_compiles_what_sees_every_step_the_same_shapes(tmp_path: Path) -> None:
    source, recipe = write_photographs(tmp_path, 4), tiny_detection("engine.precision=fp64")
    samples = make_samples(recipe, source, RandomBoxes(), source.keys(), None)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    torch._dynamo.reset()
    seen: list[int] = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    losses = []
    for compile_too in (False, True):
        torch.manual_seed(0)
        model = make_model(recipe, 4, Preprocessing()).double().train()
        if compile_too:
            compile_networks(model, "cpu", 1, backend=count)
        losses.append(model(batch).loss.item())
    assert losses[1] == pytest.approx(losses[0], abs=1e-9)
    assert len(seen) == 2, "backbone and FPN, and not the RoI head, whose boxes differ in number"


def test_every_part_with_operations_is_compiled(tmp_path: Path) -> None:
    """The target's predictor is an identity; compiling it made Dynamo skip the online network's heads."""
    source, recipe = write_photographs(tmp_path, 4), tiny("views.sizes=[32,32,32]")
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    torch._dynamo.reset()
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    seen: list[int] = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    compile_networks(model, "cpu", 1, backend=count)
    model(batch)
    # backbone, FPN, head, projector and predictor online; four of them in the target.
    assert len(seen) == 9


def test_what_cannot_compile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny()
    model = Adept(recipe.model, recipe.method, recipe.views.sizes)
    with pytest.raises(RecipeError, match=r"2 processes on a CPU(.|\n)*engine.compile=false"):
        compile_networks(model, "cpu", 2)
    monkeypatch.setattr(compiled.shutil, "which", lambda _: None)
    with pytest.raises(RecipeError, match=r"C\+\+ compiler(.|\n)*engine.compile=false"):
        compile_networks(model, "cpu", 1)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match="pip install triton"):
        compile_networks(model, "cuda", 8)
