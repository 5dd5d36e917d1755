"""The tables that come out of torch modules, against hand counts and the zoo's own tables."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgesim.core.errors import EdgesimError  # noqa: E402
from edgesim.nn.model import Accuracy, Layer, ModelCost, StateCounts  # noqa: E402
from edgesim.nn.table import read_model, write_model  # noqa: E402
from edgesim.nn.trace import from_module  # noqa: E402
from edgesim.nn.zoo.classics import resnet_layers  # noqa: E402
from edgesim.nn.zoo.mobilenets import mobilenet_v2_layers  # noqa: E402

IMAGE = torch.zeros(1, 3, 224, 224)


def conv_bn(a: int, b: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(b),
    ]


class Basic(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_bn(a, b, 3, stride), nn.ReLU(inplace=True), *conv_bn(b, b))
        self.short = nn.Sequential(*conv_bn(a, b, 1, stride)) if stride > 1 or a != b else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        y = self.body(x)
        if self.short is not None:
            x = self.short(x)
        y += x
        return self.relu(y)


class ResNet18(nn.Sequential):
    def __init__(self) -> None:
        widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
        blocks = [Basic(a, b, 2 if a != b else 1) for a, b in pairwise(widths)]
        super().__init__(
            *conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000), nn.Softmax(-1),
        )  # fmt: skip


class Inverted(nn.Module):
    def __init__(self, a: int, b: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = a * expand
        first = [*conv_bn(a, hidden, 1), nn.ReLU6(True)] if expand != 1 else []
        depth = [*conv_bn(hidden, hidden, 3, stride, hidden), nn.ReLU6(True)]
        self.body = nn.Sequential(*first, *depth, *conv_bn(hidden, b, 1))
        self.residual = stride == 1 and a == b

    def forward(self, x: Any) -> Any:
        return x + self.body(x) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [*conv_bn(3, 32, 3, 2), nn.ReLU6(True)]
        width = 32
        for expand, channels, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for index in range(count):
                parts.append(Inverted(width, channels, stride if index == 0 else 1, expand))
                width = channels
        self.features = nn.Sequential(*parts, *conv_bn(320, 1280, 1), nn.ReLU6(True))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Any) -> Any:
        x = self.features(x).mean([2, 3])
        return F.softmax(self.classifier(x), dim=-1)


def rows(layers: Any) -> list[tuple[Any, ...]]:
    """All of a layer but its name."""
    return [
        (w.kind, w.macs, w.parameters, w.inputs, w.outputs, w.kernel, w.stride, w.groups)
        for w in layers
    ]


def kinds(model: ModelCost) -> Counter[str]:
    return Counter(layer.kind for layer in model.layers)


def layer(model: ModelCost, name: str) -> Layer:
    (found,) = [row for row in model.layers if row.name == name]
    return found


class Call(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function: Any, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def table(function: Any, *example: Any, **parts: Any) -> ModelCost:
    return from_module(Call(function, **parts), example, batch_dimension=None)


# --- against the zoo --------------------------------------------------------------------------


def test_resnet_18_has_the_rows_of_the_zoo() -> None:
    found = from_module(ResNet18(), IMAGE)
    assert sorted(rows(found.layers)) == sorted(rows(resnet_layers(18)))
    assert (found.macs, found.parameters) == (1_814_073_344, 11_689_512)


def test_mobilenet_v2_has_the_rows_of_the_zoo_in_their_order() -> None:
    found = from_module(MobileNetV2(), IMAGE)
    assert rows(found.layers) == rows(mobilenet_v2_layers())
    assert found.name == "mobile_net_v2"


def test_layers_are_called_as_in_the_module() -> None:
    names = [row.name for row in from_module(ResNet18(), IMAGE).layers]
    assert names[:4] == ["0", "1", "2", "3"]
    assert names[4:11] == [f"4.{name}" for name in (
        "body.0", "body.1", "body.2", "body.3", "body.4", "add", "relu")]  # fmt: skip
    assert len(set(names)) == len(names)


# --- by kind ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv2d(6, 8, 3), (6, 9, 9), ("conv", 49 * 8 * 54, 8 * 54 + 8, 486, 392, (3, 3), 1, 1)),
        (nn.Conv2d(6, 8, (1, 5), 2), (6, 9, 9), ("conv", 120 * 30, 248, 486, 120, (1, 5), 2, 1)),
        (nn.Conv2d(6, 8, 1, 2), (6, 9, 9), ("pointwise", 200 * 6, 56, 486, 200, (1, 1), 2, 1)),
        (nn.Conv2d(6, 6, 3, groups=6), (6, 9, 9), ("depthwise", 49 * 54, 60, 486, 294, (3, 3), 1, 6)),
        (nn.Conv2d(6, 12, 3, groups=6), (6, 9, 9), ("depthwise", 49 * 108, 120, 486, 588, (3, 3), 1, 6)),
        (nn.Conv2d(6, 8, 3, groups=2), (6, 9, 9), ("grouped", 49 * 8 * 27, 8 * 28, 486, 392, (3, 3), 1, 2)),
        (nn.Conv2d(6, 8, 1, groups=2), (6, 9, 9), ("grouped", 81 * 8 * 3, 32, 486, 648, (1, 1), 1, 2)),
        (nn.Conv2d(6, 8, 3, dilation=2), (6, 9, 9), ("conv", 25 * 8 * 54, 440, 486, 200, (3, 3), 1, 1)),
        (nn.Conv1d(6, 8, 3, 2), (6, 9), ("conv", 4 * 8 * 18, 152, 54, 32, (3, 1), 2, 1)),
        (nn.Conv1d(6, 8, 1), (6, 9), ("pointwise", 9 * 48, 56, 54, 72, (1, 1), 1, 1)),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), ("conv", 81 * 16, 51, 128, 81, (2, 2), 1, 1)),
        (nn.ConvTranspose2d(6, 8, 2, 2), (6, 5, 5), ("conv", 150 * 32, 200, 150, 800, (2, 2), 2, 1)),
        (nn.ConvTranspose2d(6, 6, 2, 2, groups=6), (6, 5, 5), ("depthwise", 600, 30, 150, 600, (2, 2), 2, 6)),
        (nn.Linear(4, 5), (4,), ("dense", 20, 25, 4, 5, (1, 1), 1, 1)),
        (nn.Linear(4, 5, bias=False), (3, 4), ("dense", 60, 20, 12, 15, (1, 1), 1, 1)),
        (nn.Linear(4, 5), (2, 3, 4), ("dense", 120, 25, 24, 30, (1, 1), 1, 1)),
        (nn.BatchNorm2d(4), (4, 3, 3), ("batchnorm", 0, 8, 36, 36, (1, 1), 1, 1)),
        (nn.BatchNorm2d(4, track_running_stats=False), (4, 3, 3), ("normalisation", 0, 8, 36, 36, (1, 1), 1, 1)),
        (nn.InstanceNorm2d(4), (4, 3, 3), ("normalisation", 0, 0, 36, 36, (1, 1), 1, 1)),
        (nn.LayerNorm(4), (3, 4), ("normalisation", 0, 8, 12, 12, (1, 1), 1, 1)),
        (nn.RMSNorm(4), (3, 4), ("normalisation", 0, 4, 12, 12, (1, 1), 1, 1)),
        (nn.GroupNorm(2, 4), (4, 3, 3), ("normalisation", 0, 8, 36, 36, (1, 1), 1, 1)),
        (nn.LocalResponseNorm(3), (4, 3, 3), ("normalisation", 0, 0, 36, 36, (1, 1), 1, 1)),
        (nn.MaxPool2d(3, 2), (4, 9, 9), ("pool", 0, 0, 324, 64, (3, 3), 2, 1)),
        (nn.AvgPool2d(2), (4, 8, 8), ("pool", 0, 0, 256, 64, (2, 2), 2, 1)),
        (nn.AdaptiveAvgPool2d(1), (4, 9, 7), ("pool", 0, 0, 252, 4, (9, 7), 1, 1)),
        (nn.AdaptiveMaxPool2d(1), (4, 9, 7), ("pool", 0, 0, 252, 4, (9, 7), 1, 1)),
        (nn.AdaptiveAvgPool2d(3), (4, 9, 9), ("pool", 0, 0, 324, 36, (3, 3), 3, 1)),
        (nn.ReLU(), (4,), ("relu", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.ReLU6(), (4,), ("relu", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.LeakyReLU(), (4,), ("relu", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.PReLU(4), (4, 3), ("relu", 0, 4, 12, 12, (1, 1), 1, 1)),
        (nn.GELU(), (4,), ("activation", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.GLU(), (4,), ("activation", 0, 0, 4, 2, (1, 1), 1, 1)),
        (nn.Softmax(-1), (4,), ("softmax", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.LogSoftmax(-1), (4,), ("softmax", 0, 0, 4, 4, (1, 1), 1, 1)),
        (nn.Upsample(scale_factor=2), (4, 3, 3), ("resize", 0, 0, 36, 144, (1, 1), 1, 1)),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (4, 3, 3), ("resize", 0, 0, 36, 144, (1, 1), 1, 1)),
        (nn.PixelShuffle(2), (4, 3, 3), ("shuffle", 0, 0, 36, 36, (1, 1), 1, 1)),
        (nn.ZeroPad2d(1), (4, 3, 3), ("shuffle", 0, 0, 36, 100, (1, 1), 1, 1)),
        (nn.ReflectionPad2d(1), (4, 3, 3), ("shuffle", 0, 0, 36, 100, (1, 1), 1, 1)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_one_module_is_one_row(
    module: nn.Module, shape: tuple[int, ...], expected: tuple[Any, ...]
) -> None:
    (row,) = rows(from_module(nn.Sequential(module), torch.zeros(1, *shape)).layers)
    if expected[0] == "shuffle" and expected[4] > expected[3]:
        assert row[4] == expected[4]
    assert row == expected


@pytest.mark.parametrize(
    "module",
    [nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh(), nn.ELU(), nn.SELU(),
     nn.CELU(), nn.Mish(), nn.Softplus(), nn.LogSigmoid(), nn.Hardshrink(), nn.Softshrink(),
     nn.GELU("tanh")],
    ids=str,
)  # fmt: skip
def test_other_non_linearities_are_activations(module: nn.Module) -> None:
    assert rows(from_module(module, torch.zeros(1, 6)).layers) == [
        ("activation", 0, 0, 6, 6, (1, 1), 1, 1)
    ]


def test_views_dropout_and_shapes_are_free() -> None:
    def forward(self: Any, x: Any) -> Any:
        x = x.view(1, -1).unsqueeze(1).transpose(1, 2).flatten(1).expand(2, -1)[:, ::2]
        x = F.dropout(x, training=self.training).reshape(x.shape).chunk(2)[0]
        return torch.sigmoid(x), torch.zeros_like(x), x.new_ones(3)

    assert kinds(table(forward, torch.zeros(1, 4, 4))) == {"activation": 1}


def test_copies_are_shuffles() -> None:
    def forward(self: Any, x: Any) -> Any:
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)
        return torch.cat([x, x], 1)

    found = table(forward, torch.zeros(1, 4, 3, 3))
    assert [row[:5] for row in rows(found.layers)] == [
        ("shuffle", 0, 0, 36, 36),
        ("shuffle", 0, 0, 72, 72),
    ]


def test_squeeze_and_excite() -> None:
    def forward(self: Any, x: Any) -> Any:
        y = x.mean((2, 3))
        y = torch.sigmoid(self.up(F.relu(self.down(y))))
        return x * y[:, :, None, None]

    found = from_module(
        Call(forward, down=nn.Linear(8, 2), up=nn.Linear(2, 8)), torch.zeros(1, 8, 5, 5)
    )
    assert [(row.name, *rows([row])[0][:6]) for row in found.layers] == [
        ("mean", "pool", 0, 0, 200, 8, (5, 5)),
        ("down", "dense", 16, 18, 8, 2, (1, 1)),
        ("relu", "relu", 0, 0, 2, 2, (1, 1)),
        ("up", "dense", 16, 24, 2, 8, (1, 1)),
        ("sigmoid", "activation", 0, 0, 8, 8, (1, 1)),
        ("mul", "elementwise", 0, 0, 208, 200, (1, 1)),
    ]


# --- attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_layer(batch_first: bool, norm_first: bool) -> None:
    d, heads, hidden, n = 16, 4, 32, 10
    module = nn.TransformerEncoderLayer(
        d, heads, hidden, batch_first=batch_first, norm_first=norm_first
    )
    shape = (1, n, d) if batch_first else (n, 1, d)
    found = from_module(module, torch.zeros(shape), batch_dimension=0 if batch_first else 1)
    assert found.macs == n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d
    assert found.parameters == sum(p.numel() for p in module.parameters())
    counts = kinds(found)
    assert (counts["dense"], counts["matmul"], counts["softmax"]) == (4, 2, 1)
    assert (counts["normalisation"], counts["elementwise"], counts["relu"]) == (2, 2, 1)
    assert layer(found, "self_attn.attention.scores").macs == n * n * d
    assert layer(found, "self_attn.attention.scores").outputs == heads * n * n
    assert layer(found, "self_attn.in_proj").parameters == 3 * d * d + 3 * d
    assert layer(found, "self_attn.out_proj").parameters == d * d + d
    assert found.input == "10 x 16 float32"


def test_the_fast_path_of_the_transformer_is_as_it_was() -> None:
    module = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    )
    before = torch.backends.mha.get_fastpath_enabled()
    found = from_module(module, torch.zeros(1, 5, 8))
    assert kinds(found)["matmul"] == 4
    assert torch.backends.mha.get_fastpath_enabled() is before
    with pytest.raises(EdgesimError):
        from_module(module, torch.zeros(1, 5, 7))
    assert torch.backends.mha.get_fastpath_enabled() is before


def test_a_tensor_given_three_times_is_one() -> None:
    x = torch.zeros(1, 5, 8)
    found = from_module(nn.MultiheadAttention(8, 2, batch_first=True), (x, x, x))
    assert kinds(found)["dense"] == 2
    assert found.macs == 5 * 4 * 64 + 2 * 25 * 8


def test_an_encoder_and_decoder_counts_each_slice_of_a_weight_once() -> None:
    module = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    found = from_module(module, (torch.zeros(1, 5, 16), torch.zeros(1, 7, 16)))
    assert found.parameters == sum(p.numel() for p in module.parameters())
    assert layer(found, "decoder.layers.0.multihead_attn.in_proj").parameters == 16 * 16 + 16
    assert layer(found, "decoder.layers.0.multihead_attn.linear").parameters == 2 * (16 * 16 + 16)


def test_attention_written_out_costs_what_the_fused_one_does() -> None:
    def written(self: Any, x: Any) -> Any:
        q, k, v = self.qkv(x).view(1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v

    def fused(self: Any, x: Any) -> Any:
        q, k, v = self.qkv(x).view(1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mask = torch.ones(6, 6, dtype=torch.bool).tril()
        return F.scaled_dot_product_attention(q, k, value=v, attn_mask=mask)

    x, parts = torch.zeros(1, 6, 8), {"qkv": nn.Linear(8, 24)}
    slow, fast = (from_module(Call(f, **parts), x) for f in (written, fused))
    for kind in ("matmul", "softmax", "dense"):
        ours, theirs = ([r for r in rows(m.layers) if r[0] == kind] for m in (slow, fast))
        assert ours == theirs
    assert kinds(fast) == {"dense": 1, "matmul": 2, "softmax": 1}


def test_einsum_is_a_product() -> None:
    found = table(
        lambda self, a, b: torch.einsum("bij,bkj->bik", a, b),
        torch.zeros(2, 3, 4), torch.zeros(2, 5, 4),
    )  # fmt: skip
    assert [r[:5] for r in rows(found.layers)] == [("matmul", 2 * 3 * 4 * 5, 0, 24 + 40, 30)]
    weight = nn.Parameter(torch.zeros(4, 2, 3))
    found = from_module(
        Call(lambda self, x: torch.einsum("bnd,dhk->bnhk", x, self.w), w=weight),
        torch.zeros(1, 5, 4),
    )
    assert [(r[0], r[1], r[2]) for r in rows(found.layers)] == [("dense", 5 * 4 * 6, 24)]


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (lambda self, a, b: torch.addmm(a, a, b), [(3, 3), (3, 3)], 27),
        (lambda self, a, b: torch.baddbmm(a, a, b), [(2, 3, 3), (2, 3, 3)], 54),
        (lambda self, a, b: torch.addbmm(a[0], a, b), [(2, 3, 3), (2, 3, 3)], 54),
        (lambda self, a, b: a @ b, [(3, 4), (4,)], 12),
        (lambda self, a, b: a.dot(b), [(4,), (4,)], 4),
        (lambda self, a, b: torch.cdist(a, b), [(1, 30, 4), (1, 40, 4)], 4800),
    ],
)
def test_products_of_activations(function: Any, shapes: Any, macs: int) -> None:
    found = table(function, *(torch.zeros(shape) for shape in shapes))
    assert kinds(found)["matmul"] == 1
    assert found.macs == macs


# --- recurrent --------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_modules(cls: Any, gates: int, both: bool) -> None:
    n, f, h = 7, 5, 6
    module = cls(f, h, num_layers=2, bidirectional=both, batch_first=True)
    found = from_module(nn.Sequential(module), torch.zeros(1, n, f))
    width = h * (1 + both)
    expected = (1 + both) * n * gates * h * ((f + h) + (width + h))
    assert found.macs == expected
    assert found.parameters == sum(p.numel() for p in module.parameters())
    assert kinds(found) == {"recurrent": 2 * (1 + both)}
    assert found.state_counts.rc == 2 * (1 + both)
    names = ["0.l0", "0.l0_reverse", "0.l1", "0.l1_reverse"] if both else ["0.l0", "0.l1"]
    assert [row.name for row in found.layers] == names
    assert (found.layers[0].inputs, found.layers[0].outputs) == (n * f, n * h)


def test_an_lstm_with_a_projection() -> None:
    module = nn.LSTM(5, 6, proj_size=3, batch_first=True)
    found = from_module(
        Call(lambda self, x: self.lstm(input=x)[0], lstm=module), torch.zeros(1, 4, 5)
    )
    assert [(w.name, *rows([w])[0][:5]) for w in found.layers] == [
        ("lstm", "recurrent", 4 * (24 * (5 + 3) + 18), 24 * 8 + 18 + 48, 20, 12)
    ]


@pytest.mark.parametrize(("cls", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_a_cell_called_for_every_step_is_one_layer(cls: Any, gates: int) -> None:
    def forward(self: Any, x: Any) -> Any:
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return state

    found = from_module(Call(forward, cell=cls(5, 6)), torch.zeros(1, 4, 5))
    assert rows(found.layers) == [
        ("recurrent", 4 * gates * 6 * 11, gates * 6 * 13, 20, 24, (1, 1), 1, 1)
    ]


def test_a_packed_sequence() -> None:
    def forward(self: Any, x: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4]), batch_first=True)
        return self.lstm(packed)[0].data

    found = from_module(Call(forward, lstm=nn.LSTM(5, 6, batch_first=True)), torch.zeros(1, 4, 5))
    assert layer(found, "lstm").macs == 4 * 24 * 11


# --- weights ----------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.position = nn.Embedding(20, 8)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embed.weight
        self.unused = nn.Linear(100, 100)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens) + self.position(torch.arange(tokens.shape[1]))
        return self.head(self.body(self.body(x)))


def test_tied_weights_count_once_and_unused_ones_not_at_all() -> None:
    found = from_module(Tied(), torch.zeros(1, 6, dtype=torch.long))
    assert [(row.name, *rows([row])[0][:5]) for row in found.layers] == [
        ("embed", "embedding", 0, 400, 48, 48),
        ("position", "embedding", 0, 160, 48, 48),
        ("add", "elementwise", 0, 0, 96, 48),
        ("body", "dense", 6 * 64, 72, 48, 48),
        ("body.linear", "dense", 6 * 64, 0, 48, 48),
        ("head", "dense", 6 * 400, 0, 48, 300),
    ]
    assert found.input == "6 int64"
    assert (found.input_bytes, found.output_bytes) == (48, 1200)


def test_a_slice_of_a_weight_brings_the_whole_weight() -> None:
    def forward(self: Any, x: Any) -> Any:
        return (x + self.position[:, : x.shape[1]]) * self.scale

    parts = {"position": nn.Parameter(torch.zeros(1, 9, 4)), "scale": nn.Parameter(torch.zeros(4))}
    found = from_module(Call(forward, **parts), torch.zeros(1, 5, 4))
    assert [r[:5] for r in rows(found.layers)] == [
        ("elementwise", 0, 36, 20, 20),
        ("elementwise", 0, 4, 20, 20),
    ]


def test_what_only_weights_go_into_is_done_once_and_free() -> None:
    plain = nn.Linear(4, 6)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
    x = torch.zeros(1, 4)
    (a,) = from_module(nn.Sequential(plain), x).layers
    (b,) = from_module(nn.Sequential(normed), x).layers
    assert (a.name, a.macs, a.parameters) == ("0", 24, 30)
    assert (b.name, b.macs, b.parameters) == ("0", 24, 36)
    standard = Call(lambda self, x: F.linear(x, self.w - self.w.mean(1, True)), w=plain.weight)
    (c,) = from_module(standard, x).layers
    assert (c.name, c.kind, c.macs, c.parameters) == ("w", "dense", 24, 24)


def test_learned_queries_cost_their_projection() -> None:
    def forward(self: Any, x: Any) -> Any:
        return self.project(self.queries) @ x.transpose(1, 2)

    parts = {"queries": nn.Parameter(torch.zeros(1, 3, 4)), "project": nn.Linear(4, 4)}
    found = from_module(Call(forward, **parts), torch.zeros(1, 5, 4))
    assert found.parameters == 12 + 20
    assert [(r[0], r[1]) for r in rows(found.layers)] == [("dense", 48), ("matmul", 60)]


def test_writing_into_constant_memory_is_followed() -> None:
    def forward(self: Any, x: Any) -> Any:
        y = torch.zeros(1, 4)
        y[:, :2] = x
        return torch.sigmoid(y)

    assert kinds(table(forward, torch.ones(1, 2))) == {"shuffle": 1, "activation": 1}


def test_buffers_and_frozen_weights() -> None:
    frozen = nn.Linear(4, 4)
    frozen.requires_grad_(False)
    assert from_module(frozen, torch.zeros(1, 4)).parameters == 20
    found = from_module(Call(lambda self, x: x @ self.w, w=torch.zeros(4, 3)), torch.zeros(1, 4))
    assert [(r[0], r[1], r[2]) for r in rows(found.layers)] == [("dense", 12, 0)]


# --- read only, the same each time ------------------------------------------------------------


class Restless(nn.Module):
    """Changes itself, its input and torch's random numbers in its forward."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.calls = 0
        self.bn = nn.BatchNorm1d(4)
        self.linear = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))
        self.fails = fails
        self.cache: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.cache.append(x)
        self.seen += 1
        self.linear.weight.data.zero_()
        x.add_(1)
        self.linear.train()
        torch.rand(3)
        self.extra = nn.Linear(2, 2)
        if self.fails:
            raise RuntimeError("no luck today")
        return self.linear(self.bn(x)) if x.sum() > -1e9 else x


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_users_module_is_left_as_it_is(fails: bool, training: bool) -> None:
    module = Restless(fails)
    module.train(training)
    module.bn.eval()
    module.linear.register_forward_hook(lambda *args: None)
    x = torch.rand(1, 4)
    before = copy.deepcopy(module.state_dict())
    ids = {name: id(value) for name, value in module.named_parameters()}
    versions = [p._version for p in module.parameters()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()]
    x_before, state = x.clone(), torch.get_rng_state()
    if fails:
        with pytest.raises(EdgesimError, match="no luck today"):
            from_module(module, x)
    else:
        from_module(module, x)
    assert torch.equal(x, x_before)
    assert torch.equal(torch.get_rng_state(), state)
    assert (module.calls, module.cache) == (0, [])
    assert not hasattr(module, "extra")
    assert (module.training, module.bn.training, module.linear.training) == (
        training, False, training,
    )  # fmt: skip
    assert {name: id(value) for name, value in module.named_parameters()} == ids
    assert [p._version for p in module.parameters()] == versions
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()]
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert torch.is_grad_enabled()


