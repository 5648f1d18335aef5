"""Execute the notebooks, and write them with their outputs to a folder: `make notebooks`.

The files here are stored without outputs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Execute every notebook, or those that are named; fail with the first that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="without .ipynb; default: all")
    parser.add_argument("--out", type=Path, default=Path("out/notebooks"), metavar="DIR", help="default: %(default)s")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(HERE.glob("*.ipynb")):
        if args.names and path.stem not in args.names:
            continue
        start = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(args.out)}}
        ).execute()
        nbformat.write(notebook, args.out / path.name)
        sys.stdout.write(f"{path.stem}: {time.perf_counter() - start:.0f} s, {args.out / path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
