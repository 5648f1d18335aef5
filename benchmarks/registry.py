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
RUNS = 9

CALLS = {
    "list_models()": 'adept_hub.list_models("many*", pretrained=True)',
    "model_info()": 'adept_hub.model_info("many_r18_fpn.t1234")',
}
CHILD = """
import json, sys, time
import adept_hub

call = eval(compile("lambda: " + sys.argv[1], "call", "eval"))
begin = time.perf_counter(); call(); first = time.perf_counter() - begin
begin = time.perf_counter(); call(); again = time.perf_counter() - begin
text = open(sys.argv[2], "rb").read()
begin = time.perf_counter(); json.loads(text); unit = time.perf_counter() - begin
print(json.dumps([first, again, unit]))
"""


def registry_files(folder: Path) -> tuple[Path, Path]:
    """A registry of 10,000 checkpoints, each with a location, a digest and a metric: as JSON and as JSON Lines."""
    points = {
        f"many_r18_fpn.t{i}": {
            "location": {"repo": f"org/repo{i}", "revision": f"{i:040x}"},
            "sha256": f"{i:064x}",
            "size": 1_000_000 + i,
            "license": "apache-2.0",
            "data": "photographs",
            "images": 9677,
            "epochs": 100.0,
            "metrics": [{"name": "AP", "value": 38.2, "data": "COCO val2017", "provenance": "self-reported"}],
        }
        for i in range(ENTRIES)
    }
    arch = {"many_r18_fpn": {"method": "soco", "spec": {"depth": 18}, "summary": "a benchmark's"}}
    head = {"format_version": 2, "architectures": arch}
    whole, lines = folder / "registry.json", folder / "registry.jsonl"
    whole.write_text(json.dumps(head | {"checkpoints": points}))
    entries = (json.dumps({"name": name} | point) for name, point in points.items())
    lines.write_text("\n".join([json.dumps(head), *entries]) + "\n")
    return whole, lines


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        whole, lines = registry_files(Path(folder))
        print(f"{ENTRIES:,} entries, {whole.stat().st_size / 1e6:.1f} MB; medians (least) of {RUNS} fresh processes")
        for _ in range(RUNS):
            for path in (lines, whole):
                for name in CALLS:
                    _measure(path, name, whole)
        for (suffix, name), runs in MEASURED.items():
            first, again, unit = ([value * 1e3 for value in column] for column in zip(*runs, strict=True))
            print(
                f"{suffix:6} {name:14} first {_spread(first)} ms "
                f"({statistics.median(first) / statistics.median(unit):.2f} x json.loads of {whole.name}, "
                f"{_spread(unit)} ms), again {statistics.median(again):5.2f} ms"
            )


MEASURED: dict[tuple[str, str], list[list[float]]] = {}


def _measure(path: Path, name: str, unit: Path) -> None:
    environment = os.environ | {"ADEPT_REGISTRY": str(path)}
    command = [sys.executable, "-c", CHILD, CALLS[name], str(unit)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    MEASURED.setdefault((path.suffix, name), []).append(json.loads(done.stdout))


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):5.1f} ({min(values):.1f})"


if __name__ == "__main__":
    main()
