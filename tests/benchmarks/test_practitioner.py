"""All programs of the benchmark do the same work: same weights, images, numbers of RoIs, AP and detections."""

from __future__ import annotations

import pytest
import torch

from adept_hub.detectors.folder import read_detector
from benchmarks.practitioner.material import Material, first, make_material
from benchmarks.practitioner.ours import Ours
from benchmarks.practitioner.references import References
from benchmarks.practitioner.turns import Turns, rows, take_turns
from tests.training.conftest import TINY, write_voc


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("practitioner")
    voc = write_voc(folder / "voc")
    settings = [*TINY, "detector.score_threshold=0.11", "detector.detections=37"]
    return make_material(
        [f"voc:{voc}"], folder / "material", source="detection", settings=settings, counts=(4, 5), iterations=2
    )


def test_torchvision_s_loops_do_what_ours_do(material: Material) -> None:
    ours, theirs = Ours(material), References(material)
    stock, trained = theirs.model, ours.fit.model
    assert stock.state_dict().keys() == trained.state_dict().keys()
    for here, there in ((trained, theirs.trained), (ours.model, stock)):
        assert here.rpn._post_nms_top_n == there.rpn._post_nms_top_n
        assert here.rpn._pre_nms_top_n["testing"] == there.rpn._pre_nms_top_n["testing"]
        samplers = [(m.rpn.fg_bg_sampler, m.roi_heads.fg_bg_sampler) for m in (here, there)]
        assert [[s.batch_size_per_image for s in pair] for pair in samplers] == [[64, 32]] * 2
    assert (stock.roi_heads.score_thresh, stock.roi_heads.detections_per_img) == (0.11, 37)
    theirs.model, _ = read_detector(material.run)  # their loops around our model: the same figures
    assert theirs.predict() == ours.predict() > 1
    assert theirs.evaluate() == pytest.approx(ours.evaluate(), abs=1e-4)
    before = {key: value.clone() for key, value in theirs.trained.state_dict().items()}
    assert theirs.train() > 0
    ours.train()
    assert ours.fit.step == 2
    moved = [key for key, value in theirs.trained.state_dict().items() if not torch.equal(value, before[key])]
    assert len(moved) > 0.9 * len(before)


@pytest.mark.frameworks
def test_detectron2_does_what_ours_does(material: Material) -> None:
    pytest.importorskip("detectron2", reason="needs make frameworks")
    from benchmarks.practitioner.detectron2_tools import Detectron2

    ours, theirs = Ours(material), Detectron2(material)
    heads = theirs.trainer.model.roi_heads
    assert (heads.batch_size_per_image, theirs.trainer.model.proposal_generator.batch_size_per_image) == (32, 64)
    assert theirs.predict() == ours.predict()
    assert theirs.evaluate() == pytest.approx(ours.evaluate(), abs=0.2)
    assert theirs.train() > 0
    assert theirs.trainer.iter == 2


def test_programs_take_turns_after_a_round_that_is_not_measured() -> None:
    now, order = [0.0], []

    def work(name: str, seconds: float) -> float:
        order.append(name)
        now[0] += seconds if len(order) > 3 else 100.0
        return seconds

    works = {name: lambda name=name, s=s: work(name, s) for name, s in (("ours", 2.0), ("a", 3.0), ("b", 5.0))}
    turns = take_turns(works, 2, lambda: now[0])
    assert "".join(name[0] for name in order) == "oab" + "oab" + "abo"
    assert turns.seconds == {"ours": [2.0, 2.0], "a": [3.0, 3.0], "b": [5.0, 5.0]}
    assert turns.fastest_rival == "a"
    assert turns.ratios("b") == [2.5, 2.5]


def test_a_ratio_is_of_one_round() -> None:
    turns = Turns({"ours": [1.0, 10.0, 4.0], "rival": [2.0, 10.0, 2.0]}, {"ours": 30.0, "rival": 31.0})
    ours, rival = rows("evaluate", turns, 4, "AP")
    assert ours == ["evaluate", "ours", "1000", "1", "", "30.00 AP"]
    assert rival == ["evaluate", "rival", "500", "1.00 [0.50..2.00]", "fastest rival", "31.00 AP"]


def test_only_images_with_objects_are_taken() -> None:
    content = {"images": [{"id": i} for i in (5, 6, 7, 8)], "categories": [{"id": 1}],
               "annotations": [{"image_id": i} for i in (6, 8, 8, 7)]}  # fmt: skip
    assert first(content, 2) == {"images": [{"id": 6}, {"id": 7}], "categories": [{"id": 1}],
                                 "annotations": [{"image_id": 6}, {"image_id": 7}]}  # fmt: skip
