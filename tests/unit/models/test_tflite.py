from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tflite_files import Graph

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.weights.readers import read_foreign
from kinesphere.models.weights.readers.tflite import read_tflite

CONV, DEPTHWISE, DEQUANTIZE, RESHAPE, MUL = 3, 4, 6, 22, 18


def example() -> Graph:
    """A convolution with int8 kernels, a depthwise one, half precision, and a factor."""
    graph = Graph()
    x = graph.activation("image")
    kernel = graph.constant(
        np.arange(-6, 6, dtype=np.int8).reshape(2, 1, 2, 3), scales=(0.5, 0.25), zeros=(0, 1)
    )
    bias = graph.constant(np.array([1.0, 2.0], np.float32))
    x = graph.operator(CONV, (x, kernel, bias), "net/conv/add_1;net/conv/Conv2D")
    x = graph.operator(RESHAPE, (x, graph.constant(np.array([1, -1], np.int32))), "net/reshape")
    fine = graph.constant(np.array([[[[1.5, -2.0]]]], np.float16))
    x = graph.operator(DEPTHWISE, (x, graph.operator(DEQUANTIZE, (fine,), "wide"), -1), "net/depth/add")
    graph.operator(MUL, (x, graph.constant(np.array(0.125, np.float32))), "net/scale/mul")
    return graph


def read(data: bytes, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return read_tflite(path).content


def test_constants_are_named_after_outputs_and_become_floats(tmp_path):
    (tmp_path / "model.tflite").write_bytes(example().to_bytes())
    state = read_foreign(tmp_path / "model.tflite").state
    assert list(state) == [
        "net/conv/add_1.weight",
        "net/conv/add_1.bias",
        "net/depth/add.weight",
        "net/scale/mul.constant",
    ]
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    kernel = state["net/conv/add_1.weight"]
    assert kernel.shape == (2, 1, 2, 3)
    assert kernel[0].flatten().tolist() == [-3.0, -2.5, -2.0, -1.5, -1.0, -0.5]
    assert kernel[1].flatten().tolist() == [-0.25, 0.0, 0.25, 0.5, 0.75, 1.0]
    assert state["net/depth/add.weight"].flatten().tolist() == [1.5, -2.0]
    assert state["net/scale/mul.constant"].item() == 0.125


@given(values=hnp.arrays(np.uint8, (2, 3, 4)), axis=st.integers(0, 2), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scales_apply_along_their_axis(tmp_path, values, axis, data):
    count = values.shape[axis]
    scales = data.draw(st.lists(st.sampled_from((0.5, 0.125, 3.0)), min_size=count, max_size=count))
    zeros = data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
    graph = Graph()
    weight = graph.constant(values, scales=scales, zeros=zeros, axis=axis)
    graph.operator(CONV, (graph.activation("x"), weight), "y")
    (found,) = read(graph.to_bytes(), tmp_path).values()
    for i in range(count):
        wanted = (values.take(i, axis).astype(np.float32) - zeros[i]) * scales[i]
        assert np.array_equal(found.numpy().take(i, axis), wanted)


def test_one_scale_holds_for_all(tmp_path):
    graph = Graph()
    graph.operator(CONV, (0, graph.constant(np.array([[-8, 8]], np.int8), scales=(0.5,))), "y")
    graph.tensors.insert(0, {3: "x", 1: ("b", 0)})
    graph.operators[0][1] = np.array([0, 1], np.int32)
    graph.operators[0][2] = np.array([2], np.int32)
    (found,) = read(graph.to_bytes(), tmp_path).values()
    assert found.tolist() == [[-4.0, 4.0]]


def altered(change: str) -> bytes:
    """The example with one thing wrong."""
    graph = example()
    kernel = graph.tensors[1]
    if change == "two graphs":
        return graph.to_bytes(graphs=2)
    if change == "same name":
        graph.operators.append(graph.operators[0])
    elif change == "bomb":
        graph.operators = [
            {**graph.operators[0], 2: np.array([graph.activation(f"y{i}")], np.int32)} for i in range(2000)
        ]
        graph.buffers[1] = {0: np.zeros(200_000, np.uint8)}
        kernel[0] = np.array([2, 100_000], np.int32)
        kernel[4][6] = ("i", 0)
    elif change == "no weights":
        graph.operators = graph.operators[1:2]
    elif change == "outside":
        graph.buffers[1][1] = ("Q", 4096)
    elif change == "sparse":
        kernel[6] = {}
    elif change == "type":
        kernel[1] = ("b", 17)
    elif change == "shape":
        kernel[0] = np.array([2, 1, 2, 4], np.int32)
    elif change == "negative shape":
        kernel[0] = np.array([-2, -1, 2, 3], np.int32)
    elif change == "overflow":
        kernel[0] = np.array([65536] * 4, np.int32)
    elif change == "axis":
        kernel[4][6] = ("i", 3)
    elif change == "far axis":
        kernel[4][6] = ("i", -7)
    elif change == "not a number":
        kernel[4][2] = np.array([np.nan, 1], np.float32)
    elif change == "zero points":
        kernel[4][3] = np.array([1, 2, 3], np.int64)
    elif change == "tensor":
        graph.operators[0][1] = np.array([0, 99], np.int32)
    elif change == "output":
        graph.operators[0][2] = np.array([-5], np.int32)
    elif change == "buffer":
        kernel[2] = ("I", 77)
    elif change == "code":
        graph.operators[0][0] = ("I", 55)
    return graph.to_bytes()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("two graphs", "holds 2 graphs; only files with one"),
        ("same name", "names two constants alike: net/conv/add_1.weight"),
        ("bomb", "claims [0-9]+ for the constant"),
        ("no weights", "holds no weights"),
        ("outside", "sparsely or behind its tables"),
        ("sparse", "sparsely or behind its tables"),
        ("type", "as type 17, which cannot be read"),
        ("shape", r"of shape \(2, 1, 2, 4\) does not fit 12 bytes"),
        ("negative shape", "does not fit 12 bytes"),
        ("overflow", "does not fit 12 bytes"),
        ("axis", "has 2 scales along axis 3"),
        ("far axis", "has 2 scales along axis -7"),
        ("not a number", "are no numbers, or lack zero points"),
        ("zero points", "are no numbers, or lack zero points"),
        ("tensor", "it has no tensor 99"),
        ("output", "it has no tensor -5"),
        ("buffer", "it has no buffer 77"),
        ("code", "it has no operator code 55"),
    ],
)
def test_contradictions_are_told(tmp_path, change, match):
    with pytest.raises(InvalidCheckpoint, match=match):
        read(altered(change), tmp_path)


