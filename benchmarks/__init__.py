"""Benchmarks: this package and its peers, measured side by side in one run.

``python -m benchmarks`` runs every case in turn, several rounds, alternating between the
participants so that a slow minute of the machine falls on all of them. It prints a table, and
writes ``results.json``, ``results.md`` and one picture for each family.

The rooms, top to bottom (imports point downward only)::

    cli        arguments, and the order of things
    report     the table          plots     the pictures
    runner     rounds, workers, the time budget
    families/  what is compared with what, and the target
    probes/    how one number is taken          (run inside a worker process)
    peers/     each participant's own API       (run inside a worker process)
    data/      the traces                       settings  the sizes
"""
