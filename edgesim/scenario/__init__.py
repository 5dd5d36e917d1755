"""Scenarios: YAML files that describe a world, checked, built and run."""
