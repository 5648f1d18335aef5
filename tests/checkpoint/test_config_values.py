"""Values of a config.json that no checkpoint has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adept_hub.checkpoint.folder import (
    CONFIG,
    parse_config,
)
from adept_hub.errors import (
    CheckpointError,
)

BAD_VALUES = [
    ({"name": "../../etc"}, "name"),
    ({"name": "a_b.<script>"}, "name"),
    ({"format_version": 3}, "format 3"),
    ({"parts": []}, "parts"),
    ({"parts": ["backbone", "backbone"]}, "parts"),
    ({"parts": ["neck"]}, "parts"),
    ({"sha256": "0" * 63}, "sha256"),
    ({"sha256": "../" * 21 + "a"}, "sha256"),
    ({"size": 0}, "size"),
    ({"size": 1 << 50}, "size"),
    ({"license": "mit\nmodel-index: evil"}, "license"),
    ({"spec": {"depth": 50, "fpn_channels": 0}}, "fpn_channels"),
    ({"spec": {"depth": 50, "fpn_channels": -256}}, "fpn_channels"),
    ({"spec": {"depth": 50, "head_fc_channels": 10**12}}, "head_fc_channels"),
    ({"spec": {"depth": 1_000_000}}, "depth"),
    ({"spec": {"anchors": {"sizes": [], "ratios": [1.0]}}}, "sizes"),
    ({"spec": {"anchors": {"ratios": [1.0] * 10_000}}}, "ratios"),
    ({"spec": {"anchors": {"ratios": [0.0]}}}, "ratios"),
    ({"preprocessing": {"std": [0.2, 0.0, 0.2]}}, "std"),
    ({"preprocessing": {"channel_order": "bgr"}}, "channel_order"),
    ({"stored_dtype": "float64"}, "stored_dtype"),
    ({"auto_map": {"AutoModel": "evil.py"}}, "unknown field 'auto_map'"),
    ({"provenance": {"recipe": {"x": "1e999"}}}, "1e999 is too large"),
    ({"provenance": {"recipe": {"x": "\u0000"}}}, "recipe"),
    ({"provenance": {"recipe": {"x": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}}}, "recipe"),
    ({"provenance": {"recipe": {str(i): i for i in range(30_000)}}}, "20,000 values"),
    ({"provenance": {"images": -1}}, "images"),
    ({"provenance": {"random_share": 1.001}}, "random_share 1.001 is not between 0 and 1"),
    ({"provenance": {"random_share": -0.001}}, "random_share"),
    ({"provenance": {"random_share": "much"}}, "random_share"),
    ({"provenance": {"epochs": "1e999"}}, "1e999 is too large"),
    ({"provenance": {"epochs": float("nan")}}, "NaN is not a valid number"),
    ({"provenance": {"method": "__import__('os')"}}, "method"),
]


@pytest.mark.parametrize(("change", "named"), BAD_VALUES, ids=[str(i) for i in range(len(BAD_VALUES))])
def test_configs_with_values_out_of_bounds(make_checkpoint, change: dict[str, Any], named: str) -> None:
    folder, _, _ = make_checkpoint()
    data = json.loads((folder / CONFIG).read_text())
    for key, value in change.items():
        data[key] = data[key] | value if isinstance(value, dict) and isinstance(data.get(key), dict) else value
    with pytest.raises(CheckpointError, match=named) as caught:
        parse_config(json.dumps(data).replace('"1e999"', "1e999").encode(), "config.json")  # infinite, and legal JSON
    assert len(str(caught.value).splitlines()) <= 3
    assert len(str(caught.value)) < 600
