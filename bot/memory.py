"""How much memory this process may use: the machine's, its container's, or what it was started with; and how it is kept
from needing ever more."""

from __future__ import annotations

import ctypes
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

#: ``M_ARENA_MAX`` of glibc's ``mallopt``.
_ARENA_MAX = -8

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def memory_limit() -> int:
    """Return the most memory, in bytes, that this process may ever use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(machine, _container(), _started_with()))


def memory_left() -> int:
    """Return how much of it, in bytes, is left at present."""
    virtual, resident = (int(pages) * resource.getpagesize() for pages in _read(_PROC / "self/statm").split()[:2])
    machine = int(_read(_PROC / "meminfo").partition("MemAvailable:")[2].split()[0]) * 1024
    return int(max(0, min(machine, _container() - resident, _started_with() - virtual)))


def allocate_together() -> None:
    """Have all threads of this process take memory from one place; call it before there are others.

    glibc gives each thread an arena of its own, up to eight for each core, and each keeps what it once needed, so that
    a service grows for as long as it runs (B14 of ``tests/battery`` measures it). Other C libraries have none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def _started_with() -> float:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def _container() -> float:
    """The least of all limits on the control groups that this process is in, of either version."""
    return min((int(said) for path in _limits() if (said := _read(path).strip()).isdecimal()), default=math.inf)


def _limits() -> Iterator[Path]:
    for line in _read(_PROC / "self/cgroup").splitlines():
        _, kinds, place = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (_CGROUPS / "memory", "memory.limit_in_bytes") if kinds else (_CGROUPS, "memory.max")
        group = root / place.strip("/")
        while group.is_relative_to(root):
            yield group / name
            group = group.parent


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
