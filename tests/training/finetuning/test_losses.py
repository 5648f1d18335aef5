"""The protocols' losses against real Detectron2's, of the same anchors, boxes, labels and predictions.

Legend: N images, A anchors, R boxes.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads

from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.losses import Detectron2RoIHeads, Detectron2RPN
from adept_training.finetuning.recipe import load_finetune_recipe, protocol_names

#: So many that the 256 asked for are not found among the anchors of small images.
SETTINGS = ["detector.train_sides=[64]", "detector.test_side=64", "detector.max_side=96", "detector.rpn_anchors=3000",
            "detector.rois=48", "detector.train_proposals=60"]  # fmt: skip
BOXES = ([[4.0, 8, 50, 60], [20, 3, 90, 40]], [[1.0, 2, 30, 33]])


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint()[0])


def _model(source: str, protocol: str | None, *settings: str):
    recipe = load_finetune_recipe(protocol, [*SETTINGS, *settings])
    model = build_detector(source, 3, recipe.detector, 0).train()
    predictor = model.roi_heads.box_predictor
    for layer in predictor if isinstance(predictor, torch.nn.ModuleList) else [predictor]:
        torch.nn.init.normal_(layer.bbox_pred.weight, std=0.02)  # errors on both sides of torchvision's beta
    return model


def _losses(model) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses of a step, and what they are of: logits, deltas, labels and goals of both stages."""
    seen: dict[str, Tensor] = {}

    rpn, heads = model.rpn, model.roi_heads
    sampler, assign, select = rpn.fg_bg_sampler, rpn.assign_targets_to_anchors, heads.select_training_samples
    real_loss = type(rpn).compute_loss

    class Sampler:
        batch_size_per_image = sampler.batch_size_per_image

        def __call__(self, labels):
            positive, negative = sampler(labels)
            seen.update(positive=torch.stack(positive) > 0, negative=torch.stack(negative) > 0)
            return positive, negative

    def compute_loss(objectness, deltas, labels, goals):
        seen.update(logits=objectness, deltas=deltas)
        return real_loss(rpn, objectness, deltas, labels, goals)

    def matched(anchors, targets):
        labels, boxes = assign(anchors, targets)
        seen.update(anchors=torch.stack(anchors), matched=torch.stack(boxes))
        return labels, boxes

    def selected(proposals, targets):
        chosen = select(proposals, targets)
        gt = [t["boxes"][i] for t, i in zip(targets, chosen[1], strict=True)]
        seen.update(rois=torch.cat(chosen[0]), classes=torch.cat(chosen[2]), roi_gt=torch.cat(gt))
        return chosen

    rpn.fg_bg_sampler, rpn.assign_targets_to_anchors, rpn.compute_loss = Sampler(), matched, compute_loss
    heads.select_training_samples = selected
    if not isinstance(heads.box_predictor, torch.nn.ModuleList):
        heads.box_predictor.register_forward_hook(lambda _, __, out: seen.update(scores=out[0], roi_deltas=out[1]))
    torch.manual_seed(4)
    images = [torch.rand(3, 64, 96), torch.rand(3, 64, 80)]
    targets = [{"boxes": torch.tensor(b), "labels": torch.tensor([1, 3][: len(b)])} for b in BOXES]
    return model(images, targets), seen


def _detectron2_rpn(seen: dict[str, Tensor], per_image: int) -> dict[str, Tensor]:
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.proposal_generator.rpn import RPN
    from detectron2.structures import Boxes
    from detectron2.utils.events import EventStorage

    cfg = get_cfg()
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = per_image
    cfg.MODEL.RPN.IN_FEATURES = ["p2"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32]]
    rpn = RPN(cfg, {"p2": ShapeSpec(channels=4, stride=4)})
    label_NA = torch.full(seen["positive"].shape, -1)
    label_NA[seen["negative"]], label_NA[seen["positive"]] = 0, 1
    logits_NA = seen["logits"].reshape(label_NA.shape)
    deltas_NA4 = seen["deltas"].reshape(*label_NA.shape, 4)
    with EventStorage():
        return rpn.losses([Boxes(seen["anchors"][0])], [logits_NA], list(label_NA), [deltas_NA4], list(seen["matched"]))


def _detectron2_box(seen: dict[str, Tensor]) -> dict[str, Tensor]:
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    cfg = get_cfg()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    layers = FastRCNNOutputLayers(cfg, ShapeSpec(channels=8, width=1, height=1))
    given = Instances((64, 96))
    given.proposal_boxes, given.gt_boxes = Boxes(seen["rois"]), Boxes(seen["roi_gt"])
    given.gt_classes = (seen["classes"] - 1) % 4  # the background is the last class
    scores = seen["scores"][:, [1, 2, 3, 0]]
    with EventStorage():
        return layers.losses((scores, seen["roi_deltas"][:, 4:]), [given])