def test_a_table_is_the_same_each_time() -> None:
    module = MobileNetV2()
    first = from_module(module, IMAGE)
    assert from_module(module, IMAGE) == first
    assert from_module(copy.deepcopy(module).train(), torch.rand_like(IMAGE)) == first
    with torch.inference_mode():
        assert from_module(module, IMAGE) == first


def test_with_and_without_values_the_table_is_the_same() -> None:
    body = ResNet18()
    plain = Call(lambda self, x: self.body(x), body=body)
    branching = Call(lambda self, x: self.body(x) if float(x[0, 0, 0, 0]) < 9 else x, body=body)
    x = torch.zeros(1, 3, 64, 64)
    assert from_module(branching, x).layers == from_module(plain, x).layers


def test_nothing_is_computed_where_nothing_needs_to_be() -> None:
    with torch.device("meta"):
        big = nn.Sequential(nn.Linear(200_000, 200_000), nn.Linear(200_000, 10))
    found = from_module(big, torch.zeros(1, 200_000))
    assert found.macs == 200_000 * 200_010
    branching = Call(lambda self, x: self.big(x) if x.sum() > 0 else x, big=big)
    with pytest.raises(EdgesimError, match="forward pass"):
        from_module(branching, torch.zeros(1, 200_000))


def test_a_strided_or_half_precision_input_is_taken() -> None:
    x = torch.zeros(1, 8, 8, 3).permute(0, 3, 1, 2)
    assert from_module(nn.Conv2d(3, 4, 3), x).macs == 36 * 4 * 27
    half = from_module(nn.Conv2d(3, 4, 3).half(), x.half())
    assert (half.macs, half.input_bytes) == (36 * 4 * 27, 384)


