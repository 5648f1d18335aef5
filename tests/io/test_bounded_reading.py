"""No module opens, reads or parses untrusted bytes but the readers, which are listed with their reason."""

from __future__ import annotations

from pathlib import Path

import pytest

import adept_hub
import adept_training
from tests.io.reads import Read, find_reads

PACKAGES = tuple(Path(package.__file__).parent for package in (adept_hub, adept_training))

#: The readers. Each bounds a file and requires a regular one before anything parses it (see test_hostile_readers).
DOORS = {
    "adept_hub.io.read": "the reader",
    "adept_hub.io.strict_json": "JSON, for the reader alone",
    "adept_hub.io.strict_yaml": "YAML, for the reader alone",
    "adept_hub.io.archives": "tar files, of which only members are read",
    "adept_hub.checkpoint.weights_file": "safetensors, whose library maps a file by its name",
    "adept_hub.checkpoint.tensor_files": "torch.save's files, whose library maps a file by its name",
    "adept_hub.checkpoint.array_pickles": "Detectron2's pickles, by an unpickler that builds arrays only",
    "adept_hub.images.decode": "encoded images, from bytes or streams that the reader gave",
    "adept_training.proposals.table.files": "Parquet and NumPy arrays, whose libraries adept_hub does without",
}

#: What is no file from elsewhere: module:function -> why.
ALLOWED = {
    "adept_hub.io.write:append_line": "writes; the last byte says whether the last line was finished",
    "adept_hub.io.write:_temporary": "locks a file or folder that it has made",
    "adept_hub.io.write:_is_free": "locks, and reads nothing",
    "adept_hub.io.write:_sync": "has the disk keep what was written, and reads nothing",
    "adept_hub.hub.cache:RepoCache.partial": "writes; what it takes over is hashed when it is whole",
    "adept_hub.frameworks.mmdet.facts:_run_mmengine": "runs a program, with --run-config alone",
    "adept_hub.integrations.detectron2:AdeptHandler._open": "hands Detectron2 the weights that it has just written",
    "adept_hub.integrations.mmdet:load_from_adept": "hands MMEngine the tensors that it has just written",
    "adept_hub.models.wrapped:memory_is_read_only": "asks Linux, in /proc, about this process",
    "adept_training.runtime.state:_read": "a stream of the reader whose SHA-256 was recorded, tensors only",
    "adept_training.data.cache:_mapped": "maps squares whose SHA-256 was checked when the cache was opened",
    "adept_hub.detectors.onnx_predictor:load_graph": "hands onnxruntime the bytes that the reader gave",
    "adept_training.deploying.onnx_graph:write_graph": "reads the graph that it has just written",
    "adept_training.images.hugging_face:load_dataset": "the datasets library reads, and gives undecoded bytes",
    "adept_training.runtime.cpus:_quota": "asks Linux, in its control group, about this process",
    "adept_training.runtime.recipe_fields:_comments": "the source of this package's own recipes",
    "adept_training.studio.answers:Answers.answer": "this package's own page, style and script",
    "adept_training.studio.single_file:write_page": "this package's own page, style and script",
    "adept_training.studio.single_file:_embedded": "JSON that the studio has just written",
}


def reads() -> dict[str, list[Read]]:
    found: dict[str, list[Read]] = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = (package.name, *path.relative_to(package).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            found[module] = find_reads(path.read_text(), module if is_package else module.rpartition(".")[0])
    return found


READS = reads()


def test_every_module_is_looked_at() -> None:
    assert len(READS) > 200
    assert {"adept_hub", "adept_hub.io.read", "adept_training.proposals.table.index"} <= set(READS)


def test_bytes_from_elsewhere_come_through_the_door() -> None:
    elsewhere = [
        f"{module}:{read.function or '-'} reads with {read.reader} (line {read.line})"
        for module, found in READS.items()
        for read in found
        if module not in DOORS and f"{module}:{read.function}" not in ALLOWED
    ]
    assert not elsewhere, "Use adept_hub.io.read.BoundedReader:\n" + "\n".join(elsewhere)


def test_no_door_and_no_exception_is_left_behind() -> None:
    functions = {f"{module}:{read.function}" for module, found in READS.items() for read in found}
    assert [name for name in ALLOWED if name not in functions] == []
    assert [module for module in DOORS if not READS.get(module)] == []


@pytest.mark.parametrize(
    "code",
    [
        "open(p)", "open(p, 'r+b')", "open(p, mode)", "p.open()", "p.open('rb')", "p.open('w+b')", "p.read_text()",
        "map(Path.read_bytes, paths)", "import os; os.open(p, os.O_RDONLY)", "import io; io.open(p)",
        "import json; json.load(f)", "import json as j; j.loads(s)", "from json import loads as parse; parse(s)",
        "import yaml; yaml.safe_load(s)", "import csv; csv.reader(f)", "import tomllib; tomllib.loads(s)",
        "import xml.etree.ElementTree as E; E.parse(p)", "from xml.etree.ElementTree import fromstring; fromstring(s)",
        "import numpy as np; np.load(p)", "import numpy as np; np.fromfile(p)", "import torch; torch.load(p)",
        "from PIL import Image; Image.open(p)", "import cv2; cv2.imread(p)", "import zipfile; zipfile.ZipFile(p)",
        "import tarfile; tarfile.open(p)", "import pyarrow.parquet as pq; pq.read_table(p)",
        "from safetensors import safe_open; safe_open(p)", "from safetensors.torch import load_file; load_file(p)",
        "from torchvision.io import decode_image; decode_image(p)", "import pickle; pickle.loads(b)",
        "from adept_hub.io import strict_json; strict_json.loads(b)", "import tokenize; tokenize.open(p)",
        "from mmengine.config import Config; Config.fromfile(p)", "self.path.open()",
    ],
)  # fmt: skip
def test_every_way_to_read_is_found(code: str) -> None:
    body = "\n    ".join(code.split("; "))
    assert [read.function for read in find_reads(f"def use(p):\n    {body}\n")] == ["use"]


@pytest.mark.parametrize(
    "code",
    [
        "open(p, 'w')", "p.open('ab')", "p.open(mode='xb')", "import os; os.open(p, os.O_WRONLY)",
        "p.write_text(s)", "import json; json.dumps(s)", "from PIL import Image; Image.new('RGB', s)",
        "from adept_hub.io.read import BoundedReader; BoundedReader(DataError).open(p)",
        "from adept_hub.io.read import BoundedReader; d = BoundedReader(DataError); d.open(p)",
        "from adept_training.proposals.table.store import ProposalTable; ProposalTable.open(p)",
    ],
)  # fmt: skip
def test_writing_and_the_door_are_no_other_door(code: str) -> None:
    body = "\n    ".join(code.split("; "))
    assert find_reads(f"def use(p):\n    {body}\n") == []
