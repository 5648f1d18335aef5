"""Losses of a batch: SoCo's contrast between three views, with ADePT's RPN, or the RPN only.

Legend: N images, K boxes per image, L levels, D dimensions, S sets of boxes on V1.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adept_hub.spec import PARTS, DetectorSpec, Preprocessing
from adept_training.data.cuts import view_pixels
from adept_training.data.loader import Batch, BoxBatch, Sealed
from adept_training.data.photometric import apply_colors
from adept_training.method.contrast import correspondence, feature_spread, pair_loss, retrieval
from adept_training.method.infonce import Entries, Queue, infonce, share_of_image
from adept_training.method.levels import assign_levels, pool_assigned, pool_everywhere
from adept_training.method.model import PretrainModel, StepOutput, summed
from adept_training.method.networks import Network, Teacher, make_target
from adept_training.method.proposals import carry, join, propose
from adept_training.method.prototypes import swapped_prediction
from adept_training.method.recipe import MethodRecipe
from adept_training.method.rpn import flatten_outputs, make_anchors, rpn_loss


class Embedded(NamedTuple):
    """Embeddings of boxes and their ids; P is K, or K x L with ids of -1 at levels to which a box is not assigned."""

    vectors_NPD: Tensor
    ids_NP: Tensor
    #: xyxy in pixels of the view; None for whole images.
    boxes_NP4: Tensor | None = None


class Outputs(NamedTuple):
    """The RPN's outputs for one view: logits, deltas and the anchors they belong to."""

    logits_NA: Tensor
    deltas_NA4: Tensor
    anchors_LA4: list[Tensor]