def test_a_compiled_module_is_the_one_within() -> None:
    module = nn.Sequential(nn.Linear(3, 2))
    wrapped = nn.Module()
    wrapped._orig_mod = module  # as torch.compile wraps it
    assert from_module(wrapped, torch.zeros(1, 3)) == from_module(module, torch.zeros(1, 3))


# --- the rest of the model --------------------------------------------------------------------


def test_what_is_given_stands_and_the_rest_is_found() -> None:
    accuracy = {"int8": Accuracy(0.5, "top-1", "mine")}
    counts = StateCounts(1, 2, 3, "mine")
    found = from_module(
        nn.Linear(3, 2), torch.zeros(1, 3), name="my_net", task="t", accuracy=accuracy,
        state_counts=counts, input_bytes=7, output_bytes=9, input_description="three",
        unsupported_on=["dsp"], source="me",
    )  # fmt: skip
    assert (found.name, found.task, found.input, found.source) == ("my_net", "t", "three", "me")
    assert (found.input_bytes, found.output_bytes) == (7, 9)
    assert (found.accuracy, found.state_counts) == (accuracy, counts)
    assert found.unsupported_on == {"dsp"}
    found = from_module(nn.Linear(3, 2), torch.zeros(1, 3))
    assert (found.name, found.input, found.accuracy) == ("linear", "3 float32", {})
    assert (found.input_bytes, found.output_bytes) == (12, 8)
    assert found.source.startswith("traced from torch.nn.modules.linear.Linear with torch ")


