"""Sweeps: one scenario under many controllers, keys and seeds, compared in pairs."""