def test_other_formats_are_told(tmp_path):
    with pytest.raises(InvalidCheckpoint, match=r"is no TFL3 FlatBuffer: its bytes 4 to 8 are b'abcd'"):
        read(b"0000abcd0000", tmp_path)
    with pytest.raises(InvalidCheckpoint, match="no regular file"):
        read_tflite(tmp_path)
    with pytest.raises(InvalidCheckpoint, match="Cannot read"):
        read_tflite(tmp_path / "absent.tflite")


def test_every_truncation_is_told(tmp_path):
    data = example().to_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(InvalidCheckpoint):
            read(data[:length], tmp_path)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(2, 10_000), st.sampled_from((0, 1, 0x7F, 0x80, 0xFF))), min_size=1, max_size=4
    )
)
def test_flipped_bytes_are_read_or_told_but_nothing_else(tmp_path, changes):
    data = bytearray(example().to_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    try:
        state = read(bytes(data), tmp_path)
    except InvalidCheckpoint:
        return
    assert state


def test_claims_beyond_the_file_are_told(tmp_path):
    data = bytearray(example().to_bytes())
    name = data.index(b"net/conv") - 4
    struct.pack_into("<I", data, name, 0xFFFFFFFF)
    with pytest.raises(InvalidCheckpoint, match="claims a text of 4294967295 bytes"):
        read(bytes(data), tmp_path)
    struct.pack_into("<I", data, 0, 0x7FFFFFFF)
    with pytest.raises(InvalidCheckpoint, match="claims an offset to byte 2147483647, but has"):
        read(bytes(data), tmp_path)
    struct.pack_into("<I", data, 0, 0)
    with pytest.raises(InvalidCheckpoint, match="claims an offset of 0 at byte 0"):
        read(bytes(data), tmp_path)
    graph = example()
    data = bytearray(graph.to_bytes())
    shape = data.index(np.array([4, 2, 1, 2, 3], "<u4").tobytes())
    struct.pack_into("<I", data, shape, 0x40000001)
    with pytest.raises(InvalidCheckpoint, match="claims a vector of 1073741825 elements"):
        read(bytes(data), tmp_path)