def test_several_arguments_by_place_and_by_name() -> None:
    def forward(self: Any, a: Any, b: Any) -> Any:
        return {"sum": a + b, "both": [a, (b,)]}

    a, b = torch.zeros(1, 3), torch.zeros(1, 3)
    found = from_module(Call(forward), (a, b))
    assert found.input == "3 float32, 3 float32"
    by_name = from_module(Call(forward), {"b": b, "a": a})
    assert by_name.input == "b: 3 float32, a: 3 float32"
    assert by_name.layers == found.layers
    assert by_name.output_bytes == 36


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    for module, example in (
        (ResNet18(), IMAGE),
        (Tied(), torch.zeros(1, 6, dtype=torch.long)),
        (nn.LSTM(3, 4, 2, bidirectional=True), torch.zeros(1, 2, 3)),
    ):
        found = from_module(module, example, name="mine")
        write_model(found, tmp_path / "mine.yaml", overwrite=True)
        assert read_model(tmp_path / "mine.yaml") == found


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("MyNet", "my_net"),
        ("LSTMTagger", "lstm_tagger"),
        ("ResNet18", "res_net18"),
        ("_Net", "net"),
    ],
)
def test_the_default_name_is_the_class_in_snake_case(class_name: str, name: str) -> None:
    cls = type(class_name, (nn.Linear,), {})
    assert from_module(cls(2, 2), torch.zeros(1, 2)).name == name


