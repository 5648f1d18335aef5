"""``adept://SOURCE[#option=value&...]`` becomes a file of weights in a framework's own format."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

from adept_hub.convert.options import Framework
from adept_hub.errors import SourceError

PREFIX = "adept://"
#: What may stand behind the ``#``; a query (``?``) would be taken by Detectron2 for its own.
OPTIONS = ("detector", "norm", "anchors", "revision")

_log = logging.getLogger(__name__)


class Door(NamedTuple):
    """The parts of an address: what ``adept_hub.load_pretrained`` accepts, and options."""

    source: str
    options: dict[str, str]


def parse_address(address: str) -> Door:
    """Split ``adept://SOURCE#detector=cascade_rcnn&norm=FrozenBN``.

    Raises:
        SourceError: no source, or an unknown option.
    """
    source, _, tail = address.removeprefix(PREFIX).partition("#")
    options = dict(item.partition("=")[::2] for item in tail.split("&")) if tail else {}
    unknown = sorted(set(options) - set(OPTIONS))
    if not source or unknown:
        what = f"the option {unknown[0]!r}" if unknown else "an address without a source"
        raise SourceError(
            f"{address!r}: {what} is not understood.\n"
            f"Write adept://NAME, or adept://NAME#detector=cascade_rcnn; options: {', '.join(OPTIONS)}."
        )
    return Door(source, options)


def cached_weights(address: str, framework: Framework) -> Path:
    """A ``model.pth`` for the framework, exported once into the cache; safe when many processes ask at once.

    Raises:
        SourceError: the address cannot be understood.
        Others as in `adept_hub.load_state_dict`.
    """
    import torch

    from adept_hub.atomic import atomic_file
    from adept_hub.checkpoint import read_tensors
    from adept_hub.convert.export import export_state, wrapped
    from adept_hub.convert.options import Target
    from adept_hub.digest import cache_dir
    from adept_hub.fetch import FetchOptions, fetch

    door = parse_address(address)
    choices = {name: value for name, value in door.options.items() if name != "revision"}
    target = Target(**choices)  # type: ignore[arg-type]  # checked by the dataclass
    fetched = fetch(door.source, FetchOptions(revision=door.options.get("revision")))
    config = fetched.config
    key = hashlib.sha256(f"{config.sha256} {framework} {target}".encode()).hexdigest()[:16]
    path = cache_dir() / "doors" / f"{config.name}-{framework}-{key}.pth"
    if not path.is_file():
        state = export_state(read_tensors(fetched.folder, config), config.spec, framework, target)
        copies = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        with atomic_file(path) as temporary:
            torch.save(wrapped(copies, framework), temporary)
    _log.info("%s: %s for %s (%s)", address, config.name, framework, target.detector)
    _log.info("Does your config agree with these weights? adept doctor YOUR_CONFIG --target %s", framework)
    return path
