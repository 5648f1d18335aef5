"""A plan as lines of text."""

from __future__ import annotations

from adept_training.planning.need import outlook_lines
from adept_training.planning.plan import Plan
from adept_training.proposals.fallbacks import MANY
from adept_training.runtime.journal import duration


def as_lines(plan: Plan) -> list[str]:
    """Return the report, the commands last."""
    seen, *evidence = outlook_lines(plan.outlook, plan.need)
    pace = f"{1000 * plan.seconds_per_step:.0f} ms" if plan.seconds_per_step < 1 else f"{plan.seconds_per_step:.1f} s"
    device = (
        "GPU" if plan.machine.device == "cuda" else f"CPU, {plan.machine.cores} core{'s' * (plan.machine.cores != 1)}"
    )
    seconds, disk = plan.seconds, plan.disk
    lines = [
        f"images    {plan.images:,}, {plan.training_images:,} to train on; {plan.boxes:.0f} boxes per image",
        f"machine   {plan.machine.name} ({device}), {plan.precision}",
        f"recipe    {plan.recipe}: views of {plan.side} px, {plan.batch} images per step, {pace} per step "
        f"({'measured' if plan.measured else 'estimated'})",
        f"seen      {seen}",
        *(f"          {text}" for text in evidence),
        f"end       {plan.end:%Y-%m-%d %H:%M}, in {duration(seconds.total)}: boxes {duration(seconds.proposals)}, "
        f"decoding {duration(seconds.decoding)}, training {duration(seconds.training)}",
        f"disk      {_size(disk.needed)} at most: boxes {_size(disk.proposals)}, cache {_size(disk.cache)}, states "
        f"{_size(disk.states)}, export {_size(disk.export)}; {_size(disk.free)} free",
    ]
    if plan.labels is not None:
        found = plan.labels.tuned
        lines.append(
            f"labels    {plan.labels.images:,} images; recall in {found.images} of them at IoU .5, in percent "
            f"(a blind grid: {found.grid50:.0f}):"
        )
        lines += [f"          {row.recall50:5.1f}  {' '.join(row.options)}" for row in found.rows]
        chosen = " ".join(plan.labels.options) or "the recipe's own: no other is surely better"
        lines.append(f"          boxes: {chosen}")
    lines += [f"caution: {text}" for text in cautions(plan)]
    if plan.better:
        lines.append("better:")
        for advice in plan.better:
            lines += [f"  {advice.text}", *([f"    {advice.command}"] if advice.command else [])]
    return [*lines, "run:" if not plan.better else "run, if you still want to:", *(f"  {c}" for c in plan.commands)]


def cautions(plan: Plan) -> list[str]:
    """Return what speaks against the plan, apart from its outlook."""
    found = []
    if plan.disk.needed > plan.disk.free:
        found.append(
            f"{_size(plan.disk.needed)} do not fit into {_size(plan.disk.free)}: choose another --out, or keep fewer "
            "states: --set engine.keep=1"
        )
    if plan.seconds.training <= 0:
        found.append(f"boxes and decoding alone take {duration(plan.seconds.total)}: nothing is left for training")
    if plan.fallbacks >= MANY:
        found.append(f"no object was found in {100 * plan.fallbacks:.0f}% of the images that were looked at")
    return found


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(round(count / 1e6), 1)} MB"
