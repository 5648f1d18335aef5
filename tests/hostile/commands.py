"""Every command that writes, small enough to be killed and starved of disk space many times.

Each writes below ``{home}/out``, from what `make` put into ``{home}/in`` once.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.kills import files_of, leavings
from tests.training.conftest import TINY, write_voc
from tests.training.support import write_photographs

_SET = " ".join(f"--set {setting}" for setting in TINY)
_ONE = f"{_SET} --set schedule.iterations=1 --device cpu"

_BOTH = "scratch {in}/detector --data voc:{in}/voc --out {out}"


@dataclass(frozen=True)
class Writing:
    """A command: its words, and which of its files are the same each time.

    Attributes:
        words: with ``{in}`` and ``{out}``.
        varying: endings of files that hold times or ways of drawing; they must be there, and whole.
        seconds: about how long it takes.
        resumes: words that a second start needs.
        at_once: the folder appears with all its files, or not at all.
        keeps: a second start goes on from what the first one finished.
    """

    words: str
    varying: tuple[str, ...] = ()
    seconds: float = 1.0
    resumes: str = ""
    at_once: bool = False
    keeps: bool = False

    def argv(self, inputs: Path, out: Path, *, resume: bool = False) -> list[str]:
        words = f"{self.words} {self.resumes if resume else ''}".split()
        return [word.replace("{in}", str(inputs)).replace("{out}", str(out)) for word in words]


COMMANDS = {
    "export": Writing("export {in}/checkpoint --to detectron2 --out {out}", seconds=0.6, at_once=True),
    "export, mmdet": Writing("export {in}/checkpoint --to mmdet --out {out}", at_once=True),
    "import": Writing("import {in}/resnet18.pth --layout torchvision --out {out}", at_once=True),
    "card": Writing("card --all {out}", seconds=0.3),
    "data subset": Writing("data subset voc:{in}/voc --labels 2img --out {out}", seconds=0.3),
    "proposals": Writing("proposals {in}/photographs --out {out}/table --preset fixed --workers 1 --quiet",
                         varying=("fingerprint",), seconds=2, keeps=True),
    "evaluate": Writing("evaluate {in}/detector --data voc:{in}/voc --device cpu --report {out} "
                        "--save-detections {out}/found.json", varying=(".html",), seconds=2),
    "deploy": Writing("deploy {in}/detector --to torchvision --out {out}", at_once=True),
    "deploy, detectron2": Writing("deploy {in}/detector --to detectron2 --out {out}", at_once=True),
    "deploy, mmdet": Writing("deploy {in}/detector --to mmdet --out {out}", at_once=True),
    "deploy, onnx": Writing("deploy {in}/detector --to onnx --out {out}", seconds=3, at_once=True),
    "report": Writing("report {in}/run --out {out}/report.html", varying=(".html",)),
    "finetune": Writing(f"finetune {{in}}/detector --data voc:{{in}}/voc --out {{out}} {_ONE}",
                        varying=(".jsonl", ".json", ".html", ".pt", ".sha256", ".md"), seconds=4, resumes="--resume",
                        keeps=True),
    "compare": Writing(f"compare {_BOTH} --image-counts 2 --seeds 1 {_ONE}",
                       varying=(".jsonl", ".html", ".json", ".csv", ".md"), seconds=4, keeps=True),
    "fewshot": Writing(f"fewshot {{in}}/detector --data voc:{{in}}/voc --out {{out}} --shots 1 --seeds 1 {_ONE}",
                       varying=(".jsonl", ".html", ".json", ".csv", ".md"), seconds=4, keeps=True),
}  # fmt: skip


def make_inputs(folder: Path, checkpoint: Path) -> Path:
    """Everything that the commands read."""
    import torch

    from adept_hub.detectors.folder import DetectorConfig
    from adept_hub.models.parts import _RESNETS
    from adept_hub.spec import DetectorSpec
    from adept_training.finetuning.detector import build_detector, save_detector
    from adept_training.finetuning.recipe import load_finetune_recipe
    from tests.hostile.readers_runs import make_run

    shutil.copytree(checkpoint, folder / "checkpoint")
    torch.save(_RESNETS[18](weights=None).state_dict(), folder / "resnet18.pth")
    write_voc(folder / "voc", images=3)
    write_photographs(folder / "photographs", 6)
    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    recipe = load_finetune_recipe(None, TINY).detector
    model = build_detector("scratch", 2, recipe, 3, spec)
    save_detector(folder / "detector", model, DetectorConfig("scratch", ("blue", "red"), recipe, 1, {}), spec, None)
    (folder / "run").mkdir()
    make_run(folder / "run")
    return folder


def check_whole(command: Writing, out: Path, expected: dict[str, bytes], *, finished: bool) -> None:
    """Under final names lies nothing half-written, whenever the command ended.

    Raises:
        AssertionError: something does.
    """
    found = {name: content for name, content in files_of(out).items() if not _hidden(name)}
    for name, content in found.items():
        if name in expected and not name.endswith(command.varying or ("\0",)):
            assert content == expected[name], f"{name} is neither absent nor whole"
        elif name.endswith(".html"):
            assert content.rstrip().endswith(b"</html>"), f"{name} is cut"
    if finished or (command.at_once and found):
        missing = {name for name in expected if not _hidden(name)} - set(found)
        assert not missing, f"missing: {missing}"
    if finished:
        for folder in (out.parent, out, *(path for path in out.rglob("*") if path.is_dir())):
            assert leavings(folder) == [], f"left in {folder}: {leavings(folder)}"


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)
