"""Attacks on who loads a checkpoint, each a function that must end in an `AdeptError`; those by pickles and archives
are in `malicious_pickles`, which adds them to `CASES`.

An attack gets an empty folder to work in and a checkpoint folder of its own to spoil.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, parse_config, read_config, read_tensors
from adept_hub.names import check_repo, check_revision, parse_source
from adept_hub.registry import parse_registry
from tests.hub.headers import data_bytes, read_header

Attack = Callable[[Path, Path], object]
CASES: dict[str, Attack] = {}
KEY = "backbone.conv1.weight"


def attack(function: Attack) -> Attack:
    CASES[function.__name__] = function
    return function


def expect_source(name: str, text: str) -> None:
    CASES[name] = lambda work, folder: parse_source(text)


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


# --- headers: the config promises the file's true size and digest --------------------------------------------------


def sealed(folder: Path) -> object:
    """What is loaded when the config vouches for the file as it now is."""
    path = folder / WEIGHTS
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    data = json.loads((folder / CONFIG).read_text()) | {"sha256": digest, "size": path.stat().st_size}
    (folder / CONFIG).write_text(json.dumps(data))
    return read_tensors(folder, read_config(folder))


def weights_with(folder: Path, header: dict[str, Any] | bytes, length: int | None = None) -> object:
    tail = data_bytes(read_header(folder / WEIGHTS))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / WEIGHTS
    with path.open("wb") as stream:
        stream.write((len(text) if length is None else length).to_bytes(8, "little") + text)
        stream.truncate(stream.tell() + tail)
    return sealed(folder)


@attack
def header_of_exabytes(work: Path, folder: Path) -> object:
    return weights_with(folder, b"{}", 1 << 62)


@attack
def header_of_a_hundred_megabytes(work: Path, folder: Path) -> object:
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.write((99 << 20).to_bytes(8, "little"))
        stream.truncate(200 << 20)
    return read_tensors(folder, read_config(folder), verified=False)


@attack
def header_of_a_huge_shape(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header[KEY]["shape"] = [2**31, 2**31, 2**31]
    return weights_with(folder, header)


@attack
def header_of_overlapping_tensors(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header["fpn.inner_blocks.0.0.weight"]["data_offsets"] = header[KEY]["data_offsets"]
    return weights_with(folder, header)


def renamed(header: dict[str, Any], name: str) -> dict[str, Any]:
    return {name if key == KEY else key: entry for key, entry in header.items()}


for _name, _text in (
    ("homoglyph", KEY.replace("a", "\u0430")),
    ("right_to_left_mark", f"{KEY}\u202e"),
    ("other_case", KEY.upper()),
    ("traversal", "../../../etc/passwd"),
    ("composed_character", "backbone.conv1.weight\u0301"),
):
    CASES[f"header_with_a_{_name}"] = lambda work, folder, n=_text: weights_with(  # type: ignore[misc]
        folder, renamed(read_header(folder / WEIGHTS), n)
    )


@attack
def header_with_one_tensor_twice(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    entry = json.dumps(header[KEY])
    text = json.dumps(header)
    return weights_with(folder, text.replace(f'"{KEY}": ', f'"{KEY}": {entry}, "{KEY}": ').encode())


@attack
def header_with_two_shapes(work: Path, folder: Path) -> object:
    text = json.dumps(read_header(folder / WEIGHTS))
    return weights_with(folder, text.replace('"shape": ', '"shape": [1], "shape": ', 1).encode())


def moved(folder: Path, first: int, last: int, grown: int = 0) -> object:
    """The last tensor of the file elsewhere, and the file so much longer."""
    header = read_header(folder / WEIGHTS)
    key = max((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"][1])
    begin, end = header[key]["data_offsets"]
    header[key]["data_offsets"] = [begin + first, end + last]
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.truncate((folder / WEIGHTS).stat().st_size + grown)
    return weights_with(folder, header)


CASES["header_with_a_hole"] = lambda work, folder: moved(folder, 4096, 4096, 4096)
CASES["header_with_a_tensor_backwards"] = lambda work, folder: moved(folder, 4, -(1 << 40))
CASES["header_with_a_tensor_cut_short"] = lambda work, folder: moved(folder, 0, -4)
CASES["header_with_half_a_byte"] = lambda work, folder: moved(folder, 0.5, 0.5)  # type: ignore[arg-type]
CASES["header_with_offsets_of_a_yottabyte"] = lambda work, folder: moved(folder, 1 << 80, 1 << 80)


@attack
def header_before_a_hidden_tail(work: Path, folder: Path) -> object:
    """Bytes behind the last tensor: a second file within the file."""
    header = read_header(folder / WEIGHTS)
    header["__metadata__"] = {"format": "pt"}
    path = folder / WEIGHTS
    weights_with(folder, header)
    with path.open("ab") as stream:
        stream.write(b"PK\x03\x04" * 100)
    return sealed(folder)


@attack
def header_with_nan(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header[KEY]["shape"] = [float("nan")]
    return weights_with(folder, header)


@attack
def header_with_a_tensor_beyond_the_file(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    first, last = header[KEY]["data_offsets"]
    header[KEY]["data_offsets"] = [first + (1 << 40), last + (1 << 40)]
    return weights_with(folder, header)


@attack
def header_nested_without_end(work: Path, folder: Path) -> object:
    return weights_with(folder, b'{"a":' * 150_000)


@attack
def header_with_a_name_of_a_megabyte(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header["x" * 900_000] = header.pop(KEY)
    return weights_with(folder, header)
