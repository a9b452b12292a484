"""The memory that a process may use is the least of what the machine, its container and its starter leave it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot import memory
from bot.memory import memory_left, memory_limit

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where limits stand; the process has 1 GB of address space and 300 MB in use, of 2 GB that are free."""
    for name in ("proc/self", "cgroup/memory/one/two", "cgroup/one/two"):
        (tmp_path / name).mkdir(parents=True)
    pages = os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "proc/self/statm").write_text(f"{10**9 // pages} {3 * 10**8 // pages} 0 0 0 0 0\n")
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {2 * 10**9 // 1024} kB\n")
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    return tmp_path


def about(megabytes: float) -> object:
    return pytest.approx(megabytes * 1e6, rel=0.001)


def test_without_a_limit_it_is_the_machine_s(container: Path) -> None:
    assert memory_limit() == MACHINE
    assert memory_left() == about(2_000)


@pytest.mark.parametrize(
    ("groups", "limits", "limit"),
    [
        ("0::/one/two\n", {"one/two/memory.max": "500000000\n"}, 500),
        ("0::/one/two\n", {"one/two/memory.max": "max\n", "one/memory.max": "600000000\n"}, 600),
        ("0::/\n", {"memory.max": "700000000\n"}, 700),
        ("3:cpu:/\n2:memory:/one\n0::/\n", {"memory/one/memory.limit_in_bytes": "800000000\n"}, 800),
        ("2:cpu,memory:/gone\n", {"memory/memory.limit_in_bytes": "900000000\n"}, 900),
    ],
)
def test_a_container_s_limit_counts_whatever_its_version(
    container: Path, groups: str, limits: dict[str, str], limit: int
) -> None:
    (container / "proc/self/cgroup").write_text(groups)
    for name, said in limits.items():
        (container / "cgroup" / name).write_text(said)
    assert memory_limit() == limit * 10**6
    assert memory_left() == about(limit - 300)


def test_what_the_process_was_started_with_counts(container: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_200 * 10**6, -1))
    assert memory_limit() == 1_200 * 10**6
    assert memory_left() == about(200)
    monkeypatch.setattr("resource.getrlimit", lambda _: (800 * 10**6, -1))
    assert memory_left() == 0


def test_here_there_is_some() -> None:
    assert 0 < memory_left() <= memory_limit() <= MACHINE


#: Threads that each hold what they took while the others take more; prints how many arenas glibc made for them.
_ARENAS = """
import ctypes, sys, threading
from bot.memory import allocate_together
if sys.argv[1:]:
    allocate_together()
together = threading.Barrier(8)
def take():
    held = [bytes(4_000) for _ in range(50)]
    together.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="only glibc has arenas, and tells of them")
def test_threads_take_memory_from_one_place() -> None:
    def arenas(*chosen: str) -> int:
        command = [sys.executable, "-c", _ARENAS, *chosen]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr.count("Arena ")

    assert arenas() > 1
    assert arenas("together") == 1
