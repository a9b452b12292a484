"""Servers: started, asked, watched and always stopped. What is read of a process comes from ``/proc`` (Linux)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

_JSON = {"Content-Type": "application/json"}

#: Seconds that a server may take to answer its first question.
_PATIENCE = 180


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a request; ``body`` is empty for a GET."""

    path: str
    body: str = ""

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``seconds`` from its start to its first answer."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    def ask(self, asked: Asked) -> Any:  # noqa: ANN401
        """Return the reply's JSON; raise ``HTTPException`` if its status is not 200."""
        return _ask(self.port, asked)

    def memory(self) -> float:
        """Return megabytes resident; what several processes share counts once."""
        tree = _tree(self.process.pid)
        field = "Rss:" if len(tree) == 1 else "Pss:"
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in tree)
        return sum(int(line.split()[1]) for lines in rollups for line in lines if line.startswith(field)) * 1.024e-3

    def busy(self) -> float:
        """Return the seconds of processor time spent so far."""
        spent = 0
        for pid in _tree(self.process.pid):
            spent += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return spent / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> list[int]:
    children = [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    return [pid, *(one for child in children for one in _tree(child))]


def _ask(port: int, asked: Asked) -> Any:  # noqa: ANN401
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(asked.method, asked.path, asked.body or None, _JSON if asked.body else {})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise HTTPException(f"{response.status} {content[:200]!r}")
    return json.loads(content)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], port: int, environment: dict[str, str], first: Asked, log: Path
) -> Iterator[Server]:
    """Run a server from its first answer on until the block ends, however it ends."""
    with open(log, "wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            while True:
                try:
                    _ask(port, first)
                    break
                except (OSError, HTTPException):
                    if process.poll() is not None or time.perf_counter() - started > _PATIENCE:
                        raise RuntimeError(f"{' '.join(command)} does not answer; see {log}") from None
                    time.sleep(0.005)
            yield Server(process, port, time.perf_counter() - started)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and all that it started."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def settle(servers: Sequence[Server]) -> None:
    """Wait until no server works any more, say on what was asked when a load ended."""
    for _ in range(600):
        before = [server.busy() for server in servers]
        time.sleep(0.2)
        if all(server.busy() - spent < 0.02 for server, spent in zip(servers, before, strict=True)):
            return
    raise RuntimeError("a server works though nothing is asked of it")
