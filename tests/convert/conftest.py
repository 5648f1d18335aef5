"""MMEngine keeps loggers and visualizers by name for the whole process, with the folders of the test that made them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


def _subclasses(cls: type) -> Iterator[type]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


@pytest.fixture(autouse=True)
def _without_global_instances() -> Iterator[None]:
    """Start every test without the instances of another."""
    yield
    if "mmengine" in sys.modules:
        from mmengine.utils import ManagerMixin

        for cls in (ManagerMixin, *_subclasses(ManagerMixin)):
            cls._instance_dict.clear()
