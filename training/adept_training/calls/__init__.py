"""The trainer's calls; the commands of the same names parse their arguments and call these.

>>> adept_training.pretrain("images", "runs/mine", recipe="own_photos_cpu", engine={"seed": 3})  # doctest: +SKIP
"""

from __future__ import annotations

from adept_training.calls.comparing import compare as compare
from adept_training.calls.finetuning import evaluate as evaluate
from adept_training.calls.finetuning import finetune as finetune
from adept_training.calls.pretraining import pretrain as pretrain
from adept_training.calls.pretraining import propose as propose
from adept_training.planning.planner import plan as plan

__all__ = ["compare", "evaluate", "finetune", "plan", "pretrain", "propose"]
