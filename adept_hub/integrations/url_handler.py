"""Resolve ``adept://SOURCE[#option=value&...]`` to a weights file in a framework's format."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

from adept_hub.arguments.calls import checked
from adept_hub.errors import SourceError
from adept_hub.words.spelling import did_you_mean

PREFIX = "adept://"
#: Options after the ``#``; Detectron2 would interpret a query (``?``) itself.
OPTIONS = ("detector", "norm", "anchors", "revision")

_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """The parts of an address: a source of ``adept_hub.load_pretrained``, and options."""

    source: str
    options: dict[str, str]


@checked
def parse_address(address: str) -> Address:
    """Split ``adept://SOURCE#detector=cascade_rcnn&norm=FrozenBN``.

    Raises:
        SourceError: the source is missing, an option is unknown, or an option is repeated.
    """
    source, _, tail = address.removeprefix(PREFIX).partition("#")
    items = [item.partition("=")[::2] for item in tail.split("&")] if tail else []
    names = [name for name, _ in items]
    if not source:
        raise _not_understood(address, "the source is missing.")
    if unknown := [name for name in names if name not in OPTIONS]:
        raise _not_understood(address, f"{unknown[0]!r} is not an option.{did_you_mean(unknown[0], OPTIONS)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise _not_understood(address, f"the option {twice[0]!r} is repeated.")
    return Address(source, dict(items))


def _not_understood(address: str, why: str) -> SourceError:
    return SourceError(
        f"{address!r}: {why}\nWrite adept://NAME, or adept://NAME#detector=cascade_rcnn; options: {', '.join(OPTIONS)}."
    )


@checked
def cached_weights(address: str, framework: str, *, force: bool = False) -> Path:
    """Return a ``model.pth`` for the framework, exported once into the cache; safe for concurrent processes.

    ``force`` fetches and exports again.

    Raises:
        SourceError: the address is not valid.
        Others as in `adept_hub.load_state_dict`.
    """
    import torch

    from adept_hub.checkpoint.folder import read_tensors
    from adept_hub.convert.export import export_state
    from adept_hub.convert.options import Target
    from adept_hub.frameworks import find_framework
    from adept_hub.hub.fetch import FetchOptions, fetch
    from adept_hub.io.digest import cache_dir
    from adept_hub.io.write import atomic_file
    from adept_hub.spec import PARTS

    parsed, definition = parse_address(address), find_framework(framework)
    choices = {name: value for name, value in parsed.options.items() if name != "revision"}
    target = Target(**choices)  # type: ignore[arg-type]  # checked by the dataclass
    fetched = fetch(parsed.source, FetchOptions(revision=parsed.options.get("revision"), force=force))
    config = fetched.config
    key = hashlib.sha256(f"{config.sha256} {framework} {target}".encode()).hexdigest()[:16]
    path = cache_dir() / "converted" / f"{config.name}-{framework}-{key}.pth"
    if force or not path.is_file():
        state = export_state(read_tensors(fetched.folder, config), config.spec, definition, target)
        copies = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        with atomic_file(path) as temporary:
            torch.save(definition.wrap(copies, ()), temporary)
    _log.info("%s: %s for %s (%s)", address, config.name, framework, target.detector)
    if lacking := [part for part in PARTS if part not in config.parts]:
        _log.warning("%s has no %s: randomly initialized by %s", config.name, " and no ".join(lacking), framework)
    _log.info("To check that your config matches these weights: adept doctor YOUR_CONFIG --target %s", framework)
    return path