# --- errors -----------------------------------------------------------------------------------


def fails(match: str, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(EdgesimError, match=match) as caught:
        from_module(*args, **kwargs)
    assert type(caught.value) is EdgesimError
    assert "\n" not in str(caught.value)
    return str(caught.value)


ONE = torch.zeros(1, 3)


@pytest.mark.parametrize(
    ("match", "args", "kwargs"),
    [
        ("an instance of torch.nn.Module; found <class", (nn.Linear, ONE), {}),
        ("an instance of torch.nn.Module; found a function", (lambda x: x, ONE), {}),
        ("found None", (nn.Linear(3, 3), None), {}),
        ("found a str", (nn.Linear(3, 3), "x"), {}),
        (r"example_input\[1\] must be a tensor; found None", (nn.Linear(3, 3), (ONE, None)), {}),
        ("found a ndarray", (nn.Linear(3, 3), ONE.numpy()), {}),
        ("use torch.from_numpy", (nn.Linear(3, 3), [ONE.numpy()]), {}),
        ("example_input is empty", (nn.Linear(3, 3), ()), {}),
        ("keyword arguments have names; found 0", (nn.Linear(3, 3), {0: ONE}), {}),
        ("holds no values", (nn.Linear(3, 3), torch.zeros(0, 3)), {}),
        ("dense tensor; found torch.sparse", (nn.Linear(3, 3), ONE.to_sparse()), {}),
        ("dimension 0 of 8 x 3 is 8", (nn.Linear(3, 3), torch.zeros(8, 3)), {}),
        ("has no dimension 4", (nn.Linear(3, 3), ONE), {"batch_dimension": 4}),
        ("fails in the module itself", (nn.Linear(4, 3), ONE), {}),
        ("has no shape yet", (nn.Sequential(nn.LazyLinear(3)), ONE), {}),
        ("there are no layers", (nn.Flatten(), ONE), {}),
        ("found 'My Net'", (nn.Linear(3, 3), ONE), {"name": "My Net"}),
        ("found ''", (nn.Linear(3, 3), ONE), {"name": ""}),
        ("did you mean 'fp32'", (nn.Linear(3, 3), ONE), {"accuracy": {"fp23": None}}),
        ("did you mean 'pool'", (nn.Linear(3, 3), ONE), {"count_as": {"aten::x": "pol"}}),
        ("unexpected keyword argument", (nn.Linear(3, 3), {"y": ONE}), {}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(match: str, args: Any, kwargs: Any) -> None:
    fails(match, *args, **kwargs)


def test_a_failure_names_the_module_the_line_and_the_input() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x: Any) -> Any:
            return self.conv(x)  # the line

    text = fails("forward pass of Sequential", nn.Sequential(nn.ReLU(), Inner()), IMAGE)
    assert "in '1.conv' (Conv2d)" in text
    line = next(
        number
        for number, source in enumerate(Path(__file__).read_text().splitlines(), 1)
        if source.endswith("# the line")
    )
    assert f"test_trace.py line {line}" in text
    assert "expected input[1, 3, 224, 224] to have 4 channels" in text
    assert "1 x 3 x 224 x 224 float32" in text


def test_a_compiled_script_is_refused_by_its_path() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(nn.Linear(3, 3))
    fails("'1' of Sequential is TorchScript", nn.Sequential(nn.ReLU(), script), ONE)


def test_what_cannot_be_copied_is_told() -> None:
    module = nn.Linear(3, 3)
    module.lines = (line for line in "ab")
    fails("Linear cannot be copied", module, ONE)


def test_an_exception_within_that_the_user_catches_does_not_confuse_the_names() -> None:
    def forward(self: Any, x: Any) -> Any:
        try:
            x = self.bad(x)
        except RuntimeError:
            x = self.good(x)
        return F.relu(x)

    found = from_module(Call(forward, bad=nn.Linear(9, 9), good=nn.Linear(3, 3)), ONE)
    assert [row.name for row in found.layers] == ["good", "relu"]


def test_operations_without_a_known_cost_are_told_all_at_once() -> None:
    def forward(self: Any, x: Any) -> Any:
        return torch.linalg.inv(torch.fft.rfft(x).real[..., :2]), self.linear(x)

    module = Call(forward, linear=nn.Linear(3, 3))
    x = torch.eye(3)[None, :2]
    text = fails("is not known", module, x)
    assert "aten::_fft_r2c" in text
    assert "aten::linalg_inv_ex" in text
    assert "count_as={'aten::_fft_r2c': 'elementwise'}" in text
    found = from_module(
        module, x, count_as={"aten::_fft_r2c": "elementwise", "aten::linalg_inv_ex": "elementwise"}
    )
    assert found.macs == 18
    assert kinds(found)["elementwise"] >= 2


def test_an_operation_that_only_looks_cheap_is_counted_with_one_warning() -> None:
    def forward(self: Any, x: Any) -> Any:
        return torch.renorm(x, 2, 0, 1.0), self.linear(x)

    with pytest.warns(UserWarning, match="counted as elementwise.*aten::renorm") as caught:
        found = from_module(Call(forward, linear=nn.Linear(3, 3)), ONE)
    assert len(caught) == 1
    assert Path(caught[0].filename).name == "test_trace.py"
    assert kinds(found) == {"elementwise": 1, "dense": 1}


def test_a_custom_operation_is_not_guessed() -> None:
    @torch.library.custom_op("edgesim_test::double", mutates_args=())
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    module = Call(lambda self, x: double(self.linear(x)), linear=nn.Linear(3, 3))
    fails("edgesim_test::double", module, ONE)
    found = from_module(module, ONE, count_as={"edgesim_test::double": "elementwise"})
    assert [row.kind for row in found.layers] == ["dense", "elementwise"]


def test_a_module_that_returns_no_tensor() -> None:
    module = Call(lambda self, x: self.linear(x).shape, linear=nn.Linear(3, 3))
    fails("returns no tensor; say with output_bytes", module, ONE)
    assert from_module(module, ONE, output_bytes=4).output_bytes == 4


def test_torch_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, edgesim.nn.trace, edgesim.nn.table; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(3, 3)
    monkeypatch.setitem(sys.modules, "torch", None)
    fails("needs PyTorch.*pip install torch", module, ONE)


# --- the page ---------------------------------------------------------------------------------


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", page, re.DOTALL)
    assert {language for language, _ in blocks} == {"python", "yaml"}
    monkeypatch.chdir(tmp_path)
    for language, block in blocks:
        if language == "yaml":
            stem = re.search(r"^name: (\w+)", block, re.M)
            assert stem
            Path(f"{stem[1]}.yaml").write_text(block, encoding="utf-8")
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for language, block in blocks:
            if language == "python":
                exec(compile(block, "models.md", "exec"), names)


def test_the_mistakes_of_the_page_are_told_as_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    text = block.replace("kind: pool,", "kind: pooling,").replace("macs: 160,", "macs: -160,")
    (tmp_path / "tiny_net.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(EdgesimError) as caught:
        read_model(tmp_path / "tiny_net.yaml")
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    for said, line in zip(str(caught.value).splitlines(), shown.splitlines(), strict=True):
        assert said.removeprefix(f"{tmp_path}/").startswith(line.removesuffix("..."))


def test_an_error_is_a_sentence_and_nothing_is_logged_beside_it() -> None:
    code = (
        "import torch\nfrom edgesim.nn import from_module\n"
        "try:\n    from_module(torch.nn.Linear(3, 4), torch.zeros(1, 5))\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "EdgesimError"
    assert done.stderr == ""
