"""What a client does with its samples, as plain data: no torch is needed to know what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

__all__ = ["LocalProgram", "effective_steps"]


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
