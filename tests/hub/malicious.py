"""Attacks on who loads a checkpoint, each a function that must end in an `AdeptError`; those by pickles and archives
are in `malicious_pickles`, which adds them to `CASES`.

An attack gets an empty folder to work in and a checkpoint folder of its own to spoil.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, parse_config, read_config, read_tensors
from adept_hub.names import check_repo, check_revision
from adept_hub.registry import parse_registry
from tests.hub.malicious_cases import CASES, attack, expect_source

expect_source("traversal_in_a_repository", "hf-hub:../../../etc/passwd")
expect_source("traversal_in_a_repository_name", "hf-hub:org/..")
expect_source("traversal_in_a_revision", "hf-hub:org/repo@../../main")
expect_source("absolute_path_as_a_repository", "hf-hub:/etc/passwd")
expect_source("another_host_as_a_repository", "hf-hub:https://evil.example/x")
expect_source("null_character_in_a_path", "local-dir:/etc/passwd\0.safetensors")
expect_source("null_character_in_a_name", "adept\0joint")
CASES["revision_with_options"] = lambda work, folder: check_revision("--upload-pack=evil")
CASES["repository_with_a_query"] = lambda work, folder: check_repo("org/repo?x=1")


# --- registries ----------------------------------------------------------------------------------------------------


def registry_with(location: dict[str, str], **changes: Any) -> object:
    entry = {"location": location, "sha256": "a" * 64, "size": 10} | changes
    data = {
        "format_version": 2,
        "architectures": {"x_r18_fpn": {"method": "soco", "spec": {"depth": 18}}},
        "checkpoints": {"x_r18_fpn.t": entry},
    }
    return parse_registry(data)["x_r18_fpn.t"]


for _name, _folder in (
    ("up", "../../secrets"),
    ("absolute", "/etc"),
    ("middle", "a/../../b"),
    ("windows", "..\\..\\x"),
):
    CASES[f"registry_folder_{_name}"] = lambda work, folder, f=_folder: registry_with({"bundled": f})  # type: ignore[misc]
for _name, _folder in (
    ("device_of_windows", "models/CON"),
    ("device_of_windows_with_a_suffix", "aux.safetensors"),
    ("stream_of_windows", "x:secret"),
    ("trailing_dot", "x/.. "),
    ("null_character", "x\0y"),
    ("right_to_left", "x\u202egpj"),
    ("home", "~root"),
):
    CASES[f"registry_folder_{_name}"] = lambda work, folder, f=_folder: registry_with({"bundled": f})  # type: ignore[misc]
CASES["registry_infinity"] = lambda work, folder: registry_with({"bundled": "x"}, epochs=float("inf"))
CASES["registry_branch_for_a_commit"] = lambda work, folder: registry_with({"repo": "a/b", "revision": "main"})
CASES["registry_with_code"] = lambda work, folder: registry_with({"bundled": "x"}, auto_map="evil.Model")


# --- configs -------------------------------------------------------------------------------------------------------


def config_with(folder: Path, /, **changes: Any) -> object:
    data = json.loads((folder / CONFIG).read_text())
    for path, value in changes.items():
        holder = data
        *parents, last = path.split("__")
        for key in parents:
            holder = holder[key]
        holder[last] = value
    return parse_config(json.dumps(data).encode(), CONFIG)


def expect_config(name: str, /, **changes: Any) -> None:
    CASES[name] = lambda work, folder: config_with(folder, **changes)


expect_config("config_with_remote_code", auto_map={"AutoModel": "evil.Model"}, trust_remote_code=True)
expect_config("config_that_names_a_class", _target_="os.system", args=["touch owned"])
expect_config("config_with_a_yaml_object", name="!!python/object/apply:os.system [id]")
expect_config("config_with_a_traversing_name", name="../../../tmp/x")
expect_config("config_of_a_trillion_channels", spec__fpn_channels=10**12)
expect_config("config_of_a_huge_head", spec__head_fc_channels=2**62)
expect_config("config_of_a_million_layers", spec__depth=10**6)
expect_config("config_of_ten_million_anchors", spec__anchors={"ratios": [1.0] * 1_000_000})
expect_config("config_of_exabytes", size=1 << 60)
expect_config("config_that_injects_front_matter", license="mit\n---\nmodel-index: owned")


@attack
def config_nested_without_end(work: Path, folder: Path) -> object:
    (folder / CONFIG).write_bytes(b'{"name":' * 200_000)
    return read_config(folder)


@attack
def config_of_a_gigabyte(work: Path, folder: Path) -> object:
    with (folder / CONFIG).open("wb") as stream:
        stream.truncate(1 << 30)
    return read_config(folder)


@attack
def config_with_a_number_of_a_million_digits(work: Path, folder: Path) -> object:
    (folder / CONFIG).write_bytes(b'{"size": ' + b"9" * 1_000_000 + b"}")
    return read_config(folder)


def config_of(folder: Path, text: bytes, *, in_place_of: bytes) -> object:
    content = (folder / CONFIG).read_bytes()
    assert content.count(in_place_of) == 1
    (folder / CONFIG).write_bytes(content.replace(in_place_of, text))
    return read_config(folder)


for _name, _old, _new in (
    ("two_digests", b'"sha256": ', b'"sha256": "' + b"0" * 64 + b'", "sha256": '),
    ("two_licenses", b'"license": ', b'"license": "mit", "license": '),
    ("nan", b'"epochs": 1.0', b'"epochs": NaN'),
    ("infinity", b'"epochs": 1.0', b'"epochs": -Infinity'),
    ("an_infinite_exponent", b'"epochs": 1.0', b'"epochs": 1e999999'),
    ("a_lone_surrogate", b'"random numbers"', b'"\\ud800"'),
    ("a_homoglyph", b'"method": "adept_joint"', '"method": "\u0430dept_joint"'.encode()),
    ("an_escaped_field", b'"license": ', b'"license\\u0000": '),
):
    CASES[f"config_with_{_name}"] = lambda work, folder, o=_old, n=_new: config_of(folder, n, in_place_of=o)  # type: ignore[misc]


@attack
def config_in_utf_16(work: Path, folder: Path) -> object:
    (folder / CONFIG).write_bytes((folder / CONFIG).read_text().encode("utf-16"))
    return read_config(folder)


@attack
def config_that_is_a_pipe(work: Path, folder: Path) -> object:
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)
    return read_config(folder)


@attack
def config_that_leads_to_itself(work: Path, folder: Path) -> object:
    (folder / CONFIG).unlink()
    (folder / CONFIG).symlink_to(folder / CONFIG)
    return read_config(folder)


@attack
def config_in_another_case(work: Path, folder: Path) -> object:
    (folder / CONFIG).rename(folder / "Config.JSON")
    return read_config(folder)


@attack
def weights_that_are_a_device_without_end(work: Path, folder: Path) -> object:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("/dev/zero")
    return read_tensors(folder, read_config(folder))


@attack
def weights_that_are_a_folder(work: Path, folder: Path) -> object:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    return read_tensors(folder, read_config(folder))
