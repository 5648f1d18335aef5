"""The demo: load, draw, export, and print the next commands."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

import adept_hub
from adept_hub.convert.export import read_export
from adept_hub.detectors.regions import at_pretraining_scale, random_start
from adept_hub.errors import OutputExistsError
from adept_hub.frameworks import FRAMEWORKS
from adept_hub.io.disk_errors import disk_errors
from adept_hub.models.propose import propose
from adept_hub.words.command_line import command_line
from adept_hub.words.pulse import doing
from adept_training.demo.draw import ImagePanel, draw_sheet
from adept_training.images import decode, open_images
from adept_training.proposals import filter_boxes, selective_search
from adept_training.runtime.cpus import use_threads
from adept_training.runtime.progress import counting

PHOTOGRAPHS = Path(__file__).parent.parent / "photographs"
_MARKER = ".adept-demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--source", default="detection", metavar="SOURCE", help="weights (default: %(default)s)")
    parser.add_argument(
        "--images",
        type=Path,
        default=PHOTOGRAPHS,
        metavar="IMAGES",
        help="your own images (default: four bundled photographs)",
    )
    parser.add_argument("--top", type=int, default=12, metavar="N", help="proposals to draw (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=8, metavar="N", help="maximum number of images (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo into ``--out``; the folder of a previous demo is replaced, any other is left alone."""
    use_threads(0)
    with doing(lambda: f"1 of 3: loading {args.source}"):
        model = adept_hub.load_pretrained(args.source)
        images = open_images(args.images)
    _prepare(args.out)  # removes a previous demo, so only after all checks
    _say(f"1. Load {args.source}\n")
    _say(f"{model.load_report}\n")
    _say("\n2. Look: regions that the RPN proposes before and after pre-training, next to selective search's boxes\n")
    with doing(lambda: "2 of 3: preparing the RPN before and after pre-training"):
        before = random_start(model.checkpoint_config)
        after = at_pretraining_scale(args.source, model.checkpoint_config)
    pictures = picture_names(images.keys()[: args.most])
    for key, name in counting(pictures.items(), len(pictures), "2 of 3: drawing", " pictures"):
        path = args.out / f"{name}.png"
        _draw((before, after), decode(images.read(key), key), name, args.top, path)
        _say(f"   {path}\n")
    _say("\n3. Export to every framework\n")
    expected = adept_hub.load_state_dict(args.source)
    for name, framework in counting(FRAMEWORKS.items(), len(FRAMEWORKS), "3 of 3: exporting", " frameworks"):
        folder = args.out / name
        adept_hub.export(args.source, name, folder)
        back = read_export(folder, framework)
        same = back.keys() == expected.keys() and all(torch.equal(back[key], expected[key]) for key in expected)
        _say(f"   {folder}: {len(back)} tensors, read back {'equal bit for bit' if same else 'DIFFERENT'}\n")
        if not same:
            return 1
    _say(_next_steps(args.out, args.source))
    return 0


def picture_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a name for each image: its stem, numbered if several share it (such as cam1/0.png and cam2/0.png)."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        stem = Path(key).stem
        name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(keys) + 2))) if n not in taken)
        taken.add(name)
        names[key] = name
    return names


def _draw(models: tuple[GeneralizedRCNN, GeneralizedRCNN], image: np.ndarray, name: str, top: int, path: Path) -> None:
    """Draw the best regions of the RPN before and after pre-training, at the same scale, and selective search's."""
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    before, after = (propose(model, [pixels])[0].boxes_K4[:top].numpy() for model in models)
    searched = filter_boxes(selective_search(image), (width, height))
    searched = np.unique(searched, axis=0) if len(searched) else searched
    panels = (
        ImagePanel("before: RPN, random values", f"its {len(before)} best regions, warm colors first", image, before),
        ImagePanel("after: RPN, pre-trained", f"its {len(after)} best regions, warm colors first", image, after),
        ImagePanel("selective search", f"{len(searched)} different boxes after the paper's filter", image, searched),
    )
    draw_sheet(name, panels, path)


def _prepare(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        if not (out / _MARKER).exists():
            raise OutputExistsError(
                f"{out} already exists and is not a demo's folder.\nChoose another folder: --out DIR"
            )
        shutil.rmtree(out)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARKER).touch()


def _next_steps(out: Path, source: str) -> str:
    steps = "".join(f"   {framework.next_steps(out / name)}\n" for name, framework in FRAMEWORKS.items())
    tuned = command_line("finetune", source, "--data", "DATA", "--out", "runs/tuned")
    return (
        f"\n4. Next, on your own data\n{steps}"
        f"   Fine-tune: {tuned}\n"
        "   (DATA: coco:ANN.json:IMAGES, voc:DIR or yolo:data.yaml; a detector of classes needs your labels)\n"
        "   Pre-train: adept pretrain --images IMAGES --recipe own_photos_detection --out runs/mine\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