@pytest.mark.frameworks
@pytest.mark.parametrize("protocol", ["coco_1x", "soda10m_cascade", "voc_fewshot"])
def test_a_protocol_s_losses_and_gradients_are_detectron2_s(protocol: str, source: str) -> None:
    pytest.importorskip("detectron2", reason="needs make frameworks")
    boxes = ["detector.detector=faster_rcnn"] if protocol == "coco_1x" else []
    model = _model(source, protocol, *boxes)
    losses, seen = _losses(model)
    found = seen["positive"].sum() + seen["negative"].sum()
    assert 0 < seen["positive"].sum() < found < 2 * 3000, "the two divisions differ"
    expected, outputs = _detectron2_rpn(seen, 3000), ["logits", "deltas"]
    names = [("loss_objectness", "loss_rpn_cls"), ("loss_rpn_box_reg", "loss_rpn_loc")]
    if "cascade" not in protocol:
        assert 3 <= (seen["classes"] > 0).sum() < len(seen["classes"])
        expected |= _detectron2_box(seen)
        outputs += ["scores", "roi_deltas"]
        names += [("loss_classifier", "loss_cls"), ("loss_box_reg", "loss_box_reg")]
    for ours, theirs in names:
        torch.testing.assert_close(losses[ours], expected[theirs], msg=lambda text, n=ours: f"{n}: {text}")
    of = [seen[name] for name in outputs]
    gradients = [torch.autograd.grad(sum(x[n] for n in which), of, retain_graph=True, allow_unused=True)
                 for x, which in ((losses, [n for n, _ in names]), (expected, [n for _, n in names]))]  # fmt: skip
    for name, one, two in zip(outputs, *gradients, strict=True):
        torch.testing.assert_close(one, two, msg=lambda text, n=name: f"gradient of {n}: {text}")


def test_torchvision_s_losses_are_others_and_the_default(source: str) -> None:
    for losses, same in (("torchvision", False), ("detectron2", True)):
        model = _model(source, None, f"detector.losses={losses}", "detector.head_norm=0")
        assert isinstance(model.rpn, Detectron2RPN) is same
        assert isinstance(model.roi_heads, RoIHeads)
        assert isinstance(model.roi_heads, Detectron2RoIHeads) is same
        found, seen = _losses(model)
        # By hand: L1 over all boxes; and over all anchors asked for.
        error = (seen["roi_deltas"].reshape(-1, 4, 4)[torch.arange(len(seen["classes"])), seen["classes"]]
                 - model.roi_heads.box_coder.encode_single(seen["roi_gt"], seen["rois"]))  # fmt: skip
        l1 = error[seen["classes"] > 0].abs().sum() / len(error)
        goal = model.rpn.box_coder.encode_single(seen["matched"].flatten(0, 1), seen["anchors"].flatten(0, 1))
        rpn = (seen["deltas"] - goal)[seen["positive"].flatten()].abs().sum() / (2 * 3000)
        assert torch.isclose(found["loss_box_reg"], l1).item() is same
        assert torch.isclose(found["loss_rpn_box_reg"], rpn).item() is same
    assert load_finetune_recipe().detector.losses == "torchvision"
    protocols = {name: load_finetune_recipe(name).detector.losses for name in protocol_names() if name != "cpu_small"}
    assert set(protocols.values()) == {"detectron2"}


def test_evaluation_is_the_same_with_either(source: str) -> None:
    image, found = torch.rand(3, 64, 96), []
    for losses in ("torchvision", "detectron2"):
        model = _model(source, None, f"detector.losses={losses}", "detector.score_threshold=0.0").eval()
        with torch.no_grad():
            for module, std in ((model.rpn.head, 1e-3), (model.roi_heads.box_predictor, 1e-3)):
                torch.manual_seed(7)
                for weight in module.parameters():  # small, so that boxes and scores differ from each other
                    weight.normal_(std=std)
            found.append(model([image])[0])
        assert not model.roi_heads.box_predictor._forward_hooks
    assert len(found[0]["boxes"].unique(dim=0)) > 4 < len(found[0]["scores"].unique())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_masks_and_boxes_are_trained_together(source: str) -> None:
    model = _model(source, "coco_1x")
    targets = [{"boxes": torch.tensor(b), "labels": torch.ones(len(b), dtype=torch.int64),
                "masks": torch.ones(len(b), 64, 96, dtype=torch.uint8)} for b in BOXES]  # fmt: skip
    losses = model([torch.rand(3, 64, 96)] * 2, targets)
    assert {"loss_mask", "loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"} == losses.keys()
    sum(losses.values()).backward()
    assert float(model.roi_heads.mask_predictor.mask_fcn_logits.weight.grad.abs().max()) > 0
