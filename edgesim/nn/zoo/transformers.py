"""Layers of MobileBERT."""

from __future__ import annotations

from edgesim.nn.build import Net, Shape
from edgesim.nn.model import Layer

__all__ = ["mobilebert_layers"]


def mobilebert_layers(tokens: int = 128) -> list[Layer]:
    """Sun et al., ACL 2020 (arXiv 2004.02984), table 1, with a head for question answering.

    Dimensions of google-research's uncased_L-24_H-128_B-512_A-4_F-4_OPT: NoNorm (a scale and a
    shift per channel) in place of layer normalisation, ReLU in place of GELU.

    Args:
        tokens: length of the sequence.
    """
    inner, outer, heads = 128, 512, 4
    net = Net(batchnorm=False)

    def dense(x: Shape, features: int, *, relu: bool = False) -> Shape:
        return net.dense(x, features, rows=tokens, activation="relu" if relu else "none")

    def no_norm(x: Shape) -> Shape:
        return net.elementwise(x, parameters=2 * x.channels)

    words = net.embedding(30522, inner, tokens)
    x = dense(net.concat(words, words, words)._replace(height=tokens), outer)  # of three words
    x = net.add(x, net.embedding(512, outer, tokens))  # their positions
    x = no_norm(net.add(x, net.embedding(2, outer, tokens)))  # which of two texts
    for _ in range(24):
        y = no_norm(dense(x, inner))
        shared = no_norm(dense(x, inner))
        dense(shared, inner)  # queries
        dense(shared, inner)  # keys
        dense(x, inner)  # values, from the wide input
        net.matmul(tokens, inner // heads, tokens, count=heads)
        net.softmax(net.elementwise(Shape(heads, tokens, tokens)))  # scaled and masked
        net.matmul(tokens, tokens, inner // heads, count=heads)
        y = no_norm(net.add(y, dense(Shape(inner, tokens), inner)))
        for _ in range(4):
            y = no_norm(net.add(y, dense(dense(y, outer, relu=True), inner)))
        x = no_norm(net.add(x, dense(y, outer)))
    dense(x, 2)  # start and end of the answer
    return net.layers
