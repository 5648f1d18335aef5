"""Damaged and hostile headers and configs, by the thousand: python -m tests.hub.fuzz 2000

The attacker writes the whole folder, so that size and digest in the config are always those of the file. Each case
must end in an `AdeptError` of at most three lines, within a second (of the CPU, so that a busy
machine does not matter; an attack's own making is included) and 200 MB. A change that happens to change nothing
(a space, a character of a free text) may load: then what was loaded is exactly what the config promises.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_config, read_tensors
from adept_hub.errors import AdeptError
from adept_hub.io.digest import sha256_file
from adept_hub.models.contract import expected_tensors
from tests.checkpoint.malicious_pickles import CASES
from tests.hostile.mutate import dump, mutate_bytes, mutate_tree
from tests.hub.headers import data_bytes, read_header


@dataclass
class Report:
    """What happened: cases by outcome, the slowest and what memory grew by."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: float = 0.0
    loaded: list[str] = field(default_factory=list)


class Folder:
    """A checkpoint folder whose weights are sparse, to be written with one part changed."""

    def __init__(self, checkpoint: Path, place: Path) -> None:
        self.place = place
        self.header = read_header(checkpoint / WEIGHTS)
        self.config = json.loads((checkpoint / CONFIG).read_text())
        self.tail = data_bytes(self.header)
        self.good = json.dumps(self.header).encode()

    def write(self, config: bytes | None, header: bytes, length: int | None = None, promised: bool = True) -> None:
        """Write both files; without a config, the true one for the file."""
        weights = self.place / WEIGHTS
        with weights.open("wb") as stream:
            stream.write((len(header) if length is None else length).to_bytes(8, "little") + header)
            stream.truncate(stream.tell() + self.tail)
        if config is None:
            digest = sha256_file(weights) if promised else "0" * 64
            config = json.dumps(self.config | {"sha256": digest, "size": weights.stat().st_size}).encode()
        (self.place / CONFIG).write_bytes(config)

    def case(self, rng: random.Random, promised: bool) -> str:
        """One damaged folder; what was done. With ``promised`` the config has the digest of the damaged file."""
        kind = rng.choice(["header json", "header bytes", "header length", "config json", "config bytes"])
        if kind == "header json":
            done, header = mutate_tree(self.header, rng.choice)
            self.write(None, dump(header), promised=promised)
        elif kind == "header bytes":
            done, content = mutate_bytes(self.good, rng.choice)
            self.write(None, content, rng.choice([None, len(self.good)]), promised)
        elif kind == "header length":
            length = rng.choice([0, 1, 7, rng.randrange(2**20), rng.randrange(2**40), 2**63, 2**64 - 1])
            done = str(length)
            self.write(None, self.good, length, promised)
        elif kind == "config json":
            done, config = mutate_tree(self.config, rng.choice)
            self.write(dump(config), self.good)
        else:
            done, content = mutate_bytes(json.dumps(self.config).encode(), rng.choice)
            self.write(content, self.good)
        return f"{kind}: {done}"


def run(checkpoint: Path, cases: int, seed: int = 0) -> Report:
    """Try ``cases`` damaged folders.

    Raises:
        AssertionError: one of them was neither refused in order nor harmless.
    """
    rng, report = random.Random(seed), Report()
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(checkpoint, Path(place))
        folder.write(None, folder.good)
        read_tensors(folder.place, read_config(folder.place))  # the same sparse folder, undamaged, does load
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(cases):
            verified = number % 10 == 0  # the digest of 22 MB takes longer than all else
            done = folder.case(rng, verified)
            begin = time.process_time()
            try:
                config = read_config(folder.place)
                tensors = read_tensors(folder.place, config, verified=verified)
            except AdeptError as error:
                report.outcomes[type(error).__name__] += 1
                told = str(error)
            else:
                told = "it loads"
                expected = expected_tensors(config.spec)
                assert {k: tuple(t.shape) for k, t in tensors.items()} == {k: s for k, (s, _) in expected.items()}, done
                report.outcomes["loaded, as promised"] += 1
                report.loaded.append(done)
                del tensors
            assert 1 <= len(told.splitlines()) <= 3, (done, told[:2000])
            assert len(told) < 2000, (done, told[:2000])
            report.seconds = max(report.seconds, time.process_time() - begin)
        report.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return report


def run_attacks(checkpoint: Path) -> Report:
    """The attacks of `tests.hub.malicious`, each on a copy of its own.

    Raises:
        AssertionError: one was not refused.
    """
    report = Report()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for attack in CASES.values():
        with tempfile.TemporaryDirectory() as place:
            work, folder = Path(place) / "work", Path(place) / "checkpoint"
            work.mkdir()
            shutil.copytree(checkpoint, folder)
            begin = time.process_time()
            try:
                attack(work, folder)
            except AdeptError as error:
                report.outcomes[type(error).__name__] += 1
            report.seconds = max(report.seconds, time.process_time() - begin)
    assert sum(report.outcomes.values()) == len(CASES), report.outcomes
    report.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return report


def main() -> None:
    """Fuzz as often as asked, and print what happened."""
    from adept_hub.checkpoint.folder import write_checkpoint
    from adept_hub.models import DetectorParts
    from adept_hub.spec import PARTS, DetectorSpec, Provenance

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    spec = DetectorSpec(depth=18, fpn_channels=8, head_conv_channels=8, head_fc_channels=8)
    provenance = Provenance(
        "adept_joint", "random numbers", 5, 1.0, "target", recipe={"optim": {"lr": 0.5, "steps": [1, 2]}}
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkpoint"
        tensors = DetectorParts(spec).state_dict()
        options: dict[str, Any] = {"spec": spec, "provenance": provenance, "license": "mit", "parts": PARTS}
        write_checkpoint(folder, tensors, name="adept_joint_r18_fpn8.fuzz", **options)
        report = run(folder, args.cases, args.seed)
        attacks = run_attacks(folder)
    lines = [
        f"{args.cases} cases; slowest {report.seconds:.3f} CPU s; memory grew by {report.megabytes:.0f} MB at most"
    ]
    lines += [f"{count:6}  {outcome}" for outcome, count in report.outcomes.most_common()]
    lines += [
        f"{len(CASES)} attacks refused; slowest {attacks.seconds:.3f} CPU s; memory grew by {attacks.megabytes:.0f} MB"
    ]
    lines += [f"        harmless: {done[:100]}" for done in report.loaded[:40]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
