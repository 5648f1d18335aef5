"""Model cards: every figure is the config's, the repository's own are the generator's, markup cannot be smuggled in."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adept_hub.cards.card import BEGIN, END, card_pictures, render_card, write_card
from adept_hub.cards.card_data import eval_results, front_matter, slug
from adept_hub.cards.published import published_cards, published_tables, write_cards
from adept_hub.checkpoint.folder import read_config, write_config
from adept_hub.cli.main import main
from adept_hub.registry import BUNDLED, list_models, model_info
from adept_hub.spec import CheckpointConfig, DetectorSpec, Metric, Provenance

ROOT = Path(__file__).parents[2]
CONFIG = CheckpointConfig(
    name="adept_joint_r50_fpn.ten_photos",
    spec=DetectorSpec(),
    provenance=Provenance(
        "adept_joint",
        "ten photographs",
        12345,
        2.5,
        "target",
        proposals={"algorithm": "selective_search", "sha256": "ff" * 32},
        recipe={"schedule": {"epochs": 2.5}, "optim": {"lr": 0.9}},
        metrics=(Metric("AP50", 41.5, "VOC", "self-reported", "adept evaluate x", "± 0.3"),),
    ),
    license="apache-2.0",
    sha256="ab" * 32,
    size=123,
)


def test_notes_on_these_very_weights_are_limitations() -> None:
    noted = replace(CONFIG, provenance=replace(CONFIG.provenance, notes=("Trained | in the dark.",)))
    limits = render_card(noted).split("## Limitations")[1].split("## Citation")[0]
    assert limits.strip().splitlines()[-1].startswith("- Trained")
    assert limits.strip().splitlines()[-1].endswith("in the dark.")


def test_a_box_regressor_is_counted_with_the_head() -> None:
    rows = [
        re.search(r"^\| head \| (.*) \| (\d+) \| ([\d,]+) \|$", render_card(config), re.M)
        for config in (CONFIG, replace(CONFIG, box_regressor=True))
    ]
    (words, tensors, values), (more_words, more_tensors, more_values) = (row.groups() for row in rows if row)
    assert more_words == f"{words}, a class-agnostic box regressor"
    assert int(more_tensors) - int(tensors) == 2
    assert int(more_values.replace(",", "")) - int(values.replace(",", "")) == 4 * 1024 + 4


def metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_every_section_a_reader_needs() -> None:
    card = render_card(CONFIG)
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# adept_joint_r50_fpn.ten_photos",
        "## Use",
        "## Parts",
        "## Settings that a framework must match",
        "## Training",
        "## Measurements",
        "## Limitations",
        "## Citation",
    ]
    for said in (
        "Trained on ten photographs (12,345 images) for 2.5 epochs",
        "the file contains the target (momentum) network",
        "not a complete detector",
        # 256*256*9+256 + 257*3 + 257*12
        "| rpn | one 3x3 convolution with ReLU, 3 anchors per location | 6 | 593,935 |",
        "| anchors in pre-training | 24, 48, 96, 192 px on P2-P5, h/w 0.5, 1, 2 |",
        "| proposals | algorithm selective_search, sha256 " + "ff" * 32 + " |",
        "| optim.lr | 0.9 |",
        "| AP50 | 41.5 | ± 0.3 | VOC | self-reported | `adept evaluate x` |",
        "darkness, overexposure",
        "more false positives",
        "arXiv 2211.09022",
    ):
        assert said in card, said
    for framework in ("detectron2", "mmdet", "torchvision"):
        assert f"--to {framework}" in card


def test_parts_that_are_not_held_are_not_claimed() -> None:
    card = render_card(replace(CONFIG, parts=("backbone", "fpn", "head")))
    assert "| rpn | not included | 0 | 0 |" in card
    assert "(backbone, fpn, head)" in card


def test_without_metrics_the_papers_figures_are_not_borrowed() -> None:
    bare = replace(CONFIG, provenance=replace(CONFIG.provenance, metrics=()))
    assert "None yet." in render_card(bare)
    assert "model-index" not in metadata(render_card(bare))
    assert eval_results(bare) == {}


def test_tide_errors_have_a_section_of_their_own() -> None:
    metrics = (*CONFIG.provenance.metrics, Metric("TIDE Cls", 3.25, "VOC", "self-reported"))
    card = render_card(replace(CONFIG, provenance=replace(CONFIG.provenance, metrics=metrics)))
    measured, errors = card.split("## Errors (TIDE)")
    assert "| TIDE Cls | 3.25 |" in errors
    assert "TIDE Cls |" not in measured.split("## Measurements")[1]


def test_front_matter_is_what_the_hub_reads() -> None:
    data = metadata(front_matter(CONFIG) + "\n")
    assert data["license"] == "apache-2.0"
    assert data["library_name"] == "adept-hub"
    assert data["pipeline_tag"] == "object-detection"
    (model,) = data["model-index"]
    assert model["name"] == CONFIG.name
    (result,) = model["results"]
    assert result["dataset"] == {"name": "VOC", "type": "voc"}
    assert result["metrics"][0]["value"] == 41.5


def test_texts_of_a_config_cannot_become_markup_or_metadata() -> None:
    evil = 'x\n---\nlicense: mit\n---\n| a |\n## Free money <script>alert("x")</script>'
    provenance = replace(
        CONFIG.provenance,
        data=evil,
        trained_on=evil,
        recipe={evil: evil},
        metrics=(Metric(evil, 1.0, evil, "reproduced"),),
    )
    card = render_card(replace(CONFIG, provenance=provenance))
    assert metadata(card)["license"] == "apache-2.0"
    assert "<script>" not in card.split("\n---\n", 1)[1]
    assert "## Free money" not in [line.strip() for line in card.splitlines()]
    for path in eval_results(replace(CONFIG, provenance=provenance)):
        assert Path(path).parent == Path(".eval_results")
    shown = render_card(CONFIG, pictures=["pictures/x](evil.example).png"]).split("## Pictures")[1]
    assert "![x evil example](pictures/x%5D%28evil.example%29.png)" in shown
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("///") == "unnamed"


ALIVE = [
    "![x](https://evil.example/pixel.png)",
    "[x](https://evil.example)",
    "\\![x](https://evil.example)",
    "\\[x](https://evil.example)",
    "https://evil.example/path",
    "see WWW.evil.example",
    "me@evil.example and @everybody",
    "<https://evil.example>",
    '<img src="https://evil.example/pixel.png">',
    "`` ` <b>code</b> ![x](https://evil.example)",
    "a | b | ![x](https://evil.example)",
    "![x]\n\n[x]: https://evil.example",
    "&#33;&#91;x&#93;(https://evil.example)",
]


def alive(card: str) -> Counter[str]:
    """What an independent reader of Markdown finds in a card: pictures, links, raw HTML, and the cells of tables."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(card.split("\n---\n", 1)[1])
    kinds = Counter(token.type for outer in tokens for token in [outer, *(outer.children or [])])
    return Counter({kind: kinds[kind] for kind in ("image", "link_open", "html_inline", "html_block", "td_open")})


