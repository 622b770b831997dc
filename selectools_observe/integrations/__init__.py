"""Integrations that save the runs of frameworks. Each needs its own extra."""
