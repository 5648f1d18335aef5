"""Bundle a checkpoint with the package and add its entry to models.json (for maintainers).

``python -m adept_hub.publish.bundle RUN/export [--alias adept_joint]``, then ``make cards``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from adept_hub.cards.card import PICTURES, write_card
from adept_hub.cards.measurements import check_inside, folders_of
from adept_hub.cards.published import registry_entry
from adept_hub.checkpoint.composed import split
from adept_hub.checkpoint.config_file import CONFIG, WEIGHTS
from adept_hub.errors import AdeptError, PublishError, RegistryError
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file, atomic_folder
from adept_hub.names import split_name
from adept_hub.publish.release import check_publishable
from adept_hub.registry import BUNDLED, MODELS
from adept_hub.registry.reader import MAX_REGISTRY_BYTES, parse_registry, read_registry

#: Maximum size of one bundled checkpoint.
MAX_BYTES = 40_000_000
MAX_PICTURE_BYTES = 1_000_000


def bundle(
    checkpoint: Path, alias: str = "", *, parts_of: str = "", models: Path = MODELS, bundled: Path = BUNDLED
) -> str:
    """Copy a checkpoint next to the registry and register it; an earlier entry of the same name is replaced.

    Args:
        checkpoint: the folder; the pictures in its ``pictures/`` and in its run's are copied, too.
        alias: a name of ``defaults`` that will stand for it.
        parts_of: a bundled checkpoint whose tensors are not stored again.
        models, bundled: the registry file and the folder of its checkpoints.

    Returns:
        The checkpoint's name.

    Raises:
        PublishError: the checkpoint or its pictures are too large, it cannot be published as it is, or ``parts_of`` is
            not bundled.
        RegistryError: the resulting registry would be invalid.
    """
    config = check_publishable(checkpoint)
    if config.size > MAX_BYTES:
        raise PublishError(f"{config.name} has {config.size:,} bytes; a bundled checkpoint may have {MAX_BYTES:,}.")
    pictures = [p for root in folders_of(checkpoint) for pattern in PICTURES for p in sorted(root.glob(pattern))]
    for picture in pictures:
        check_inside(picture, picture.parent.parent)
    if sum(picture.stat().st_size for picture in pictures) > MAX_PICTURE_BYTES:
        raise PublishError(f"The pictures of {config.name} have more than {MAX_PICTURE_BYTES:,} bytes in total.")
    read_registry((models, bundled))
    data: dict[str, Any] = BoundedReader(RegistryError, MAX_REGISTRY_BYTES).json(models)
    if parts_of and parts_of not in data["checkpoints"]:
        raise PublishError(f"There is no bundled checkpoint {parts_of!r}.\nBundle it first, without --parts-of.")
    with atomic_folder(bundled / config.name, overwrite=True) as folder:
        shutil.copyfile(checkpoint / CONFIG, folder / CONFIG)
        if parts_of:
            split(checkpoint, bundled / parts_of, folder)
        else:
            shutil.copyfile(checkpoint / WEIGHTS, folder / WEIGHTS)
        for picture in pictures:
            (folder / "pictures").mkdir(exist_ok=True)
            shutil.copyfile(picture, folder / "pictures" / picture.name)
        write_card(folder, config)
        data["checkpoints"][config.name] = registry_entry(folder, bundled=config.name, parts_of=parts_of)
        if alias:
            data["defaults"][alias] = config.name
        entry = parse_registry(data, str(models))[config.name]
        if (entry.spec, entry.method) != (config.spec, config.provenance.method):
            raise PublishError(
                f"{config.name} does not have the architecture {split_name(config.name)[0]} of its name."
            )
        with atomic_file(models) as temporary:
            temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return config.name


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--alias", default="")
    parser.add_argument("--parts-of", default="", metavar="NAME", help="bundled checkpoint with most of its tensors")
    args = parser.parse_args()
    try:
        name = bundle(args.checkpoint, args.alias, parts_of=args.parts_of)
    except AdeptError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