class Adept(PretrainModel):
    """The model of every method but `detection`: ``online``, and ``target`` if there is a contrast."""

    online: Network
    target: Network

    def __init__(
        self,
        spec: DetectorSpec,
        recipe: MethodRecipe,
        sizes: tuple[int, int, int],
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__(spec, recipe, preprocessing)
        self.sizes = sizes
        width = spec.stage_channels[-1] if recipe.name == "byol" else spec.head_fc_channels
        self.online = Network(spec, recipe.projector_hidden, recipe.projection, width, norm=recipe.projector_norm)
        self.teacher: Teacher | None = None
        if recipe.has_target:
            self.target = make_target(self.online, self.frozen())
        elif recipe.contrasts:
            own = self.online.parts.backbone
            backbone = own if recipe.freeze == "backbone" else copy.deepcopy(own)
            self.teacher = Teacher(backbone, sum(spec.stage_channels[2:]), recipe.projection)
        else:
            # Separate training: only the RPN is trained; running statistics must not change either (see train()).
            self.online.requires_grad_(False)
            self.online.parts.rpn.requires_grad_(True)
        self.prototypes = None
        if recipe.objective == "prototypes":
            self.prototypes = nn.Linear(recipe.projection, recipe.prototypes, bias=False)
        self.queue = Queue(recipe.queue, recipe.projection) if recipe.queue and recipe.contrasts else None
        for part in set(PARTS) - set(recipe.parts):
            getattr(self.online.parts, part).requires_grad_(False)
        for module in self.frozen():
            module.requires_grad_(False)

    def keep_start(self) -> None:
        """Copy the backbone of the start, once it is loaded, into a teacher that does not share it."""
        if self.teacher is not None:
            self.teacher.backbone.load_state_dict(self.online.parts.backbone.state_dict())

    @torch.no_grad()
    def teacher_features(self, batch: Batch) -> Tensor:
        """Return the teacher's features (B, D) of the boxes of V1, before whitening."""
        assert self.teacher is not None
        boxes, image = batch.boxes1_S[0], self._images(batch)[0]
        features_NKD = self.teacher.features(self.teacher.stages(image), boxes.boxes_NK4, self.sizes[0])
        return features_NKD[boxes.real_NK]

    def _images(self, batch: Batch) -> list[Tensor]:
        return [
            apply_colors(pixels, view.colors, self.preprocessing, view.plan or None)
            for pixels, view in zip(view_pixels(batch, self.sizes), batch.views, strict=True)
        ]

    def forward(self, sealed: Batch | Sealed[Batch]) -> StepOutput:
        """Compute the losses of one batch; the target must have been updated before (as in SoCo)."""
        batch = sealed.batch if isinstance(sealed, Sealed) else sealed
        images = self._images(batch)
        if not self.recipe.contrasts:
            with torch.no_grad():
                pyramids = [self.online.parts.pyramid(x) for x in images[: self.rpn_views]]
            return summed(*self._rpn_terms(self._rpn_outputs(pyramids), batch))
        if self.recipe.name == "byol":
            return self._image_level(images, batch)
        sets = [batch.boxes1_S, (batch.boxes2,), (batch.boxes3,)]
        # The target first if possible: its pass is over before the online network's feature maps must be kept.
        # A frozen backbone is the same module in both networks, so that one pass serves both.
        parts, stages = self.online.parts, None
        if self.recipe.freeze == "backbone":
            stages = [parts.stages(x) for x in images]
        goals = self._goals(images, sets, stages) if self.recipe.boxes == "ss" else None
        pyramids = [parts.pyramid(x) for x in images] if stages is None else [parts.merge(maps) for maps in stages]
        outputs = self._rpn_outputs(pyramids) if self.recipe.trains_rpn else []
        if goals is None:
            sets = self._joined_sets(batch, outputs[0])
            goals = self._goals(images, sets, stages)
        predicted = self._embed(self.online, pyramids, sets)
        terms, stats = self._contrast_terms(predicted, goals, batch), _watch(predicted, goals)
        if self.recipe.trains_rpn:
            more_terms, more_stats = self._rpn_terms(outputs, batch)
            terms, stats = terms | more_terms, stats | more_stats
        return summed(terms, stats)

    def _image_level(self, images: list[Tensor], batch: Batch) -> StepOutput:
        """Compute BYOL on the same views: the whole image is the one box, its feature the mean of C5."""

        def embed(network: Network) -> list[list[Embedded]]:
            pooled = [list(network.parts.backbone(x).values())[-1].mean(dim=(2, 3)) for x in images]
            ids_N1 = torch.zeros(len(images[0]), 1, dtype=torch.int64, device=images[0].device)
            return [[Embedded(network.embed(feature)[:, None], ids_N1)] for feature in pooled]

        predicted = embed(self.online)
        with torch.no_grad():
            goals = embed(self.target)
        return summed(self._contrast_terms(predicted, goals, batch), _watch(predicted, goals))

    @property
    def rpn_views(self) -> int:
        """Number of views on which the RPN is trained."""
        return 1 if self.recipe.rpn.views == "v1" else 3

    @torch.no_grad()
    def _goals(
        self, images: list[Tensor], sets: list[tuple[BoxBatch, ...]], stages: list[list[Tensor]] | None = None
    ) -> list[list[Embedded]]:
        """Compute the target's embeddings, view by view so that only one pyramid is in memory, or by size.

        The views of one size can share a pass: fewer and larger operations, and its norms' statistics are of both.

        Args:
            images: normalized, (N, 3, side, side) per view.
            sets: boxes per view.
            stages: C2-C5 per view if the backbone is frozen.
        """
        if (teacher := self.teacher) is not None:
            stages = [teacher.stages(x) for x in images] if stages is None else stages
            return [
                [Embedded(teacher.targets(feats, b.boxes_NK4, size), b.ids_NK, b.boxes_NK4) for b in of_view]
                for feats, of_view, size in zip(stages, sets, self.sizes, strict=True)
            ]
        together = [[0], [1], [2]]
        if self.recipe.target_pass == "by_size":
            together = [[i for i, size in enumerate(self.sizes) if size == side] for side in dict.fromkeys(self.sizes)]
        goals: dict[int, list[Embedded]] = {}
        for views in together:
            if stages is None:
                feats = self.target.parts.pyramid(_stacked([images[i] for i in views]))
            else:
                levels = zip(*(stages[i] for i in views), strict=True)
                feats = self.target.parts.merge([_stacked(list(maps)) for maps in levels])
            for place, i in enumerate(views):
                rows = slice(place * len(images[i]), (place + 1) * len(images[i]))
                maps = [feat[rows] for feat in feats]
                goals[i] = [self._embed_boxes(self.target, maps, boxes, self.sizes[i]) for boxes in sets[i]]
        return [goals[i] for i in range(3)]

    def _joined_sets(self, batch: Batch, first: Outputs) -> list[tuple[BoxBatch, ...]]:
        """Return the boxes to contrast in Table 4's ablation, in each view: those drawn and the RPN's best of V1."""
        count, one, windows = batch.boxes2.ids_NK.shape[1], self.sizes[0], batch.windows_N35
        proposals = propose(first.logits_NA, first.deltas_NA4, torch.cat(first.anchors_LA4), one, after=count)
        two, three = (carry(proposals, windows[:, 0], windows[:, view], one, self.sizes[view]) for view in (1, 2))
        boxes1_S = tuple(join(boxes, proposals) for boxes in batch.boxes1_S)
        return [boxes1_S, (join(batch.boxes2, two),), (join(batch.boxes3, three),)]

    def _embed(
        self, network: Network, pyramids: list[list[Tensor]], sets: list[tuple[BoxBatch, ...]]
    ) -> list[list[Embedded]]:
        return [
            [self._embed_boxes(network, feats, boxes, size) for boxes in of_view]
            for feats, of_view, size in zip(pyramids, sets, self.sizes, strict=True)
        ]

    def _embed_boxes(self, network: Network, feats: list[Tensor], boxes: BoxBatch, size: int) -> Embedded:
        levels_NK = assign_levels(boxes.boxes_NK4, self.spec.levels)
        if self.recipe.head_mode == "assigned":
            pooled = pool_assigned(feats, boxes.boxes_NK4, levels_NK, size)
            vectors = network.embed(network.parts.head_features(_compact(pooled)))
            return Embedded(vectors.reshape(*boxes.ids_NK.shape, -1), boxes.ids_NK, boxes.boxes_NK4)
        vectors_L, ids_L = [], []
        for level, pooled in enumerate(pool_everywhere(feats, boxes.boxes_NK4, size)):
            vectors = network.embed(network.parts.head_features(_compact(pooled)))
            vectors_L.append(vectors.reshape(*boxes.ids_NK.shape, -1))
            ids_L.append(boxes.ids_NK.masked_fill(levels_NK != level, -1))
        boxes_NP4 = boxes.boxes_NK4.repeat(1, len(ids_L), 1)
        return Embedded(torch.cat(vectors_L, dim=1), torch.cat(ids_L, dim=1), boxes_NP4)

    def _contrast_terms(
        self, predicted: list[list[Embedded]], goals: list[list[Embedded]], batch: Batch
    ) -> dict[str, Tensor]:
        """Compute Eq. 6-7: V1 with V2 and V1 with V3, each in both directions, summed."""
        terms = {}
        for name, other, which in (("12", 1, 0), ("13", 2, -1)):
            one, two = predicted[0][which], predicted[other][0]
            goal_one, goal_two = goals[0][which], goals[other][0]
            if self.recipe.objective != "cosine":
                forth = self._against_others(one, 0, goal_two, other, batch)
                back = self._against_others(two, other, goal_one, 0, batch)
            else:
                match = correspondence(one.ids_NP, two.ids_NP)
                forth = pair_loss(one.vectors_NPD, goal_two.vectors_NPD, match)
                back = pair_loss(two.vectors_NPD, goal_one.vectors_NPD, match.transpose(1, 2))
            terms[f"contrast_{name}"] = forth + back
        if self.queue is not None and self.training:
            for view, of_view in enumerate(goals):
                self.queue.push(self._entries(of_view[0], view, batch), view)
        return terms

    def _entries(self, embedded: Embedded, view: int, batch: Batch) -> Entries:
        boxes_NP4 = embedded.boxes_NP4 if self.recipe.same_image_negatives else None
        if boxes_NP4 is not None:
            boxes_NP4 = share_of_image(boxes_NP4, batch.windows_N35[:, view], self.sizes[view])
        return Entries(embedded.vectors_NPD, embedded.ids_NP, batch.image_N, boxes_NP4)

    def _against_others(self, query: Embedded, query_view: int, key: Embedded, key_view: int, batch: Batch) -> Tensor:
        queries, keys = self._entries(query, query_view, batch), self._entries(key, key_view, batch)
        past = None if self.queue is None else self.queue.past(key_view)
        t = self.recipe.temperature
        if self.prototypes is not None:
            return swapped_prediction(queries, keys, self.prototypes.weight, t, self.recipe.prototype_epsilon, past)
        return infonce(queries, keys, t, drop=self.recipe.drop_similar if self.warm else 0.0, past=past)

    def _rpn_outputs(self, pyramids: list[list[Tensor]]) -> list[Outputs]:
        """Run the RPN on the maps of its views, detached: L_RPN trains only the RPN's own layers."""
        outputs = []
        for feats in pyramids[: self.rpn_views]:
            maps = feats if self.recipe.rpn.reaches_backbone else [feat.detach() for feat in feats]
            logits, deltas = flatten_outputs(*self.online.parts.rpn_outputs(maps))
            outputs.append(Outputs(logits, deltas, make_anchors(self.spec.anchors, maps)))
        return outputs

    def _rpn_terms(self, outputs: list[Outputs], batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute Eq. 1, averaged over the RPN's views."""
        recipe, seeds = self.recipe.rpn, batch.seed_N
        targets, losses = (batch.targets1, batch.boxes2, batch.boxes3), []
        for view, (out, boxes) in enumerate(zip(outputs, targets, strict=False)):
            others = (batch.others1.boxes_NK4, batch.others1.real_NK) if view == 0 else None
            losses.append(rpn_loss(*out, boxes.boxes_NK4, boxes.real_NK, seeds, recipe, others))
        share = recipe.weight / len(losses)
        terms = {
            "rpn_objectness": share * torch.stack([x.objectness for x in losses]).sum(),
            "rpn_box": share * torch.stack([x.box for x in losses]).sum(),
        }
        positives_L = torch.stack([x.positives_L for x in losses]).mean(dim=0)
        stats = {f"positives_p{i + 2}": value for i, value in enumerate(positives_L)}
        return terms, {**stats, "anchors_ignored": losses[0].ignored}  # of V1, the view with other boxes


def _watch(predicted: list[list[Embedded]], goals: list[list[Embedded]]) -> dict[str, Tensor]:
    return {
        "spread_target": feature_spread(goals[1][0].vectors_NPD.flatten(0, 1)),
        "spread_online": feature_spread(predicted[1][0].vectors_NPD.flatten(0, 1)),
        "retrieval": retrieval(predicted[0][0].vectors_NPD, goals[1][0].vectors_NPD),
    }


def _stacked(images: list[Tensor]) -> Tensor:
    return images[0] if len(images) == 1 else torch.cat(images)


def _compact(pooled_BC77: Tensor) -> Tensor:
    return pooled_BC77.contiguous(memory_format=torch.channels_last)
