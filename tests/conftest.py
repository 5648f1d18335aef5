"""Shared by all tests: small architectures, checkpoints with no default values, an isolated cache, and no network."""

from __future__ import annotations

import copy
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from adept_hub.checkpoint.folder import read_config, write_checkpoint
from adept_hub.models import DetectorParts
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec, Provenance
from tests import loopback_env as _loopback_env  # noqa: F401  # no test reaches the real Hub
from tests import scratch
from tests.convert.fixtures import dataset as dataset
from tests.house import House, HouseData, write_house, write_house_data
from tests.hub.fixtures import hub as hub
from tests.hub.fixtures import loopback_only as loopback_only
from tests.hub.fixtures import mine as mine
from tests.hub.fixtures import published as published
from tests.light import ROOT, heavy_tests, is_light
from tests.process_state import import_ours, unchanged

#: Whether a test that leaves the process changed fails, or is warned of.
STRICT = os.environ.get("ADEPT_UNCHANGED") == "fail"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-light`."""
    parser.addoption("--light", action="store_true", help="only tests that need no more than the library")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import all modules before the tests of a whole session, which run in processes of their own."""
    if hasattr(session.config, "workerinput") and not session.config.getoption("--light"):
        import_ours()


def pytest_unconfigure() -> None:
    """Leave nothing behind outside the folders of `tmp_path`."""
    scratch.remove()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that import more than the library, and folders of which `conftest.py` does, with `--light`."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    is_folder = collection_path.is_relative_to(ROOT / "tests") and collection_path.is_dir()
    file = collection_path / "conftest.py" if is_folder else collection_path
    return True if (is_test or is_folder) and config.getoption("--light") and not is_light(file) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out single tests that are slow or need more than the library, with `--light`."""
    if config.getoption("--light"):
        items[:] = [item for item in items if not _is_heavy(item)]


def _is_heavy(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("slow") or item.get_closest_marker("frameworks")
    return bool(marked) or getattr(item, "originalname", "") in heavy_tests(item.path)


SMALL = DetectorSpec(depth=18, fpn_channels=32, head_conv_channels=32, head_fc_channels=64)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """No test depends on which ones ran before it in the same process."""
    random.seed(11)
    np.random.seed(12)
    torch.default_generator.manual_seed(13)  # `torch.manual_seed` takes a hundred times as long


@pytest.fixture(autouse=True, scope="module")
def _unchanged_by_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fixtures of a file leave the process as they find it."""
    with unchanged(str(request.node.nodeid), fails=STRICT):
        yield


@pytest.fixture(autouse=True)
def _unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    with unchanged(str(request.node.nodeid), fails=STRICT):
        yield


@pytest.fixture(autouse=True)
def _isolated(_unchanged: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a cache of its own, removed after it: whole checkpoints add up to gigabytes."""
    cache = Path(tempfile.mkdtemp(prefix="cache-", dir=scratch.SCRATCH))
    monkeypatch.setenv("ADEPT_CACHE", str(cache))
    for variable in ("ADEPT_REGISTRY", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    yield
    shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture
def data() -> Path:
    """The folder of real images; a test that asks for it is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"needs the folder of real images {DATA}")
    return DATA


def random_parts(spec: DetectorSpec = SMALL, seed: int = 0) -> DetectorParts:
    """Parts in evaluation mode, every tensor random: no zero bias, no unit norm behind which an error could hide."""
    generator = torch.Generator().manual_seed(seed)
    parts = DetectorParts(spec).eval()
    for key, tensor in parts.state_dict().items():
        if not tensor.is_floating_point():
            tensor.fill_(int(torch.randint(1, 1000, (), generator=generator)))
        elif key.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            scale = (2 / tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 0.1
            noise = torch.randn(tensor.shape, generator=generator) * scale
            is_gain = tensor.dim() == 1 and key.endswith("weight")
            tensor.copy_(noise + 1 if is_gain else noise)
    return parts


@pytest.fixture(scope="session")
def _templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, DetectorParts]]:
    """Checkpoint folders with random tensors, each kind written once in a session."""

    @functools.cache
    def template(spec: DetectorSpec, parts: tuple[str, ...], method: str, half: bool) -> tuple[Path, DetectorParts]:
        module = random_parts(spec)
        folder = tmp_path_factory.mktemp("template") / "checkpoint"
        write_checkpoint(
            folder,
            {key: t for key, t in module.state_dict().items() if key.split(".")[0] in parts},
            name="adept_joint_r18_fpn32.test",
            spec=spec,
            provenance=Provenance(method, "random numbers", 1, 1.0, "target"),
            license="apache-2.0",
            parts=parts,
            half=half,
        )
        return folder, module

    return template


@pytest.fixture
def make_checkpoint(
    tmp_path: Path, _templates: Callable[..., tuple[Path, DetectorParts]]
) -> Callable[..., tuple[Path, CheckpointConfig, DetectorParts]]:
    """A factory of checkpoint folders with random tensors: (folder, config, a copy of the parts they came from)."""

    def make(
        spec: DetectorSpec = SMALL,
        parts: tuple[str, ...] = PARTS,
        method: str = "adept_joint",
        half: bool = False,
        folder: Path | None = None,
    ) -> tuple[Path, CheckpointConfig, DetectorParts]:
        folder = folder or tmp_path / "checkpoint"
        template, module = _templates(spec, parts, method, half)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        return folder, read_config(folder), copy.deepcopy(module)

    return make


@pytest.fixture(scope="session")
def _house_template(tmp_path_factory: pytest.TempPathFactory) -> House:
    return write_house(tmp_path_factory.mktemp("template") / "house")


@pytest.fixture
def house(tmp_path: Path, _house_template: House) -> House:
    """The checkpoint in which no fact has its default value."""
    folder = shutil.copytree(_house_template.folder, tmp_path / "house")
    return House(folder, read_config(folder), copy.deepcopy(_house_template.parts))


@pytest.fixture
def house_data(tmp_path: Path) -> HouseData:
    """The data set in which nothing is as a reader might suppose."""
    return write_house_data(tmp_path / "photographs")
