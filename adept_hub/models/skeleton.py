"""Build modules without values, if all values will be loaded from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

_INITIALIZERS = frozenset(
    {
        init.kaiming_normal_,
        init.kaiming_uniform_,
        init.normal_,
        init.uniform_,
        init.constant_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
    }
)


class _SkipInitializers(TorchFunctionMode):
    """Skips initializers, which on the meta device do nothing but take half of the time to build a ResNet-50."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALIZERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def skeleton() -> Iterator[None]:
    """Build modules on the meta device in this context, with shapes and dtypes but neither memory nor values.

    Every tensor must be assigned afterwards (``load_state_dict(strict=True, assign=True)``).
    """
    with torch.device("meta"), _SkipInitializers():
        yield
