"""What belongs to the whole process, so that one test can spoil another in the same process.

Order decides which test fails then, and only some orders do. `unchanged` compares it before and after each test and
each file of tests. What differs is a warning, and with ADEPT_UNCHANGED=fail the failure of the one that changed it. A
state that commands set for their own process (`main` gives loggers a handler and Python a hook, `engine.threads` is
torch's) is put back instead. A module of ours that a test is the first to import keeps what is patched at that moment
for all tests after it: `import_ours` leaves no such import to the tests of a whole session, and `unchanged` notices it
in others.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import locale
import logging
import os
import pkgutil
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGXFSZ")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))  # Windows has two of them
try:
    import resource
except ImportError:  # Windows
    resource = None
_OURS = ("adept_hub", "adept_training")


def _limits() -> dict[int, tuple[int, int]]:
    if resource is None:
        return {}
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    return {kind: resource.getrlimit(kind) for kind in kinds}


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _environment() -> dict[bytes, bytes]:
    encoded = os.environ._data  # decoding takes ten times as long
    return {key: value for key, value in encoded.items() if key != b"PYTEST_CURRENT_TEST"}


def _style(matplotlib: Any) -> dict[str, object]:
    values = matplotlib.rcParams  # its own methods are slow
    style = dict(zip(dict.keys(values), dict.values(values), strict=True))
    style["backend"] = None  # chosen at the first figure
    return style


def _torch() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu"), torch.is_anomaly_enabled(),
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, torch.backends.mkldnn.enabled,
    )  # fmt: skip


def _logging() -> tuple[object, ...]:
    root = logging.getLogger()
    handlers = [handler for handler in root.handlers if not type(handler).__module__.startswith("_pytest")]
    return root.level, handlers, logging.root.manager.disable


@functools.cache
def _hub_constants() -> list[str]:
    return [name for name in vars(sys.modules["huggingface_hub.constants"]) if name.isupper()]


#: Of modules that a test may be the first to import: compared if they were there before.
_LATER: dict[str, Callable[[Any], object]] = {
    "matplotlib": _style,
    "PIL.Image": lambda m: m.MAX_IMAGE_PIXELS,
    "PIL.ImageFile": lambda m: m.LOAD_TRUNCATED_IMAGES,
    "huggingface_hub.constants": lambda m: [vars(m)[name] for name in _hub_constants()],
    "numpy": lambda m: m.geterr(),
}
_ALWAYS: dict[str, Callable[[], object]] = {
    "folder": os.getcwd,
    "environment": _environment,
    "signal handlers": lambda: {number.name: signal.getsignal(number) for number in _SIGNALS},
    "limits": _limits,
    "umask": _umask,
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "torch": _torch,
    "logging": _logging,
    "hooks": lambda: (threading.excepthook, sys.unraisablehook, warnings.showwarning),
    "network": lambda: (socket.socket, socket.getdefaulttimeout(), socket.create_connection),
}


def process_state() -> dict[str, object]:
    """Return what tests must leave as they find it; well below a millisecond."""
    state: dict[str, object] = {name: read() for name, read in _ALWAYS.items()}
    state["modules"] = tuple(sys.modules)
    return state | {name: read(sys.modules[name]) for name, read in _LATER.items() if _is_imported(name)}


def import_ours() -> None:
    """Import every module of ours that can be imported, so that none is imported while a test patches another."""
    for name in _OURS:
        with contextlib.suppress(ImportError):
            path = importlib.import_module(name).__path__
            for module in pkgutil.walk_packages(path, f"{name}.", onerror=lambda _: None):
                if not module.name.endswith("__main__"):
                    with contextlib.suppress(ImportError):  # of a framework that is not installed
                        importlib.import_module(module.name)


def _kept_patches(before: dict[str, object]) -> list[str]:
    """Objects of tests in modules of ours that were imported since."""
    found = []
    for name in set(sys.modules).difference(before["modules"]):
        if name.startswith(_OURS):
            kept = [key for key, value in vars(sys.modules[name]).items() if _is_of_tests(value)]
            found += [f"{name} was imported, and keeps the patched {key}" for key in kept]
    return sorted(found)


def _is_of_tests(value: object) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] in ("tests", "unittest")


def _is_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Describe every difference between two states; variables that appear with imports are those of the modules."""
    found = []
    imported = before["modules"] != after["modules"]
    for name, old in before.items():
        new = after.get(name, old)
        if new == old or name == "modules":
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            pairs = {key: (old.get(key), new.get(key)) for key in {*old, *new} if old.get(key) != new.get(key)}
            if name == "environment" and imported:
                pairs = {key: pair for key, pair in pairs.items() if pair[0] is not None}
            found += [f"{name}: {key} was {a!r}, is {b!r}" for key, (a, b) in sorted(pairs.items(), key=str)]
        else:
            found.append(f"{name}: was {old!r}, is {new!r}")
    return found


@contextlib.contextmanager
def unchanged(what: str, *, fails: bool = True) -> Iterator[None]:
    """Fail, or warn, if the process's state is another one at the end; put back what commands set."""
    before, threads, hook = process_state(), torch.get_num_threads(), sys.excepthook
    loggers = [(logger, logger.level, logger.handlers) for logger in map(logging.getLogger, _OURS)]
    yield
    torch.set_num_threads(threads)
    sys.excepthook = hook
    for logger, level, handlers in loggers:
        logger.setLevel(level)
        logger.handlers = handlers
    if found := changes(before, process_state()) + _kept_patches(before):
        message = f"{what} changed the process for all tests after it: {'; '.join(found)}"
        if fails:
            pytest.fail(message, pytrace=False)
        warnings.warn(message, stacklevel=2)
