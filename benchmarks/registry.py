"""list_models and model_info over 10,000 registered checkpoints, in fresh processes: python -m benchmarks.registry

Each row is the first call in its process, the registry's files unread, and then a second call. The unit is one
``json.loads`` of the same file in the same process, so that the ratios hold on any machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ENTRIES = 10_000
RUNS = 7

CHILD = """
import json, os, sys, time
import adept_hub
from pathlib import Path

call = {
    "list_models()": lambda: adept_hub.list_models("many*", pretrained=True),
    "model_info()": lambda: adept_hub.model_info("many_r18_fpn.t1234"),
}[sys.argv[1]]
begin = time.perf_counter(); call(); first = time.perf_counter() - begin
begin = time.perf_counter(); call(); again = time.perf_counter() - begin
text = Path(os.environ["ADEPT_REGISTRY"]).read_bytes()
begin = time.perf_counter(); json.loads(text); unit = time.perf_counter() - begin
print(json.dumps([first, again, unit]))
"""


def registry_file(folder: Path) -> Path:
    """A registry of 10,000 checkpoints, each with a location, a digest and a metric."""
    points = {
        f"many_r18_fpn.t{i}": {
            "location": {"repo": f"org/repo{i}", "revision": f"{i:040x}"},
            "sha256": f"{i:064x}",
            "size": 1_000_000 + i,
            "licence": "apache-2.0",
            "data": "photographs",
            "images": 9677,
            "epochs": 100.0,
            "metrics": [{"name": "AP", "value": 38.2, "data": "COCO val2017", "provenance": "self-reported"}],
        }
        for i in range(ENTRIES)
    }
    arch = {"many_r18_fpn": {"method": "soco", "spec": {"depth": 18}, "summary": "a benchmark's"}}
    path = folder / "registry.json"
    path.write_text(json.dumps({"format_version": 1, "architectures": arch, "checkpoints": points}))
    return path


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = registry_file(Path(folder))
        print(f"{ENTRIES:,} entries, {path.stat().st_size / 1e6:.1f} MB; medians of {RUNS} fresh processes")
        environment = os.environ | {"ADEPT_REGISTRY": str(path)}
        for name in ("list_models()", "model_info()"):
            runs = [
                json.loads(
                    subprocess.run(
                        [sys.executable, "-c", CHILD, name], env=environment, capture_output=True, check=True
                    ).stdout
                )
                for _ in range(RUNS)
            ]
            first, again, unit = (statistics.median(column) * 1e3 for column in zip(*runs, strict=True))
            print(
                f"{name:14} first {first:6.1f} ms ({first / unit:.2f} x json.loads of the file, {unit:.1f} ms), "
                f"again {again:6.2f} ms"
            )


if __name__ == "__main__":
    main()
