"""Named, independent random streams.

Every random number in edgesim comes from a stream that has a name, such as ``("rssi", "mi_8_pro",
0)`` for the first phone of that group. A stream's numbers depend on the seed and on its name alone: not on the order in
which streams are made, not on what else draws, not on ``PYTHONHASHSEED``. So one more phone, or
another controller, never moves anybody else's numbers.

There are two kinds. :meth:`Streams.generator` gives a :class:`numpy.random.Generator` for whoever
draws in sequence. :meth:`Streams.key` gives a key for :func:`uniforms` and its kin, which are
*counter-based*: the k-th number of a stream is a pure function of ``(key, k)``. One stream can be
asked alone, or a whole bank of streams in one numpy call, and both give the same bits. Signals and
arrivals use it.

Reference: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
(SplitMix64: the k-th output is a bijective mix of ``key + k * gamma``).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["Streams", "exponentials", "normals", "splitmix64", "uniforms"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

Keys = NDArray[np.uint64] | int


class Streams:
    """All random streams of one run.

    Args:
        seed: any integer.
    """

    __slots__ = ("seed",)

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)  # numpy's integers have another repr

    def key(self, *name: str | int) -> int:
        """The 64-bit key of the stream called ``name``, for :func:`uniforms` and its kin."""
        return int.from_bytes(self._digest(name, 8), "little")

    def keys(self, kind: str, names: Iterable[str | tuple[str | int, ...]]) -> NDArray[np.uint64]:
        """The keys of the streams called ``(kind, name)`` or ``(kind, *name)``, one per name."""
        parts = ((name,) if isinstance(name, str) else name for name in names)
        return np.array([self.key(kind, *name) for name in parts], np.uint64)

    def generator(self, *name: str | int) -> np.random.Generator:
        """A generator of its own for the stream called ``name``; each call starts it afresh."""
        entropy = int.from_bytes(self._digest(name, 16), "little")
        return np.random.Generator(np.random.PCG64(entropy))

    def _digest(self, name: tuple[str | int, ...], size: int) -> bytes:
        # The repr of the tuple keeps ("a", "b") apart from ("ab",) and (1,) from ("1",).
        parts = (part if isinstance(part, str) else int(part) for part in name)
        text = repr((self.seed, *parts))
        return blake2b(text.encode(), digest_size=size, person=b"edgesim").digest()


def splitmix64(keys: Keys, start: int, count: int) -> NDArray[np.uint64]:
    """Outputs ``start`` to ``start + count - 1`` of the generators seeded with ``keys``.

    Args:
        keys: one key, or an array of shape ``(...)``.
        start: the first output, counted from 0.
        count: how many.

    Returns:
        64-bit words, shape ``(..., count)``.
    """
    counters = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z = np.asarray(keys, np.uint64)[..., None] + counters * _GAMMA
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z


def uniforms(keys: Keys, start: int, count: int) -> NDArray[np.float64]:
    """Numbers ``start`` to ``start + count - 1`` of each stream, uniform in the open (0, 1).

    Arguments and shape are those of :func:`splitmix64`.
    """
    # 52 random bits and a half: neither 0 nor 1 can occur, so that logarithms are finite.
    return ((splitmix64(keys, start, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def exponentials(keys: Keys, start: int, count: int) -> NDArray[np.float64]:
    """Standard exponential variates, by inversion. Arguments and shape as :func:`splitmix64`."""
    return -np.log(uniforms(keys, start, count))


def normals(keys: Keys, start: int, count: int) -> NDArray[np.float64]:
    """Standard normal variates (Box and Muller 1958). Arguments and shape as :func:`splitmix64`.

    Numbers 2k and 2k + 1 of a stream are one pair of the method.
    """
    first = start & ~1
    pairs = (start + count - first + 1) // 2
    u = uniforms(keys, first, 2 * pairs)
    radius = np.sqrt(-2.0 * np.log(u[..., 0::2]))
    angle = 2.0 * np.pi * u[..., 1::2]
    out = np.empty(u.shape)
    out[..., 0::2] = radius * np.cos(angle)
    out[..., 1::2] = radius * np.sin(angle)
    return out[..., start - first : start - first + count]
