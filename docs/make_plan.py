"""The plan to 10**12 steps of docs/scaling.md: arithmetic over what was measured.

``python docs/make_plan.py`` prints its table; a test holds the page to it. Change a figure
here when it is measured again.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400
YEAR = 365 * DAY


@dataclass(frozen=True)
class Measured:
    """What was measured of one run of ten steps, and where.

    Attributes:
        row_bytes: A row of ``traces`` on the disk: 387 runs of 5,055 bytes of JSON, each another.
        key_bytes: A row of ``keys`` on the disk: of 10,000,000.
        sent_bytes: A row on its way, compressed: of 10,000.
        server_us: Processor time of the server for a row of an insert of 10,000, with fsync.
        client_us: Processor time of the program that saves, at a load of 16; 107 at a load of 9.
        cells: Cells that statistics keep of 1,000 runs: of 1,000,000.
        cell_bytes: A cell on the disk.
        added_up_us: The first time that statistics by model add up a run, two busy cores.
        looked_at_us: Finding out whether a run is new, two busy cores.
    """

    row_bytes: int = 950
    key_bytes: int = 22
    sent_bytes: int = 826
    server_us: int = 45
    client_us: int = 175
    cells: int = 102
    cell_bytes: int = 26
    added_up_us: float = 6.0
    looked_at_us: float = 0.08


@dataclass(frozen=True)
class Assumed:
    """What nobody measured here: put in your own.

    Attributes:
        steps: How many there are to be.
        steps_a_run: How many a run has.
        years: In how many they come.
        replicas: How many servers have each row.
        disk_tb: The disk of a server, terabytes.
        full: How much of it may be full: merges need room.
        cores: The cores of a server.
        usd_tb_month: What a terabyte of disk costs a month.
        usd_core_month: What a core with its memory costs a month.
    """

    steps: int = 10**12
    steps_a_run: int = 10
    years: int = 1
    replicas: int = 2
    disk_tb: int = 8
    full: float = 0.7
    cores: int = 16
    usd_tb_month: int = 80
    usd_core_month: int = 25


def table(measured: Measured = Measured(), assumed: Assumed = Assumed()) -> str:
    """The plan, in Markdown."""
    lines = ["| what | how much | computed from |", "|---|---|---|"]
    lines += [f"| {what} | {how_much} | {of} |" for what, how_much, of in _plan(measured, assumed)]
    return "\n".join(lines) + "\n"


def _plan(of: Measured, by: Assumed) -> list[tuple[str, str, str]]:
    runs = by.steps / by.steps_a_run
    row_bytes = of.row_bytes + of.key_bytes
    disk = runs * row_bytes
    shards = -(-disk // (by.disk_tb * 1e12 * by.full))
    rate = runs / (by.years * YEAR)
    memory = runs * (16 / 1024 + 16 / 256)
    kept = runs / 1000 * of.cells
    a_shard = runs / shards
    servers = shards * by.replicas
    machine = by.disk_tb * by.usd_tb_month + by.cores * by.usd_core_month
    return [
        ("runs", f"{runs:.0e}", f"{by.steps:.0e} steps, {by.steps_a_run} a run"),
        (
            "disk, one copy",
            _tb(disk),
            f"{of.row_bytes} bytes a row (0.19 of its JSON), {of.key_bytes} to find it",
        ),
        (
            "shards",
            f"{shards:.0f}",
            f"{by.disk_tb} TB each, {by.full:.0%} of it full",
        ),
        ("servers", f"{servers:.0f}", f"{by.replicas} replicas"),
        (
            "memory for primary keys, a server",
            f"{memory / shards / 1e9:.1f} GB",
            "16 bytes for 1,024 rows of `traces` and for 256 of `keys`",
        ),
        (
            "runs a second",
            f"{rate:,.0f}",
            f"all within {by.years} year{'s' * (by.years > 1)}",
        ),
        (
            "cores that take them in",
            f"{rate * of.server_us * by.replicas / 1e6:.1f}",
            f"{of.server_us} µs a row, {by.replicas} replicas; merges come on top",
        ),
        (
            "cores of the programs that save",
            f"{rate * of.client_us / 1e6:.1f}",
            f"{of.client_us} µs a run",
        ),
        ("network", f"{rate * of.sent_bytes / 1e6:.1f} MB/s", f"{of.sent_bytes} bytes a run"),
        (
            "all of it again, from a backup or a copy",
            f"{runs * of.server_us / 1e6 / (shards * by.cores) / DAY:.1f} days",
            f"{by.cores} cores a shard, all of them busy with it",
        ),
        (
            "what statistics keep, a server",
            f"{kept / shards * of.cell_bytes / 1e9:.1f} GB",
            f"{of.cells} cells of {of.cell_bytes} bytes for 1,000 runs",
        ),
        (
            "adding all of it up, once",
            f"{a_shard * of.added_up_us / 1e6 * 2 / by.cores / 3600:.1f} hours",
            f"{of.added_up_us:.0f} µs a run on two cores, {by.cores} a server",
        ),
        (
            "statistics of all of it, again",
            f"{a_shard * of.looked_at_us / 1e6 * 2 / by.cores:.0f} s",
            f"{of.looked_at_us} µs a run on two cores, {by.cores} a server",
        ),
        (
            "cost",
            f"{servers * machine:,.0f} USD a month",
            f"assumed, put in yours: {by.usd_tb_month} USD a TB, {by.usd_core_month} USD a core",
        ),
        (
            "with half a year kept",
            f"{servers * machine / 2:,.0f} USD a month",
            "`retention_days=182`: half the disk, half the servers",
        ),
    ]


def _tb(size: float) -> str:
    return f"{size / 1e12:,.0f} TB"


if __name__ == "__main__":
    print(table(), end="")
