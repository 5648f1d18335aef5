"""A fork server with given modules imported; multiprocessing itself has one for all tests of a session.

Whoever starts it first decides what its children have imported. Tests of the environment that huggingface_hub reads
when it is imported would then depend on the order of the files: the server is started again for other modules.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import _forkserver  # type: ignore[attr-defined]  # the one that all contexts share


def fork_server(*modules: str) -> ForkServerContext:
    """Return the context whose processes are forked with exactly ``modules`` imported."""
    context = multiprocessing.get_context("forkserver")
    if _forkserver._preload_modules != list(modules):
        _forkserver._stop()
        context.set_forkserver_preload(list(modules))
    return context
