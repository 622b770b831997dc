"""Runs of the frameworks people use, saved by themselves. Each module needs its own extra."""
