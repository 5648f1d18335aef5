"""Draw the figures of docs/concepts.md from the bundled images, with the functions that training uses.

    python docs/_site/figures.py        # writes docs/figures/*.jpg and *.svg

Legend: K boxes, A anchors, C channels. Boxes are xyxy in pixels.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from PIL import Image

import adept_hub
import adept_training
from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.models.parts import STRIDES
from adept_hub.spec import AnchorSpec, LevelSpec
from adept_training.data.views import ViewsRecipe, draw_views
from adept_training.method.levels import assign_levels
from adept_training.method.rpn import POSITIVE, RPNRecipe, label_anchors, make_anchors
from adept_training.proposals import filter_boxes, selective_search
from adept_training.studio.objectness import as_ranks, largest
from adept_training.studio.objectness import objectness as objectness_maps

OUT = Path(__file__).resolve().parents[1] / "figures"
PHOTOGRAPHS = Path(adept_training.__file__).parent / "photographs"
#: One color per level, P2 to P5, distinct for the color-blind (Okabe and Ito).
COLORS = ("#d55e00", "#e69f00", "#009e73", "#0072b2")
INK, GRAY = "#1f2328", "#6e7781"


def read(name: str) -> np.ndarray:
    """Return a bundled image, uint8 (H, W, 3)."""
    return np.asarray(Image.open(PHOTOGRAPHS / f"{name}.jpg").convert("RGB"))


def rectangle(axes: Axes, box: np.ndarray, color: str, line: float = 2.0, text: str = "") -> None:
    """Draw one box, with a tag inside its upper left corner."""
    x1, y1, x2, y2 = (float(v) for v in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=line))
    if text:
        style = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
        axes.text(x1 + 3, y1 + 3, text, color="white", fontsize=9, va="top", bbox=style)


def show(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image without axes."""
    axes.imshow(image)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_axis_off()


def save(figure: plt.Figure, name: str) -> None:
    """Write docs/figures/NAME."""
    keywords = {"pil_kwargs": {"quality": 85}} if name.endswith("jpg") else {"metadata": {"Date": None}}
    figure.savefig(OUT / name, dpi=130, bbox_inches="tight", facecolor="white", **keywords)
    plt.close(figure)


def candidates(image: np.ndarray) -> np.ndarray:
    """Return different boxes of the paper's selective search, (K, 4)."""
    height, width = image.shape[:2]
    return np.unique(filter_boxes(selective_search(image), (width, height)), axis=0)


def views() -> None:
    """Draw three views of one image with the boxes that they share."""
    image = read("coffee")
    found = candidates(image)
    drawn = draw_views(np.random.default_rng(8), image, found, ViewsRecipe(jitter_prob=0.0))
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), width_ratios=(1.35, 1, 1, 0.6))
    show(axes[0], image, f"image: {len(found)} boxes of selective search")
    for box in found:
        rectangle(axes[0], box, "white", 0.9)
    shown = ((drawn.boxes1_S[0], "V1: the whole image, 224 px"), (drawn.boxes2, "V2: a crop, 224 px"),
             (drawn.boxes3, "V3: V2 at 112 px"))  # fmt: skip
    for at, (boxes, title) in enumerate(shown):
        show(axes[at + 1], drawn.pixels[at], title)
        levels = assign_levels(torch.from_numpy(boxes.boxes_K4), LevelSpec()).tolist()
        order = [int(i) for i in dict.fromkeys(drawn.boxes2.ids_K.tolist())]
        for box, level, key in zip(boxes.boxes_K4, levels, boxes.ids_K, strict=True):
            rectangle(axes[at + 1], box, COLORS[level], 2.2, str(order.index(int(key)) + 1) if at < 2 else "")
    _levels_legend(figure)
    save(figure, "views.jpg")


def _levels_legend(figure: plt.Figure) -> None:
    upper = LevelSpec().upper
    names = [f"P{i + 2}: up to {size:g} px" if i < 3 else "P5: larger" for i, size in enumerate(upper)]
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in COLORS]
    figure.legend(handles, names, loc="lower left", ncols=4, fontsize=9, frameon=False, bbox_to_anchor=(0.11, -0.06))


