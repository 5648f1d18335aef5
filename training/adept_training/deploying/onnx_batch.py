"""Give a graph of one image a batch: a loop over its images, whose detections are padded to one number.

Every image is treated as if it were alone, so that no result depends on the others of its batch.

Legend: N images, D detections of one image, M their largest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

#: Shape of an output of the graph of one image without its first axis, D.
_REST: dict[str, list[int | str]] = {"boxes": [4], "labels": [], "scores": [], "masks": [1, "height", "width"]}


def with_batch(model: Any, batch: int | None, most: int) -> Any:
    """Return a graph with the input ``images`` (N, 3, H, W); its outputs have N and M as their first axes.

    ``counts`` int64 (N,) is the number of detections of each image; those after it are zeros.

    Args:
        model: graph of `adept_training.deploying.onnx_graph.write_graph`, as onnx's ModelProto.
        batch: N; None: any.
        most: M.
    """
    one = model.graph
    names = [output.name for output in one.output]
    size = batch or "batch"
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [size, 3, "height", "width"])
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["images", "place"], ["image"], axis=0),
            *one.node,
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Shape", ["scores"], ["found_1"]),
            helper.make_node("Squeeze", ["found_1"], ["found"]),
            helper.make_node("Sub", ["most_1", "found_1"], ["short_1"]),
            *(node for name in names for node in _pad(name)),
        ],
        "one_image",
        [
            helper.make_tensor_value_info("place", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            *(_info(output, f"{output.name}_padded", [most, *_REST[output.name]]) for output in one.output),
            helper.make_tensor_value_info("found", TensorProto.INT64, []),
        ],
    )
    zeros = sorted({len(_REST[name]) + more for name in names for more in (0, 1)} - {0})
    constants = {"most_1": [most], **{f"no_{count}": [0] * count for count in zeros}}
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["images"], ["shape_4"]),
            helper.make_node("Gather", ["shape_4", "first"], ["count"], axis=0),
            helper.make_node("Loop", ["count", ""], [*names, "counts"], body=body),
        ],
        one.name,
        [images],
        [
            *(_info(output, output.name, [size, most, *_REST[output.name]]) for output in one.output),
            helper.make_tensor_value_info("counts", TensorProto.INT64, [size]),
        ],
        [
            *one.initializer,
            numpy_helper.from_array(np.array(0, np.int64), "first"),
            *(numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()),
        ],
    )
    whole = helper.make_model(graph, opset_imports=list(model.opset_import))
    whole.ir_version = model.ir_version
    return whole


def _pad(name: str) -> list[Any]:
    """Return the nodes that fill an output up to M with zeros."""
    rest = len(_REST[name])
    pads = [f"no_{rest + 1}", "short_1", *([f"no_{rest}"] if rest else [])]
    return [
        helper.make_node("Concat", pads, [f"{name}_pads"], axis=0),
        helper.make_node("Pad", [name, f"{name}_pads"], [f"{name}_padded"]),
    ]


def _info(output: Any, name: str, shape: list[int | str]) -> Any:
    return helper.make_tensor_value_info(name, output.type.tensor_type.elem_type, shape)
