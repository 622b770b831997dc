"""What is measured and compared: one module a family, one picture each."""

from benchmarks.families import (
    ask,
    engines,
    footprint,
    jsonl,
    lists,
    load,
    loop,
    memory,
    save,
    scale,
)
from benchmarks.families.base import Family, Group, Metric, Probe, Row

FAMILIES: dict[str, Family] = {
    family.key: family
    for family in (
        save.FAMILY,
        load.FAMILY,
        lists.FAMILY,
        scale.FAMILY,
        ask.FAMILY,
        jsonl.FAMILY,
        memory.FAMILY,
        loop.FAMILY,
        footprint.FAMILY,
        engines.FAMILY,
    )
}

__all__ = ["FAMILIES", "Family", "Group", "Metric", "Probe", "Row"]
