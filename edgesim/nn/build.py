"""Layer tables from layer dimensions: each call on a :class:`Net` adds the layer and gives its output.

>>> net = Net()
>>> x = net.conv(Shape(3, 224, 224), 64, kernel=7, stride=2)
>>> x, net.layers[0].macs
(Shape(channels=64, height=112, width=112), 118013952)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from edgesim.nn.model import Layer, LayerKind

__all__ = ["Net", "Shape"]

Activation = Literal["relu", "swish", "hard_swish", "none"]
Padding = int | Literal["same", "valid"]


class Shape(NamedTuple):
    """The dimensions of an activation, for a batch of one; a sequence has ``width`` 1."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def values(self) -> int:
        """How many values it holds."""
        return self.channels * self.height * self.width


class Net:
    """A model under construction.

    ``activation`` is ``relu`` for whatever a runtime fuses with the layer before it (ReLU, ReLU6,
    leaky), ``swish`` for what takes an exponential in a layer of its own (swish, sigmoid),
    ``hard_swish`` for its approximation by straight lines (hard-swish, hard sigmoid).

    Args:
        batchnorm: whether a convolution is followed by batch normalisation; it then has no bias.
    """

    def __init__(self, *, batchnorm: bool = True) -> None:
        self.layers: list[Layer] = []
        self._batchnorm = batchnorm

    def conv(
        self,
        x: Shape,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        padding: Padding | tuple[int, int] | None = None,
        activation: Activation = "relu",
        batchnorm: bool | None = None,
        bias: bool | None = None,
    ) -> Shape:
        """A convolution, with batch normalisation and activation as the model has them.

        Args:
            x: its input.
            channels: of its output.
            kernel: height and width of the window, or both at once.
            stride: step of the window.
            groups: groups of channels that do not mix.
            padding: rows added at each edge; ``same`` keeps ceil(size / stride), ``valid`` adds
                none; half the kernel if not given.
            activation: what follows.
            batchnorm: as for the whole model if not given.
            bias: one bias per channel; if not given, where there is no batch normalisation.
        """
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        if x.channels % groups or channels % groups:
            raise ValueError(f"{x.channels} -> {channels} channels do not divide into {groups}")
        if isinstance(padding, tuple):
            ph, pw = padding
            out = Shape(
                channels,
                _reach(x.height, kh, stride, ph),
                _reach(x.width, kw, stride, pw),
            )
        else:
            out = Shape(
                channels,
                _reach(x.height, kh, stride, padding),
                _reach(x.width, kw, stride, padding),
            )
        batchnorm = self._batchnorm if batchnorm is None else batchnorm
        bias = not batchnorm if bias is None else bias
        per_output = kh * kw * (x.channels // groups)
        kind: LayerKind = (
            "depthwise"
            if groups > 1 and groups == x.channels
            else "grouped"
            if groups > 1
            else "pointwise"
            if kh == kw == 1
            else "conv"
        )
        self._add(
            kind,
            macs=per_output * out.values,
            parameters=per_output * channels + (channels if bias else 0),
            inputs=x.values,
            outputs=out.values,
            kernel=(kh, kw),
            stride=stride,
            groups=groups,
        )
        if batchnorm:
            self._add("batchnorm", parameters=2 * channels, inputs=out.values, outputs=out.values)
        return self.activation(out, activation)

    def depthwise(
        self,
        x: Shape,
        kernel: int = 3,
        stride: int = 1,
        *,
        padding: Padding | None = None,
        activation: Activation = "relu",
        batchnorm: bool | None = None,
    ) -> Shape:
        """A convolution of every channel by itself."""
        return self.conv(
            x,
            x.channels,
            kernel,
            stride,
            groups=x.channels,
            padding=padding,
            activation=activation,
            batchnorm=batchnorm,
        )

    def separable(
        self, x: Shape, channels: int, kernel: int = 3, stride: int = 1, *, linear: bool = False
    ) -> Shape:
        """A depthwise convolution, then a pointwise one (without activation if ``linear``)."""
        x = self.depthwise(x, kernel, stride)
        return self.conv(x, channels, activation="none" if linear else "relu")

    def inverted_residual(
        self,
        x: Shape,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        hidden: int,
        squeeze: int | None = None,
        activation: Activation = "relu",
        squeeze_activation: Activation = "relu",
        gate: Activation = "swish",
        padding: Padding | None = None,
    ) -> Shape:
        """MobileNet v2's block (Sandler et al., CVPR 2018): expand, depthwise, project, add.

        Args:
            x: its input.
            channels: of its output.
            kernel: of the depthwise convolution.
            stride: of the depthwise convolution.
            hidden: channels within; no expansion where it equals the input's.
            squeeze: channels of the squeeze-and-excite bottleneck; none if not given.
            activation: after expansion and depthwise convolution.
            squeeze_activation: within the squeeze-and-excite bottleneck.
            gate: at its end: ``swish`` for a sigmoid, ``hard_swish`` for a hard one.
            padding: of the depthwise convolution, as for :meth:`conv`.
        """
        y = self.expand(x, hidden, activation=activation)
        y = self.depthwise(y, kernel, stride, padding=padding, activation=activation)
        if squeeze is not None:
            y = self.squeeze_excite(y, squeeze, activation=squeeze_activation, gate=gate)
        y = self.conv(y, channels, activation="none")
        return self.add(x, y) if stride == 1 and channels == x.channels else y

    def expand(self, x: Shape, hidden: int, *, activation: Activation = "relu") -> Shape:
        """The first step of an inverted residual; nothing where the channels are there already."""
        return x if hidden == x.channels else self.conv(x, hidden, activation=activation)

    def squeeze_excite(
        self,
        x: Shape,
        squeeze: int,
        *,
        bias: bool = True,
        activation: Activation = "relu",
        gate: Activation = "swish",
    ) -> Shape:
        """Hu et al., CVPR 2018: pool, two dense layers, a gate per channel."""
        y = self.global_pool(x)
        y = self.dense(y, squeeze, bias=bias, activation=activation)
        y = self.dense(y, x.channels, bias=bias)
        self.activation(y, gate)
        self._add("elementwise", inputs=x.values + x.channels, outputs=x.values)
        return x

    def dense(
        self,
        x: Shape,
        features: int,
        *,
        rows: int = 1,
        bias: bool = True,
        activation: Activation = "none",
    ) -> Shape:
        """A fully connected layer on all values of ``x``, or on each of ``rows`` equal parts."""
        features_in = x.values // rows
        out = Shape(features, rows)
        self._add(
            "dense",
            macs=features_in * features * rows,
            parameters=features_in * features + (features if bias else 0),
            inputs=x.values,
            outputs=out.values,
        )
        return self.activation(out, activation)

    def matmul(self, rows: int, inner: int, columns: int, *, count: int = 1) -> None:
        """``count`` products of two activations, ``rows`` x ``inner`` by ``inner`` x ``columns``."""
        self._add(
            "matmul",
            macs=count * rows * inner * columns,
            inputs=count * inner * (rows + columns),
            outputs=count * rows * columns,
        )

    def embedding(self, entries: int, features: int, rows: int) -> Shape:
        """One of ``entries`` vectors looked up for each of ``rows`` tokens."""
        out = Shape(features, rows)
        self._add("embedding", parameters=entries * features, inputs=out.values, outputs=out.values)
        return out

    def max_pool(
        self,
        x: Shape,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding | None = None,
        ceil: bool = False,
    ) -> Shape:
        """The largest, or by another name the mean, of every window.

        Args:
            x: its input.
            kernel: side of the window.
            stride: step of the window.
            padding: as for :meth:`conv`; none if not given and ``ceil``.
            ceil: whether a last window may reach beyond the edge, as in Caffe.
        """
        if ceil:
            if isinstance(padding, str):
                raise ValueError(f"a window rounded up cannot have padding {padding!r}")
            edge = 2 * (padding or 0)
            out = Shape(
                x.channels,
                -(-(x.height + edge - kernel) // stride) + 1,
                -(-(x.width + edge - kernel) // stride) + 1,
            )
        else:
            out = Shape(
                x.channels,
                _reach(x.height, kernel, stride, padding),
                _reach(x.width, kernel, stride, padding),
            )
        self._add(
            "pool",
            inputs=x.values,
            outputs=out.values,
            kernel=(kernel, kernel),
            stride=stride,
        )
        return out

    def global_pool(self, x: Shape) -> Shape:
        """The mean of every channel."""
        out = Shape(x.channels)
        self._add("pool", inputs=x.values, outputs=out.values, kernel=(x.height, x.width))
        return out

    def add(self, x: Shape, y: Shape, *, activation: Activation = "none") -> Shape:
        """The sum of two activations of the same shape."""
        if x != y:
            raise ValueError(f"cannot add {x} and {y}")
        self._add("elementwise", inputs=2 * x.values, outputs=x.values)
        return self.activation(x, activation)

    def concat(self, *parts: Shape) -> Shape:
        """Their channels side by side."""
        if len({(part.height, part.width) for part in parts}) != 1:
            raise ValueError(f"cannot concatenate {parts}")
        out = Shape(sum(part.channels for part in parts), parts[0].height, parts[0].width)
        return self.shuffle(out)

    def shuffle(self, x: Shape) -> Shape:
        """Values moved about in memory: a split, a permutation, a copy."""
        self._add("shuffle", inputs=x.values, outputs=x.values)
        return x

    def normalise(self, x: Shape, *, parameters: int = 0, window: int = 1) -> Shape:
        """A normalisation that cannot be folded: of a layer, or local response over a window."""
        self._add(
            "normalisation",
            parameters=parameters,
            inputs=x.values,
            outputs=x.values,
            kernel=(window, 1),
        )
        return x

    def elementwise(self, x: Shape, *, parameters: int = 0) -> Shape:
        """A value by value operation with one activation: scale, shift."""
        self._add("elementwise", parameters=parameters, inputs=x.values, outputs=x.values)
        return x

    def softmax(self, x: Shape) -> Shape:
        """Exponentials over their sum."""
        self._add("softmax", inputs=x.values, outputs=x.values)
        return x

    def activation(self, x: Shape, activation: Activation) -> Shape:
        """A non-linearity by itself."""
        if activation == "relu":
            self._add("relu", inputs=x.values, outputs=x.values)
        elif activation == "swish":
            self._add("activation", inputs=x.values, outputs=x.values)
        elif activation == "hard_swish":
            self._add("elementwise", inputs=x.values, outputs=x.values)
        return x

    def _add(
        self,
        kind: LayerKind,
        *,
        macs: int = 0,
        parameters: int = 0,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        self.layers.append(
            Layer(
                f"{kind}_{len(self.layers)}",
                kind,
                macs,
                parameters,
                inputs,
                outputs,
                kernel,
                stride,
                groups,
            )
        )


def _reach(size: int, kernel: int, stride: int, padding: Padding | None) -> int:
    """How many steps a window takes along one side."""
    if padding == "same":
        return -(-size // stride)
    edge = 0 if padding == "valid" else kernel // 2 if padding is None else padding
    return (size + 2 * int(edge) - kernel) // stride + 1
