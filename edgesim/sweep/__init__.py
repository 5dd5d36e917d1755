"""Sweeps: one scenario under many controllers, keys and seeds, compared in pairs."""

from edgesim.sweep.run import ENGINES, SweepResult, load_sweep, sweep

__all__ = ["ENGINES", "SweepResult", "load_sweep", "sweep"]
