"""Key maps of public MoViNet checkpoints: MoViNet-pytorch, and TensorFlow Lite."""

from __future__ import annotations

import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename, Transform, squeeze


def _flat(weight: Tensor) -> Tensor:
    """Kernels of one frame without that dimension."""
    return weight.squeeze(2) if weight.dim() == 5 and weight.shape[2] == 1 else weight


def _deep(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2) if weight.dim() == 4 else weight


VOLUME = Transform(_flat, _deep)


def movinet_pytorch(*, causal: bool) -> KeyMap:
    """MoViNet-pytorch wraps each convolution twice; its streaming networks hold image kernels."""
    conv = "conv2d" if causal else "conv3d"
    kernel = None if causal else VOLUME
    linear = squeeze(2, 3) if causal else squeeze(2, 3, 4)
    theirs, ours = "blocks.b{s}_l{b}", "block{s+2}.{b}"
    places = [
        ("conv1.conv_1", "conv1"),
        ("conv7.conv_1", "conv7"),
        (f"{theirs}.expand.conv_1", f"{ours}.expand"),
        (f"{theirs}.deep.conv_1", f"{ours}.depthwise"),
        (f"{theirs}.deep.conv_2", f"{ours}.temporal"),
        (f"{theirs}.project.conv_1", f"{ours}.project"),
        ("blocks.b3_l0.res.0.conv_1", "block5.0.shortcut.1"),  # no pooling before it
        (f"{theirs}.res.1.conv_1", f"{ours}.shortcut.1"),
    ]
    dense = [
        (f"{theirs}.se.fc1.conv_1", f"{ours}.se.fc1"),
        (f"{theirs}.se.fc2.conv_1", f"{ours}.se.fc2"),
        ("classifier.0.conv_1", "dense9"),
        ("classifier.3.conv_1", "dense10"),
    ]
    return KeyMap(
        "movinet_pytorch",
        (
            *(Rename(f"{a}.{conv}.weight", f"{b}.conv.weight", kernel) for a, b in places),
            *(Rename(f"{a}.norm.*", f"{b}.bn.*") for a, b in places),
            *(Rename(f"{a}.{conv}.weight", f"{b}.weight", linear) for a, b in dense),
            *(Rename(f"{a}.{conv}.bias", f"{b}.bias") for a, b in dense),
            Rename(f"{theirs}.alpha", f"{ours}.alpha"),
        ),
        arguments={"slope": 0.2} if causal else {},  # Keras' older hard sigmoid
    )


def _alpha(x: Tensor) -> Tensor:
    """The one value of a scalar that the converter has spread over a whole feature map."""
    if not torch.equal(x, x.flatten()[0].expand_as(x)):
        raise InvalidCheckpoint("A residual branch is scaled by more than one number; this is no MoViNet.")
    return x.flatten()[0].clone()


HWC = Transform(lambda w: w.permute(0, 3, 1, 2), lambda w: w.permute(0, 2, 3, 1))
"""Kernels as outputs, height, width, inputs."""
ONE_HWC = Transform(lambda w: w.permute(3, 0, 1, 2), lambda w: w.permute(1, 2, 3, 0))
"""Depthwise kernels as 1, height, width, channels."""
DENSE = squeeze(1, 2)


def tflite() -> KeyMap:
    """TensorFlow Lite files of the authors' code: batch norms folded, operators named by Keras' scopes."""
    root = "movinet_classifier/movinet"
    block, ours = f"{root}/block{{s}}_layer{{b}}/bneck", "block{s+2}.{b}"
    head = "movinet_classifier/classifier_head"
    add = "bn/batchnorm/add_1"
    rules: list[Rename | Ignore] = []
    for theirs, own, transform in (
        (f"{root}/stem/stem/conv2d/{add}", "conv1.conv", HWC),
        (f"{block}/expansion/conv2d/{add}", f"{ours}.expand.conv", HWC),
        (f"{block}/feature/conv2d/{add}", f"{ours}.depthwise.conv", ONE_HWC),
        (f"{block}/feature/conv2d_temporal/bn_temporal/batchnorm/add_1", f"{ours}.temporal.conv", ONE_HWC),
        (f"{block}/projection/conv2d/{add}", f"{ours}.project.conv", HWC),
        (f"{block}/skip/skip_project/conv2d/bn/FusedBatchNormV3", f"{ours}.shortcut.1.conv", HWC),
        (f"{root}/head/project/conv2d/{add}", "conv7.conv", HWC),
        (f"{block}/se/se_reduce/conv2d/conv2d_1/BiasAdd", f"{ours}.se.fc1", DENSE),
        (f"{head}/head/conv2d/conv2d/BiasAdd", "dense9", DENSE),
        (f"{head}/classifier/conv2d/conv2d_1/BiasAdd", "dense10", DENSE),
    ):
        rules += [Rename(f"{theirs}.weight", f"{own}.weight", transform)]
        rules += [Rename(f"{theirs}.bias", f"{own}.bias")]
    gate = f"{block}/se/se_expand/conv2d/activation_2"
    return KeyMap(
        "tflite",
        (
            *rules,
            Rename(f"{gate}/Relu6.weight", f"{ours}.se.fc2.weight", DENSE),
            Rename(f"{gate}/Relu6.bias", f"{ours}.se.fc2.bias"),
            Rename(f"{block}/rezero/mul1.constant", f"{ours}.alpha", Transform(_alpha, torch.clone)),
            Ignore(f"{gate}/mul.constant", "the sixth of the hard sigmoid"),
            Ignore(f"{root}/head/global_average_pool3d_*.constant", "one over the number of pixels"),
        ),
        arguments={"folded": True},
    )


BASE_MAPS = (movinet_pytorch(causal=False),)
STREAM_MAPS = (movinet_pytorch(causal=True), tflite())
