"""Services for tests, in a thread of their own or as an operator starts them; and clients that behave badly."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from starlette.types import ASGIApp

from bot.api.server import Server, shares_of
from bot.settings import Settings


@contextmanager
def running(app: ASGIApp, send_buffer: int = 0) -> Iterator[int]:
    """Serve an app from a thread, as ``signpost serve`` does from a process; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if send_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server = Server(app, listening, shares_of(1))
        thread = threading.Thread(target=server.answer)
        thread.start()
        try:
            until(lambda: server.started)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def until(holds: Callable[[], bool], seconds: float = 30) -> float:
    """Wait until something holds; return how long it took, or fail."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


@dataclass(frozen=True, slots=True)
class Service:
    """A service in a process of its own; what it writes goes to a file."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def workers(self) -> list[int]:
        return children(self.process.pid)

    def processes(self) -> list[int]:
        """The first process and those that answer, if these are others."""
        return [self.process.pid, *self.workers()]

    def descriptors(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes())

    def threads(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self.processes())

    def resident(self) -> float:
        """Megabytes that its processes see, without the pages of files; what they share counts for each (RSS)."""
        found = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes()]
        return sum(int(status.partition("\nRssAnon:")[2].split()[0]) for status in found) / 1024

    def memory(self) -> float:
        """Megabytes that it holds itself; what its processes share counts once.

        Without the pages of files: the system drops and reads them again as it likes, 10 MB within a minute.
        """
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.processes()]
        return sum(int(rollup.partition("\nPss_Anon:")[2].split()[0]) for rollup in rollups) / 1024


def children(pid: int) -> list[int]:
    return sorted(int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split())


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@contextmanager
def serving(settings: Settings, home: Path, module: str = "bot", **chosen: str) -> Iterator[Service]:
    """Run ``signpost serve`` on a built index, from when it listens until the block ends.

    :param chosen: settings, as they stand in the environment after ``SIGNPOST_``.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNPOST_")}
    for name in ("corpus", "index", "encoder_folder"):
        environment[f"SIGNPOST_{name.upper()}"] = str(getattr(settings, name))
    environment |= {f"SIGNPOST_{name.upper()}": value for name, value in chosen.items()}
    repository = str(Path(__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [repository, os.environ.get("PYTHONPATH")]))
    log = home / f"{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", module, "serve", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=home)
    try:
        found: list[str] = []

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            found[:] = re.findall(r": http://127\.0\.0\.1:(\d+)/ ", log.read_text())
            return bool(found)

        until(listens, 120)
        service = Service(process, int(found[0]), log)
        until(lambda: answers(service.port), 120)
        yield service
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        return exchange(port, request("GET", "/health/ready")).status == 200
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Reply:
    """``headers`` have names in lower case; ``status`` is 0 if the connection ended before there was one."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0


def request(method: str, path: str, body: bytes = b"", *more: str, close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *more]
    if close:
        lines.append("Connection: close")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def connected(port: int, receive_buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(30)
    try:
        client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        raise
    return client


def reply_on(client: socket.socket) -> Reply:
    """Read one reply, and nothing after it that is not read yet."""
    response = HTTPResponse(client)
    response.begin()
    content = response.read()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def exchange(port: int, sent: bytes) -> Reply:
    with connected(port) as client:
        client.sendall(sent)
        return reply_on(client)


def everything(client: socket.socket) -> bytes:
    """Read to the end, however it ends."""
    received = b""
    try:
        while more := client.recv(1 << 16):
            received += more
    except ConnectionError:
        pass
    return received


def parsed(received: bytes, seconds: float = 0.0) -> Reply:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 "):
        return Reply(0, {}, received, seconds)
    pairs = (line.partition(": ") for line in lines[1:])
    return Reply(int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}, body, seconds)


async def asked(port: int, sent: bytes) -> Reply:
    """Send a request on a connection of its own and read to the end."""
    started = time.perf_counter()
    received = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            received = await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
    except (OSError, TimeoutError):
        pass
    return parsed(received, time.perf_counter() - started)