def levels() -> None:
    """Draw the cells of the four maps over one view, with a box that belongs to each."""
    image = np.asarray(Image.fromarray(read("astronaut")).resize((224, 224)))
    sides = (40, 80, 150, 215)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
    for level, (axis, side) in enumerate(zip(axes, sides, strict=True)):
        stride = STRIDES[level]
        show(axis, image, f"P{level + 2}: a cell is {stride} px, {224 // stride} x {224 // stride} cells")
        for line in np.arange(0, 225, stride):
            axis.plot([line - 0.5, line - 0.5], [0, 223], color="white", linewidth=0.35, alpha=0.7)
            axis.plot([0, 223], [line - 0.5, line - 0.5], color="white", linewidth=0.35, alpha=0.7)
        corner = (118 - side / 2, 80 - min(side / 2, 76))
        box = np.array([max(corner[0], 2), max(corner[1], 2), min(corner[0] + side, 222), min(corner[1] + side, 222)])
        own = int(assign_levels(torch.tensor(box, dtype=torch.float32)[None], LevelSpec())[0])
        assert own == level, (own, level)
        rectangle(axis, box, COLORS[level], 3)
    save(figure, "levels.jpg")


def anchors() -> None:
    """Draw the anchors at one location, and those that count as positive for two boxes."""
    image = np.asarray(Image.fromarray(read("astronaut")).resize((224, 224)))
    maps = [torch.zeros(1, 1, 224 // stride, 224 // stride) for stride in STRIDES]
    grid = make_anchors(AnchorSpec(), maps)
    wanted = torch.tensor([[60.0, 2.0, 150.0, 112.0], [2.0, 96.0, 190.0, 222.0]])
    label_NA, _ = label_anchors(torch.cat(grid), wanted[None], torch.ones(1, 2, dtype=torch.bool), RPNRecipe())
    per_level = torch.split(label_NA[0], [len(x) for x in grid])
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.9))
    show(axes[0], image, "one location: three shapes per level")
    for level, anchors_A4 in enumerate(grid):
        side = maps[level].shape[-1]
        at = 3 * ((side // 2) * side + side // 2)
        for box in anchors_A4[at : at + 3]:
            rectangle(axes[0], box.numpy(), COLORS[level], 1.6)
    show(axes[1], image, "two boxes")
    show(axes[2], image // 2, f"their positive anchors: {int((label_NA == POSITIVE).sum())} of {label_NA.numel():,}")
    for level, (anchors_A4, labels_A) in enumerate(zip(grid, per_level, strict=True)):
        for box in anchors_A4[labels_A == POSITIVE]:
            rectangle(axes[2], box.numpy(), COLORS[level], 1.2)
    for axis in axes[1:]:
        for box in wanted:
            rectangle(axis, box.numpy(), "white", 2.2)
    for axis in axes:
        axis.set_xlim(-0.5, 223.5)
        axis.set_ylim(223.5, -0.5)
    _levels_legend(figure)
    save(figure, "anchors.jpg")


def networks() -> None:
    """Draw the two networks and what each loss reaches."""
    figure, axes = plt.subplots(figsize=(10.5, 4.2))
    axes.set_xlim(0, 105)
    axes.set_ylim(0, 42)
    axes.set_axis_off()
    blue, green, sand, rose = "#dbe9f6", "#d6ecdf", "#f6ecd2", "#f9dfd4"
    row = {"online": 26, "target": 6}
    for name, y in row.items():
        axes.text(0, y + 10.5, f"{name} network", fontsize=11, color=INK, weight="bold")
        columns = [("backbone", 14, blue), ("FPN", 30, blue), ("RoI head", 46, blue), ("projector", 62, green)]
        columns += [("predictor", 78, green)] if name == "online" else []
        for text, x, color in columns:
            _room(axes, x, y, text, color)
            if x > 14:
                _arrow(axes, (x - 4, y + 4), (x, y + 4))
    axes.text(0, 29.5, "V1, V2, V3", fontsize=10, color=INK)
    axes.text(0, 9.5, "V1, V2, V3", fontsize=10, color=INK)
    for y in row.values():
        _arrow(axes, (11, y + 4), (14, y + 4))
    _room(axes, 30, 16.2, "RPN", sand, 6.2)
    _arrow(axes, (36, 26), (36, 22.4))
    axes.text(43.5, 18.2, "L_RPN: boxes of selective search;\ntrains the RPN alone", fontsize=9, color=INK)
    _room(axes, 92, 15, "contrast\nof boxes", rose, 9)
    _arrow(axes, (90, 28), (96, 24))
    _arrow(axes, (74, 10), (92, 17), no_gradient=True)
    _arrow(axes, (20, 25.5), (20, 14.5), no_gradient=True)
    axes.text(1, 19.2, "moving average", fontsize=9, color=GRAY)
    axes.text(76, 8.2, "no gradient", fontsize=9, color=GRAY)
    axes.text(
        14, 0.6, "Exported: the target's backbone, FPN and RoI head, and the RPN. Projector and predictor are dropped.",
        fontsize=9.5, color=INK,
    )  # fmt: skip
    save(figure, "networks.svg")


def _room(axes: Axes, x: float, y: float, text: str, color: str, height: float = 8) -> None:
    style = "round,pad=0.2,rounding_size=1"
    axes.add_patch(FancyBboxPatch((x, y), 12, height, boxstyle=style, facecolor=color, edgecolor=GRAY, linewidth=0.8))
    axes.text(x + 6, y + height / 2, text, ha="center", va="center", fontsize=10, color=INK)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], no_gradient: bool = False) -> None:
    line = "--" if no_gradient else "-"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=GRAY if no_gradient else INK, linestyle=line
        )
    )


