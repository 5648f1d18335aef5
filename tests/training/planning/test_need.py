"""Whether a run sees enough, worked by hand."""

from __future__ import annotations

import pytest

from adept_training.planning.need import Need, look_ahead, need_of, outlook_lines, run_lines

NEED = Need("a method", 30.0, 6.0, "a paper")


@pytest.mark.parametrize(
    ("name", "objective", "images", "wanted"),
    [
        # Issue: at 10,000 photographs InfoNCE wants 2 million images, BYOL 8; smaller sets scale by passes.
        ("soco", "infonce", 10_000, 2_000_000), ("adept_joint", "cosine", 10_000, 8_000_000),
        ("byol", "cosine", 500, 400_000), ("soco", "prototypes", 500, 100_000),
        # Beyond 10,000 nothing is known: no less than that.
        ("soco", "infonce", 1_281_167, 2_000_000), ("detection", "cosine", 899, 7_192),
    ],
)  # fmt: skip
def test_what_methods_want(name: str, objective: str, images: int, wanted: int) -> None:
    need = need_of(name, objective)
    assert need is not None
    assert need.wanted_images(images) == wanted
    assert need.gained_images(images) <= wanted


def test_what_has_not_been_measured() -> None:
    assert need_of("adept_separate", "cosine") is None
    outlook = look_ahead(None, 500, 4, 300)
    assert (outlook.verdict, outlook.wanted, outlook.share) == ("unknown", 0, 0.0)
    assert "has not been measured" in outlook_lines(outlook, None)[0]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    # 50 images, 4 a step: 30 passes are 375 steps, 6 passes 75 steps, fewer than the hundred that any run needs. 356.25
    # steps are 95 % of what is known no better: rounds of whole batches must not be called too few.
    [(375, "enough"), (357, "enough"), (356, "some"), (100, "some"), (99, "too little"), (0, "too little")],
)
def test_the_verdict(steps: int, verdict: str) -> None:
    outlook = look_ahead(NEED, 50, 4, steps)
    assert (outlook.seen, outlook.wanted, outlook.verdict) == (4 * steps, 1500, verdict)
    assert outlook.epochs == 4 * steps / 50
    assert outlook.share == pytest.approx(4 * steps / 1500)


def test_below_the_known_gain_is_too_little() -> None:
    """2,000 images: six passes are 12,000 images, 1,500 steps of 8; 95 % of them are 1,425."""
    assert look_ahead(NEED, 2000, 8, 1425).verdict == "some"
    assert look_ahead(NEED, 2000, 8, 1424).verdict == "too little"


def test_whole_passes_of_a_set_that_batches_do_not_divide_are_enough() -> None:
    """8,677 images and 20 held out: 8 passes of 541 batches of 16 leave out 8 images of 69,256."""
    need = need_of("detection", "cosine")
    outlook = look_ahead(need, 8657, 16, 8 * (8657 // 16))
    assert outlook_lines(outlook, need)[0].startswith("69,248 images will be seen (8 passes): enough: detection wants ")


def test_the_words() -> None:
    some, evidence = outlook_lines(look_ahead(NEED, 50, 4, 150), NEED)
    assert some.startswith("600 images will be seen (12 passes): 40% of enough: a method wants about 1,500")
    assert evidence == "evidence: a paper"
    assert "seen (30 passes): enough: a method" in outlook_lines(look_ahead(NEED, 50, 4, 375), NEED)[0]
    tiny = Need("a method", 0.1, 0.1, "a paper")
    assert "too little: 7 steps, fewer than the 100" in outlook_lines(look_ahead(tiny, 50, 4, 7), tiny)[0]


def test_the_first_lines_of_a_run() -> None:
    enough = look_ahead(NEED, 50, 4, 375)
    assert run_lines(enough, NEED, 9, "adept x", "photos") == outlook_lines(enough, NEED)[:1]
    caution, better, other = run_lines(look_ahead(NEED, 50, 4, 15), NEED, 9, "adept x", "my photos")
    assert caution.startswith("caution: 60 images will be seen (1.2 passes): too little, 4% of enough")
    assert better == "better: stop it and give it time for 375 steps, about 9 minutes: adept x"
    assert "(adept plan 'my photos' --minutes M compares them)" in other
    assert other.endswith("or the bundled weights: adept finetune detection --data DATA --out RUN")
    assert "time for 300 steps" in run_lines(look_ahead(None, 50, 4, 15), None, 9, "adept x", "photos")[1]


@pytest.mark.parametrize(
    ("need", "images", "batch", "steps"),
    [
        (NEED, 50, 4, 375), (NEED, 50, 7, 215),  # 214.3
        (NEED, 50, 500, 100),  # three steps would show it all, but fewer than 100 move nothing
        (NEED, 20_000, 8, 37_500),  # as much as of 10,000
        (None, 50, 4, 300),
    ],
)  # fmt: skip
def test_the_steps_that_are_enough(need: Need | None, images: int, batch: int, steps: int) -> None:
    assert look_ahead(need, images, batch, 7).enough_steps == steps
    assert look_ahead(need, images, batch, steps).verdict == ("unknown" if need is None else "enough")
