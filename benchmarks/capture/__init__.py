"""What capture costs the agent's own task: ``python -m benchmarks.capture``.

Prints medians, in microseconds; 10-step runs of about 6 KB, as the other benchmarks have them.
"""
