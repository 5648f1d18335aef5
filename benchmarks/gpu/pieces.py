"""Checkpoints in pieces of less than 16 MiB, and back: ``python -m benchmarks.gpu.pieces join PIECE... --to FILE``."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from safetensors.torch import load_file, save_file

PIECE = 31 * 2**19


def split(checkpoint: Path, out: Path, name: str, piece: int = PIECE) -> list[Path]:
    """Write the four parts in half precision as ``NAME.NUMBER-OF-COUNT.DIGEST`` files below ``out``."""
    whole = out / f"{name}.whole"
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({key: t.half() if t.is_floating_point() else t for key, t in tensors.items()}, whole)
    content = whole.read_bytes()
    whole.unlink()
    digest, count = hashlib.sha256(content).hexdigest()[:16], -(-len(content) // piece)
    paths = [out / f"{name}.{number}-of-{count}.{digest}" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        path.write_bytes(content[number * piece : (number + 1) * piece])
    return paths


def join(pieces: list[Path], to: Path) -> None:
    """Join the pieces of one checkpoint.

    Raises:
        ValueError: a piece is missing, damaged or of another checkpoint.
    """
    ordered = sorted(pieces, key=lambda path: int(path.name.split(".")[-2].split("-of-")[0]))
    content = b"".join(path.read_bytes() for path in ordered)
    digests = {path.suffix[1:] for path in ordered}
    if digests != {hashlib.sha256(content).hexdigest()[:16]}:
        raise ValueError(f"{', '.join(map(str, ordered))}: not all pieces of one checkpoint, or damaged")
    to.write_bytes(content)


def main() -> None:
    """Split or join."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("split")
    one.add_argument("checkpoint", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--name", required=True)
    two = commands.add_parser("join")
    two.add_argument("pieces", type=Path, nargs="+")
    two.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "split":
        split(args.checkpoint, args.out, args.name)
    else:
        join(args.pieces, args.to)


if __name__ == "__main__":
    main()
