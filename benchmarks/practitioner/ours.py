"""Our own side: the loop of `adept finetune`, the metrics of `adept evaluate`, and a loaded detector's `predict`."""

from __future__ import annotations

from dataclasses import replace

from adept_hub.detectors.folder import read_detector
from adept_hub.detectors.load import load_detector
from adept_training.finetuning.loop import Fit, make_fabric, prepare, train
from adept_training.finetuning.samples import LabeledSamples
from adept_training.metrics.evaluate import evaluate
from benchmarks.practitioner.material import Material


class Ours:
    """This library."""

    name = "ours"

    def __init__(self, material: Material) -> None:
        recipe = material.recipe
        # An end that is never reached: each turn continues the same training.
        recipe = replace(recipe, schedule=replace(recipe.schedule, iterations=1_000_000))
        steps = len(material.data.train) // recipe.engine.batch_size
        recipe = replace(recipe, engine=replace(recipe.engine, log_every=steps))
        samples = LabeledSamples.of(material.data.train, False, recipe.engine.flip, recipe.engine.seed)
        self.material = material
        self.fit: Fit = prepare(read_detector(material.run)[0], samples, recipe, make_fabric(recipe, "cpu"))
        self.model = read_detector(material.run)[0]
        self.predictor = load_detector(material.run, device="cpu")
        self.files, self.score = material.files("test"), material.detector.recipe.score_threshold
        self.steps = steps

    def train(self) -> float:
        """Train on every image once; return the last loss."""
        end, losses = self.fit.step + self.steps, [0.0]

        def after_step(step: int, logged: dict[str, float] | None) -> bool:
            losses.extend([] if logged is None else [logged["loss"]])
            return step == end

        train(self.fit, after_step)
        return losses[-1]

    def evaluate(self) -> float:
        """Return AP on the test images."""
        return evaluate(self.model, self.material.data.report_split).flat()["AP"] or 0.0

    def predict(self) -> float:
        """Return the mean number of detections in the test images, read from their files."""
        return sum(map(len, self.predictor.predict(self.files, score=self.score))) / len(self.files)
