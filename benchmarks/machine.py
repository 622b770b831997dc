"""What the numbers were taken on: no names, no paths."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

_FSYNCS = 30


def describe(folder: Path) -> dict[str, Any]:
    """Processor, cores, memory, system, and what one fsync costs where the stores were."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "filesystem": _filesystem(folder),
        "fsync_ms": round(_fsync_ms(folder), 2),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _memory_gib() -> int | None:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return round(pages / 1024**3)


def _filesystem(folder: Path) -> str:
    """The type of the file system that held the stores; on tmpfs no durability is measured."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    fields = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    above = [(len(at), kind) for _, at, kind, *_ in fields if folder.is_relative_to(at)]
    return max(above)[1]


def _fsync_ms(folder: Path) -> float:
    path, spent = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FSYNCS):
            file.write(b"x" * 4096)
            started = time.perf_counter()
            os.fsync(file.fileno())
            spent.append(1000 * (time.perf_counter() - started))
    path.unlink()
    return statistics.median(spent)