def choose() -> None:
    """Draw the questions that decide on a start."""
    figure, axes = plt.subplots(figsize=(9.6, 4.3))
    axes.set_xlim(0, 96)
    axes.set_ylim(0, 43)
    axes.set_axis_off()
    questions = (
        (35, "May COCO or ImageNet weights be used,\nand are your images like theirs?", "yes", "those weights"),
        (24, "More than a few thousand\nlabeled images?", "yes", "any weights; gains are small"),
        (13, "Fewer than about 200\nimages without labels?", "yes", 'COCO, ImageNet or "detection" weights'),
    )
    for y, question, word, answer in questions:
        _wide(axes, 2, y, 38, question, "#dbe9f6")
        _wide(axes, 54, y, 40, answer, "#f6ecd2")
        _arrow(axes, (41, y + 3.5), (53.5, y + 3.5))
        axes.text(45, y + 4.3, word, fontsize=9, color=GRAY)
        _arrow(axes, (21, y - 0.4), (21, y - 3.6))
        axes.text(22, y - 2.9, "no", fontsize=9, color=GRAY)
    last = 'Pre-train on your own images or take "detection", and compare: adept compare'
    _wide(axes, 2, 2, 92, last, "#d6ecdf")
    save(figure, "choose.svg")


def _wide(axes: Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    style = "round,pad=0.2,rounding_size=1"
    axes.add_patch(FancyBboxPatch((x, y), width, 7, boxstyle=style, facecolor=color, edgecolor=GRAY, linewidth=0.8))
    axes.text(x + width / 2, y + 3.5, text, ha="center", va="center", fontsize=10, color=INK)


@torch.inference_mode()
def objectness() -> None:
    """Draw the objectness of the bundled RPN next to that of the same network without pre-training."""
    trained = adept_hub.load_pretrained("detection")
    trained = at_pretraining_scale("detection", trained.checkpoint_config)
    torch.manual_seed(0)
    fresh = adept_hub.create_model("detection").eval()
    names = ("chelsea", "coffee")
    figure, axes = plt.subplots(len(names), 3, figsize=(11, 5.2))
    for row, name in zip(axes, names, strict=True):
        image = read(name)
        show(row[0], image, "image")
        for axis, model, title in ((row[1], fresh, "random weights"), (row[2], trained, "pre-trained, no labels")):
            show(axis, image, title)
            axis.imshow(heat(model, trained, image), cmap="inferno", alpha=0.62, interpolation="bilinear")
    save(figure, "objectness.jpg")


def heat(model: torch.nn.Module, scale: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return the largest objectness of the anchors at each pixel as a rank in [0, 1], (H, W)."""
    ranks = as_ranks(largest(objectness_maps(model, image, scale=scale)))
    return torch.nn.functional.interpolate(ranks[None, None], size=image.shape[:2], mode="bilinear")[0, 0].numpy()


if __name__ == "__main__":
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "adept"
    mpl.rcParams["font.family"] = "DejaVu Sans"
    OUT.mkdir(exist_ok=True)
    for draw in (choose, views, levels, anchors, networks, objectness):
        draw()
