"""The sentences of a card: what the weights are, and their limitations, by how they were trained."""

from __future__ import annotations

from adept_hub.cards.escape import plain
from adept_hub.cards.training_kind import is_fine_tuned, labels_in_start
from adept_hub.spec import METHODS, CheckpointConfig, Provenance

_METHODS = {
    "adept_joint": "ADePT joint: object contrast trains backbone, FPN and RoI head; the RPN is trained jointly",
    "adept_separate": "ADePT separate: the RPN was trained on a finished, frozen SoCo detector",
    "soco": "SoCo: object contrast trains backbone, FPN and RoI head; there is no RPN",
    "byol": "BYOL on whole images: only the backbone",
    "detection": "Detection of pseudo-labeled boxes: the detector's own losses train all four parts",
    "scratch": "no pre-training: initial values",
}
_DETECTORS = {"faster_rcnn": "Faster R-CNN", "mask_rcnn": "Mask R-CNN", "cascade_rcnn": "Cascade R-CNN"}


def introduction(config: CheckpointConfig) -> str:
    """Return the first paragraph of a card."""
    if is_fine_tuned(config):
        return _of_fine_tuned(config)
    p = config.provenance
    network = {"target": "target (momentum)", "online": "online", "none": ""}[p.exported_network]
    network = network and f"; the file contains the {network} network"
    absent = "are not trained yet" if p.labeled is False or labels_in_start(config) else "are not included"
    method = _METHODS.get(p.method) or f"Weights of another project ({plain(p.method)})"
    return (
        f"Pre-trained parts of a two-stage detector ({', '.join(config.parts)}){_labels(config)}.\n"
        f"{method}. {_trained_on(p)}{network}. "
        f"It is a starting point for fine-tuning, not a complete detector: class and box predictors {absent}."
    )


def _labels(config: CheckpointConfig) -> str:
    p = config.provenance
    if labels_in_start(config):
        oldest = plain(p.starts[0].name)
        return f", trained without labels, from a start that was trained with them (oldest start: {oldest})"
    return {
        "used": ", trained with labels",
        "not used": ", trained without labels",
        "unknown": "; whether labels were used is unknown",
    }[p.labels]


def _trained_on(p: Provenance) -> str:
    """Return the data of a training and, if they are known, the number of images and of passes over them."""
    if p.images == 0:
        return "Its training data are not known" if p.data in ("", "unknown") else f"Trained on {plain(p.data)}"
    return f"Trained on {plain(p.data)} ({p.images:,} images) for {p.epochs:g} epochs"


def limitations(config: CheckpointConfig) -> str:
    """Return the section on the limitations of a checkpoint, those that it states itself last."""
    limits = _limits_of_ours(config) if config.provenance.method in METHODS else _LIMITS_OF_OTHERS
    if config.provenance.method == "detection":
        limits = _LIMITS_OF_DETECTION
    if is_fine_tuned(config):
        images = config.provenance.images
        limits = _LIMITS_OF_FINE_TUNED.format(images=f"{images:,} labeled image{'s' * (images != 1)}")
    return limits + "".join(f"\n- {plain(note)}" for note in config.provenance.notes)


def _limits_of_ours(config: CheckpointConfig) -> str:
    """Return the limitations of a contrastive method: the paper's own only where loss and boxes are the paper's."""
    method, preset = config.provenance.recipe.get("method"), config.provenance.proposals.get("preset")
    loss = _LOSSES.get(str(method.get("objective"))) if isinstance(method, dict) else None
    ours = isinstance(preset, dict) and preset.get("name") == "objects"
    others = ", ".join([f"the loss ({loss})"] * (loss is not None) + ["the boxes (preset objects)"] * ours)
    limits = list(_PAPERS_LIMITS)
    if others:
        limits = [f"Not as in the paper, whose results do not apply: {others}.", _UNLIKE]
    if "rpn" in config.parts:
        limits.append(f"{'These' if ours else 'Selective-search'} boxes are not objects: {_REGIONS}")
    return "\n- ".join(("## Limitations\n", *limits, _BIASES))


def _of_fine_tuned(config: CheckpointConfig) -> str:
    p = config.provenance
    start = f"It started from {plain(p.starts[-1].name)}" if p.starts else "It started from random values"
    return (
        f"The parts of a {_DETECTORS[p.recipe['detector']]} ({', '.join(config.parts)}), fine-tuned with labels.\n"
        f"Trained on {plain(p.data)} ({p.images:,} images) for {p.epochs:g} epochs. {start}. "
        "Without the class and box predictors, which are not part of a checkpoint, it is a starting point for "
        "fine-tuning, not a complete detector."
    )


#: What replaces the cosine of the papers, by `method.objective`.
_LOSSES = {"infonce": "InfoNCE over boxes", "prototypes": "swapped prediction of prototypes"}
_PAPERS_LIMITS = (
    "The paper reports gains in localization and in recall with few labels, and more false positives than SoCo.",
    "It lists darkness, overexposure and domains unlike the pre-training images as failure cases.",
)
_REGIONS = "the RPN proposes regions, and its scores are not probabilities of objects."
_UNLIKE = "Images unlike those of the pre-training may gain less, or nothing: compare before use."
_BIASES = "Images have the biases of their collection, and so have the features."

_LIMITS_OF_FINE_TUNED = """## Limitations

- It was fine-tuned on {images}: its metrics hold for images like those, and other images need their own evaluation.
- It learned the classes of these labels only; every other object was background in training, and so were objects
  that the labels miss.
- Scores are not calibrated probabilities: choose a threshold on validation images.
- Images and labels have the biases of their collection, and so has the detector."""

_LIMITS_OF_DETECTION = f"""## Limitations

- The method is this project's, not the paper's: an ordinary detector learned boxes that were found without labels, and
  clusters of them as classes. The paper's results do not apply.
- These boxes are not objects: {_REGIONS}
- {_UNLIKE}
- {_BIASES}"""

_LIMITS_OF_OTHERS = f"""## Limitations

- These are another project's weights, converted: see its own documentation.
- {_BIASES}"""
