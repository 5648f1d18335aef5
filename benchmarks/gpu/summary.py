"""Paired differences of the ladder's arms: ``python -m benchmarks.gpu.summary results.jsonl [MORE...]``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from adept_training.metrics.stats import interval

METRICS = ("AP", "AP50", "AR100", "RPN_AR100", "TIDE_Loc", "TIDE_Miss")


def main() -> None:
    """Print a line for every arm and metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    args = parser.parse_args()
    arms: dict[tuple[str, str, int, float], dict[str, dict[int, dict[str, float]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for path in args.results:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            result = row["result"]
            if "metrics" in result:
                domain = row["name"].split("/")[0]
                key = (domain, result["budget"], result["length"], result["lr"])
                arms[key][result["source"]][result["seed"]] = result["metrics"]
    for (domain, budget, length, rate), sources in sorted(arms.items()):
        sys.stdout.write(f"\n{domain}, {budget}, {length} iterations, lr {rate}\n")
        scratch = sources.get("scratch", {})
        for source, draws in sorted(sources.items()):
            words = [f"{source:18s} {len(draws)} draws"]
            paired = sorted(set(draws) & set(scratch)) if source != "scratch" else []
            for metric in METRICS:
                if not all(metric in draw for draw in (*draws.values(), *scratch.values())):
                    continue
                mean = statistics.mean(draw[metric] or 0.0 for draw in draws.values())
                text = f"{metric} {mean:.1f}"
                if paired:
                    gain = interval([(draws[s][metric] or 0.0) - (scratch[s][metric] or 0.0) for s in paired])
                    text += f" ({gain.mean:+.1f} ± {gain.half:.1f})"
                words.append(text)
            sys.stdout.write("  ".join(words) + "\n")


if __name__ == "__main__":
    main()
