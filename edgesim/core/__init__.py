"""The kernel: clock, random streams, signals, shared capacity, power, recorder, errors, units."""