@pytest.mark.parametrize("text", ALIVE)
def test_pictures_and_links_of_a_config_are_inert(text: str) -> None:
    metrics = (Metric(text, 41.5, text, "self-reported", text, text),)
    provenance = replace(
        CONFIG.provenance, data=text, trained_on=text, notes=(text,), recipe={"a": text, text: 1}, metrics=metrics
    )
    evil = render_card(replace(CONFIG, provenance=provenance))
    assert alive(evil) == alive(render_card(CONFIG))
    shown = re.sub(r"\\`|`[^`\n]*`", "", evil.split("\n---\n", 1)[1])  # GitHub makes links of these by itself
    assert not re.search(r"(?i)https?://evil|(?<!\\)www\.evil|(?<!\\)@ever", shown)


def test_what_is_written_by_hand_survives_generation(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    path = write_card(folder, config)
    assert path.read_text() == render_card(config)
    path.write_text(path.read_text().replace(f"{BEGIN}\n", f"{BEGIN}\n\nMine.\n\n").replace("## Use", "## Abuse"))
    (folder / "pictures").mkdir()
    (folder / "pictures" / "proposals.png").write_bytes(b"")
    write_card(folder, config)
    again = path.read_text()
    assert f"{BEGIN}\nMine.\n{END}" in again
    assert "## Abuse" not in again
    assert "![proposals](pictures/proposals.png)" in again
    write_card(folder, config)
    assert path.read_text() == again


def test_the_commands_on_a_card_run(make_checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """As they stand there, one after the other, in an empty folder."""
    folder, config, _ = make_checkpoint()
    monkeypatch.chdir(tmp_path)
    card = render_card(config, source=str(folder))
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(compile(program, "card", "exec"), {})
    assert "total 200 " in " ".join(capsys.readouterr().out.split())
    (commands,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    for command in commands.splitlines():
        prefix, *words = shlex.split(command, comments=True)
        assert prefix == "adept"
        assert main(words) == 0, command
    for made in ("out_d2/config.yaml", "out_mmdet/config.py", "out_tv/build_model.py"):
        assert (tmp_path / made).is_file(), "the card says that it is written"


# --- the repository's own ------------------------------------------------------------------------------------------


def test_model_cards_are_what_the_generator_gives() -> None:
    """If this fails: make cards."""
    kept = {path.name: path.read_text() for path in (ROOT / "model_cards").glob("*.md") if path.name != "README.md"}
    assert kept == published_cards()


def test_bundled_checkpoints_have_their_card_and_its_pictures_are_there() -> None:
    """If this fails: adept card --write FOLDER, make cards."""
    for folder in (path for path in BUNDLED.iterdir() if path.is_dir()):
        card = (folder / "README.md").read_text()
        assert card == render_card(read_config(folder), pictures=card_pictures(folder))
    for path in (ROOT / "model_cards").glob("*.md"):
        shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", path.read_text())
        assert all((path.parent / picture).is_file() for picture in shown), shown


def test_results_are_what_the_generator_gives() -> None:
    """If this fails: make cards."""
    for name, text in published_tables().items():
        path = ROOT / "results" / name
        assert path.is_file() or not list_models(pretrained=True), path
        assert not path.is_file() or path.read_text() == text, path


def test_tables_hold_every_published_model(tmp_path: Path, make_checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    folder, config, _ = make_checkpoint(folder=tmp_path / "mine")
    config = replace(config, name="mine_r18_fpn32.photos")
    write_config(folder, config)
    metric = {"name": "AP", "value": 1.5, "data": "VOC, test", "provenance": "reproduced"}
    entry = {"location": {"bundled": "mine"}, "sha256": config.sha256, "size": config.size, "metrics": [metric]}
    data = {
        "format_version": 2,
        "architectures": {"mine_r18_fpn32": {"method": "soco", "spec": {"depth": 18}}},
        "checkpoints": {"mine_r18_fpn32.photos": entry},
    }
    (tmp_path / "registry.json").write_text(json.dumps(data))
    monkeypatch.setenv("ADEPT_REGISTRY", str(tmp_path / "registry.json"))
    models, metrics = (list(csv.DictReader(io.StringIO(text))) for text in published_tables().values())
    assert [row["name"] for row in models] == list_models(pretrained=True)
    mine = next(row for row in models if row["name"] == "mine_r18_fpn32.photos")
    assert (mine["method"], mine["bytes"], mine["sha256"]) == ("soco", str(config.size), config.sha256)
    assert [row["value"] for row in metrics if row["data"] == "VOC, test"] == ["1.5"]
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "withdrawn_r18_fpn.old.md").write_text("")
    write_cards(tmp_path / "cards")
    assert (tmp_path / "cards" / "mine_r18_fpn32.photos.md").read_text() == render_card(config)
    assert not (tmp_path / "cards" / "withdrawn_r18_fpn.old.md").exists()
    assert model_info("mine_r18_fpn32.photos").folder == folder


@pytest.mark.parametrize(("share", "told"), [(None, False), (0.0, False), (0.05, False), (0.0501, True), (0.637, True)])
def test_weights_that_are_partly_random_say_so_first(share: float | None, told: bool) -> None:
    card = render_card(replace(CONFIG, provenance=replace(CONFIG.provenance, random_share=share)))
    first = card.split("\n---\n", 1)[1].strip().splitlines()[0]
    assert first.startswith("> **Caution: ") == told
    if told and share is not None:
        assert f"{share:.0%} of these weights are still their random initial values" in first
        assert "--set method.momentum_bound=run" in first
    assert ("| share of random initial values |" in card) == (share is not None)
