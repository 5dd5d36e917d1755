"""What a client does with its samples, as plain data: no torch is needed to know what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

__all__ = ["DRAWS", "Jitter", "LocalProgram", "effective_steps"]

DRAWS = ("picture", "batch", "client")
"""What :class:`Jitter` draws its numbers for: each picture once a round, each batch as it comes, or all
pictures of a client once a round."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """Random white balance, then random gamma, of colour pictures in [0, 1].

    Red, green and blue are multiplied by numbers in [1 - d, 1 + d] and kept in [0, 1]; then every value
    ``x`` becomes ``x ** g`` with g in [1 - d, 1 + d]; all uniform, each with its own d.

    Source: Kim et al., "HeteroSwitch", MLSys 2024, section 5.1, eq. 1 and 2.

    Attributes:
        white_balance: its d, in [0, 0.99].
        gamma: its d, in [0, 0.99].
        per: one of :data:`DRAWS`.

    Raises:
        ValueError: for degrees out of range, or draws that do not exist.
    """

    white_balance: float = 0.0
    gamma: float = 0.0
    per: str = "picture"

    def __post_init__(self) -> None:
        for name in ("white_balance", "gamma"):
            if not 0 <= getattr(self, name) <= 0.99:
                raise ValueError(f"{name} must be in [0, 0.99]; found {getattr(self, name)}")
        if self.per not in DRAWS:
            raise ValueError(f"per must be one of {', '.join(DRAWS)}; found {self.per!r}")


@dataclass(frozen=True, slots=True)
class LocalProgram:
    """What a client does with its samples: stochastic gradient descent, and what is added to it.

    Attributes:
        learning_rate: above 0.
        batch_size: samples of a step; the last batch of an epoch has what is left.
        epochs: passes over the client's samples.
        momentum: of SGD, in [0, 1).
        weight_decay: times the weights is added to each gradient.
        proximal: FedProx's mu (Li et al., MLSys 2020, eq. 2): mu times the distance from where the client
            began is added to each gradient.
        clip_norm: gradients longer than this are cut to this length; ``None``: never.
        steps: it ends after so many, if the epochs have not ended before; ``None``: never.
        jitter: its pictures are changed first; ``None``: they are not.
        averages: it gives back the mean of its weights after each step (dense averaging) in place of the
            last ones.
        averages_start: the weights it began with are part of that mean, too.
        jitters_below: it jitters and averages only if the mean loss of the received weights over all of
            its samples, as they are, is below this (HeteroSwitch's Switch 1); ``None``: in any case.
        averages_below: having averaged, it gives the mean back only if the mean loss of its steps is
            below this (Switch 2); ``None``: in any case.
        tells_initial_loss: it reports that first loss even if it does not go by it.

    Raises:
        ValueError: for values that make no sense.
    """

    learning_rate: float
    batch_size: int
    epochs: int = 1
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal: float = 0.0
    clip_norm: float | None = None
    steps: int | None = None
    jitter: Jitter | None = None
    averages: bool = False
    averages_start: bool = False
    jitters_below: float | None = None
    averages_below: float | None = None
    tells_initial_loss: bool = False

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; found {self.learning_rate}")
        if min(self.batch_size, self.epochs) < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("batch_size, epochs and steps must be at least 1")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); found {self.momentum}")
        if min(self.weight_decay, self.proximal) < 0:
            raise ValueError("weight_decay and proximal must be at least 0")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0; found {self.clip_norm}")

    @property
    def needs_initial_loss(self) -> bool:
        """Whether the received weights are judged on all samples first: a forward pass over them."""
        return self.tells_initial_loss or self.jitters_below is not None

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but steps."""
        return self.jitter is None and not self.averages

    def switched(self, initial_loss: float) -> LocalProgram:
        """What it comes to at a client where the received weights have this loss.

        Still to be paid is the pass that found it.
        """
        if self.jitters_below is None:
            return self
        is_on = initial_loss < self.jitters_below
        return replace(
            self,
            jitter=self.jitter if is_on else None,
            averages=self.averages and is_on,
            jitters_below=None,
            tells_initial_loss=True,
        )

    def steps_for(self, samples: int) -> int:
        """How many steps a client with so many samples does."""
        every = self.epochs * ceil(samples / self.batch_size)
        return every if self.steps is None else min(every, self.steps)


def effective_steps(program: LocalProgram, steps: int) -> float:
    """FedNova's ||a||_1: how often the first gradient's weight is in the update, summed over steps.

    For plain SGD the number of steps; with momentum rho ``(steps - rho (1 - rho^steps) / (1 - rho)) /
    (1 - rho)``; with a proximal term each earlier gradient decays by ``1 - learning_rate * proximal``
    (Wang et al., NeurIPS 2020, section 3 and table 1). Both together: by the recursion of the updates.
    """
    decay = 1 - program.learning_rate * program.proximal
    total = 0.0  # what a constant gradient of 1 makes of the weights, in learning rates
    speed = 0.0
    for _ in range(steps):
        grad = 1.0 - (1 - decay) * total
        speed = program.momentum * speed + grad
        total += speed
    return total
