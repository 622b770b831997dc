"""How each number is taken. A probe is a context manager that yields a function to call a round.

Probes run inside a worker process that holds one participant only, so that no participant's
imports, threads or memory weigh on another.
"""
