"""A timm repository on the loopback Hub: a backbone, refused by its config before its weights are downloaded."""

from __future__ import annotations

import io
import json

import pytest
import torch
from safetensors.torch import save
from torchvision.models import resnet18

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_tensors
from adept_hub.errors import CheckpointError, IntegrityError, UnsupportedModelError
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.foreign.test_adopt import MEAN, STD, timm_config
from tests.hub.fetching import flip
from tests.hub.loopback import Hub

REPO = "timm/resnet18.a1_in1k"
CARD = b"---\nlicense: apache-2.0\nlibrary_name: timm\n---\n# Model card\n"


def _files(**changes: object) -> dict[str, bytes]:
    weights = save(resnet18().state_dict(), metadata={"format": "pt"})
    config = json.dumps(timm_config(license=None, **changes)).encode()
    return {CONFIG: config, WEIGHTS: weights, "README.md": CARD, ".gitattributes": b"*.safetensors filter=lfs\n"}


def test_a_repository_of_timm_is_a_backbone(hub: Hub, options: FetchOptions) -> None:
    files = _files()
    commit = hub.repo(REPO, files)
    found = fetch(f"hf-hub:{REPO}", options)
    assert found.origin == f"hf-hub:{REPO}@{commit[:12]}"
    config = found.config
    assert (config.name, config.parts, config.license) == ("timm_r18.a1_in1k", ("backbone",), "apache-2.0")
    assert (config.preprocessing.mean, config.preprocessing.std) == (MEAN, STD)
    assert config.provenance.starts[0].name == found.origin
    assert len(read_tensors(found.folder, config)) == 120
    hub.log.clear()
    offline = FetchOptions(cache_dir=options.cache_dir, offline=True)
    assert fetch(f"hf-hub:{REPO}", offline) == found
    assert fetch(f"hf-hub:{REPO}@{commit}", options) == found
    assert not hub.log, "a pinned commit that is cached"


def test_a_repository_with_a_pickled_file_alone(hub: Hub, options: FetchOptions) -> None:
    files, stored = _files(), io.BytesIO()
    del files[WEIGHTS]
    commit = hub.repo(REPO, files)
    with pytest.raises(CheckpointError, match=f"has no {WEIGHTS}"):
        fetch(f"hf-hub:{REPO}", options)
    state = resnet18().state_dict()
    torch.save(state, stored)
    commit = hub.repos[REPO].add("main", files | {"pytorch_model.bin": stored.getvalue()})
    found = fetch(f"hf-hub:{REPO}", options)
    assert (found.config.name, found.config.license) == ("timm_r18.a1_in1k", "apache-2.0")
    assert torch.equal(read_tensors(found.folder, found.config)["backbone.conv1.weight"], state["conv1.weight"])
    hub.log.clear()
    assert fetch(f"hf-hub:{REPO}", FetchOptions(cache_dir=options.cache_dir, offline=True)) == found
    assert fetch(f"hf-hub:{REPO}@{commit}", options) == found
    assert not hub.log, "a pinned commit that is cached"


def test_other_architectures_are_refused_before_their_weights_are_downloaded(hub: Hub, options: FetchOptions) -> None:
    hub.repo(REPO, _files(architecture="resnet18d"))
    with pytest.raises(UnsupportedModelError, match=r"@[0-9a-f]{12} is 'resnet18d', whose stem has three convolutions"):
        fetch(f"hf-hub:{REPO}", options)
    assert not hub.requests(WEIGHTS)


def test_changed_weights_are_refused(hub: Hub, options: FetchOptions) -> None:
    hub.repo(REPO, _files())
    hub.fault("GET /cdn/", change=flip)
    with pytest.raises(IntegrityError, match="SHA-256"):
        fetch(f"hf-hub:{REPO}", options)
