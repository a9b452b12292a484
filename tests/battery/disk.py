"""Builds in processes of their own, on a disk that stops, refuses or forgets at one of its operations.

What a power loss leaves is not known: a file's bytes are sure once they were synchronised, and its name once its folder
was. A disk that stops therefore leaves three folders: ``index`` as it stands, as after ``kill -9``; ``lost``, without
all that was not synchronised; and ``mixed``, where chance chooses between the two for each name and each file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from bot import publish as publishing
from bot import snapshot
from bot.engine import Bot
from bot.errors import IndexLocked, SnapshotError
from bot.lexical import build_lexical
from bot.publish import publish
from bot.snapshot import Snapshot, current_id, open_snapshot
from bot.types import Block, Document, Embeddings, Encoder, Progress, Source
from tests.conftest import WordEncoder
from tests.test_snapshot import forge

AIM = 40

#: Children are forked from a process that has loaded everything and has no other threads.
CHILDREN = get_context("forkserver")
CHILDREN.set_forkserver_preload([__name__, "pytest", "tests.conftest", "bot.engine"])


def in_child(work: Callable[..., None], *arguments: object, seconds: float = 60) -> Any:  # noqa: ANN401
    """Run ``work(*arguments, told)`` in a process of its own; return what it tells first, ``None`` if it was killed."""
    heard, told = CHILDREN.Pipe(duplex=False)
    process = CHILDREN.Process(target=work, args=(*arguments, told))
    process.start()
    told.close()
    try:
        assert heard.poll(seconds), f"no word from {work.__name__} in {seconds} s"
        return heard.recv()
    except EOFError:
        return None
    finally:
        process.join(5)
        process.kill()
        process.join()
        heard.close()


class _File(io.FileIO):
    """A file whose writes are operations of a disk."""

    disk: Disk

    def write(self, data: Any) -> Any:  # noqa: ANN401
        return self.disk.operation("write", Path(str(self.name)), partial(super().write, data), data)


class Disk:
    """Counts the operations below a folder, and at the one with the number ``at`` does as it was told.

    :param how: what it does: ``crash``; raise the name of an errno, a write after half of the bytes; or ``short``,
        where a write writes half and says so.
    """

    def __init__(self, index: Path, at: int, how: str, dice: random.Random) -> None:
        self.index, self.at, self.how, self.dice = index, at, how, dice
        self.done: list[tuple[str, str]] = []
        self.sure_bytes: dict[int, bytes] = {}
        self.sure_names: dict[int, dict[str, int]] = {}
        for folder in (index, *(path for path in index.rglob("*") if path.is_dir())):
            self.sure_names[folder.stat().st_ino] = _names(folder)
        for path in index.rglob("*"):
            if path.is_file():
                self.sure_bytes[path.stat().st_ino] = path.read_bytes()

    def intercept(self) -> None:
        """Put this disk below what ``bot.publish`` calls; only ever in a process of its own."""
        for name in ("open", "rename", "replace", "mkdir", "unlink", "rmdir"):
            setattr(os, name, partial(self._of_path, name, getattr(os, name)))
        os.fsync = partial(self._fsync, os.fsync)
        vars(publishing)["open"] = self._open
        vars(publishing)["build_lexical"] = lambda *all: self.operation("tantivy", all[1], partial(build_lexical, *all))

    def operation(self, what: str, path: Path, do: Callable[[], Any], data: Any = None) -> Any:  # noqa: ANN401
        self.done.append((what, path.name))
        if len(self.done) != self.at:
            return do()
        if self.how == "short":
            return do() if data is None else do.func(data[: len(data) // 2])  # type: ignore[attr-defined]
        if data is not None:
            do.func(data[: len(data) // 2])  # type: ignore[attr-defined]
        if self.how == "crash":
            self._lose(self.index.parent / "lost", 0)
            self._lose(self.index.parent / "mixed", 0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how)
        if what in ("write", "fsync"):
            raise OSError(code, os.strerror(code))  # the system does not say of which file
        raise OSError(code, os.strerror(code), str(path))

    def _open(self, path: Path, mode: str) -> io.BufferedIOBase:
        file: _File = self.operation("create" if "x" in mode else "open", path, partial(_File, path, mode.strip("b")))
        file.disk = self
        return io.BufferedWriter(file) if "x" in mode else io.BufferedReader(file)

    def _of_path(self, name: str, real: Callable[..., Any], path: str | Path, *more: Any, **named: Any) -> Any:  # noqa: ANN401
        if name in ("unlink", "rmdir"):
            with suppress(OSError):
                _OPEN(path, os.O_RDONLY, dir_fd=named.get("dir_fd"))  # left open, so that no inode is used again
        return self.operation(name, Path(path), partial(real, path, *more, **named))

    def _fsync(self, real: Callable[[int], None], descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}")
        self.operation("fsync", place.readlink(), partial(real, descriptor))
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            self.sure_names[found.st_ino] = _names(place)
        else:
            self.sure_bytes[found.st_ino] = place.read_bytes()

    def _lose(self, target: Path, kept: float) -> None:
        """Write what may be left of the folder, where each name and file is kept as it is with some probability."""
        names, content = dict[int, dict[str, int]](), dict[int, bytes]()
        for path in (self.index, *self.index.rglob("*")):
            if path.is_dir():
                names[path.stat().st_ino] = _names(path)
            else:
                content[path.stat().st_ino] = path.read_bytes()

        def restore(inode: int, place: Path) -> None:
            if inode not in names and inode not in self.sure_names:
                now, sure = content.get(inode, b""), self.sure_bytes.get(inode, b"")
                with open(place, "xb") as file:
                    file.write(now if inode in content and self.dice.random() < kept else sure)
                return
            _MKDIR(place)
            now_in, sure_in = names.get(inode, {}), self.sure_names.get(inode, {})
            for name in sorted({*now_in, *sure_in}):
                chosen = (now_in if self.dice.random() < kept else sure_in).get(name)
                if chosen is not None:
                    restore(chosen, place / name)

        restore(self.index.stat().st_ino, target)


_OPEN, _MKDIR = os.open, os.mkdir


def _names(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


def build_on(index: Path, documents: Sequence[Document], at: int, how: str, seed: int, told: Connection) -> None:
    """Publish on such a disk; tell what it did, and the message of what went wrong or else nothing."""
    disk = Disk(index, at, how, random.Random(seed))
    disk.intercept()
    message = ""
    try:
        publish(documents, WordEncoder(), index, aim=AIM)
    except SnapshotError as error:
        message = str(error)
    if how == "crash":
        disk.operation("end", index, lambda: None)
    told.send((disk.done, message))


def document(name: str, text: str) -> Document:
    return Document(
        name, hashlib.sha256(text.encode()).hexdigest(), Source(name), text, (Block("paragraph", 0, len(text)),)
    )


@cache
def town(colour: str, houses: int) -> tuple[Document, ...]:
    """Documents of one sentence, each with a word of its own, and all of one colour."""
    return tuple(
        document(f"{n:05}.txt", f"The door of house h{n}x is {colour}, and it has {n} windows.") for n in range(houses)
    )


def opened(index: Path, encoder: Encoder) -> Snapshot:
    return open_snapshot(index, current_id(index), encoder, aim=AIM)


def build(index: Path, colour: str, houses: int, incremental: bool, told: Connection) -> None:
    words = WordEncoder()
    before = opened(index, words) if incremental else None
    publish(town(colour, houses), words, index, aim=AIM, before=before)
    told.send(True)


def build_within(index: Path, houses: int, largest: int, told: Connection) -> None:
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        publish(town("red", houses), WordEncoder(), index, aim=AIM)
    except SnapshotError as error:
        told.send(str(error))
    else:
        told.send("")


def open_within(index: Path, left: int, told: Connection) -> None:
    """Open and ask with so many bytes of address space more than are in use; tell the outcome."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + left, virtual + left))
    words = WordEncoder()
    try:
        bot = Bot(words, opened(index, words))
    except SnapshotError as error:
        told.send(str(error))
    else:
        told.send(asked(bot))


class Waiting(WordEncoder):
    """Encodes passages when it is told to."""

    def __init__(self, go: Event) -> None:
        self.go = go

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        assert self.go.wait(60)
        return super().encode_passages(texts, progress)


def build_when_told(index: Path, go: Event, told: Connection) -> None:
    started = time.monotonic()
    message = ""
    try:
        publish(town("blue", 3), Waiting(go), index, aim=AIM)
    except IndexLocked as error:
        message = str(error)
    told.send((time.monotonic() - started, message))
    raise SystemExit(1 if message else 0)


def open_mutants(indexes: Sequence[Path], seeds: Sequence[int], place: Path, told: Connection) -> None:
    """Open a mutant for each seed and ask it; tell the outcome, the seconds of work and the kilobytes added."""
    words = WordEncoder()
    for index in indexes:
        Bot(words, opened(index, words)).ask("Which colour has the door of house h1x?")
    limit = 2 << 30
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + limit, virtual + limit))
    first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors = os.open(os.devnull, os.O_WRONLY)
    os.dup2(errors, 2)  # tantivy writes of each panic
    for seed in seeds:
        chance = random.Random(seed)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(chance.choice(list(indexes)), place)
        forge(place, partial(mutate, chance))
        snapshot._MAPPED_BEYOND = chance.choice((0, 1))
        started = time.process_time()
        try:
            bot = Bot(words, opened(place, words))
        except SnapshotError:
            outcome = "refused"
        except BaseException as error:
            outcome = f"{type(error).__name__} when opened: {str(error)[:80]}"
        else:
            outcome = asked(bot)
        told.send((outcome, time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first))


def asked(bot: Bot) -> str:
    try:
        for question in ("Which colour has the door of house h1x?", "windows", "is it blue or gren", "h7x"):
            bot.ask(question)
    except Exception:
        return "error when asked"
    except BaseException as error:
        return f"{type(error).__name__} when asked: {str(error)[:80]}"
    return "answered"


#: What a reader may not have thought of, in bytes and in JSON.
_NUMBERS = (0, 1, -1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, -(2**63))
_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    10**400,
    "",
    "\u0000",
    "x" * 100_000,
    "../../x",
    [],
    {},
    [[]] * 1000,
)


def mutate(chance: random.Random, folder: Path, manifest: dict[str, Any]) -> None:
    """Change one file of a snapshot, or its manifest, as its own kind of file."""
    name = chance.choice([*manifest["files"], "passages.faiss", "passages.faiss", "manifest.json"])
    if name == "manifest.json":
        files = manifest.pop("files")
        _change_json(chance, manifest)
        manifest["files"] = files
        return
    data = (folder / name).read_bytes()
    how = chance.randrange(3)
    if name.endswith(".json") and "lexical" not in name and how:
        content = json.loads(data)
        _change_json(chance, content)
        data = json.dumps(content).encode()
    elif name.endswith(".npy") and how:
        values = np.load(folder / name)
        header = {"descr": np.lib.format.dtype_to_descr(values.dtype), "fortran_order": False, "shape": values.shape}
        if how == 1:
            raw = bytearray(values.tobytes())
            _change_bytes(chance, raw)
            data = bytes(raw)
        else:
            data = values.tobytes()
            _change_json(chance, header)
        text = repr(header).ljust(117) + "\n"
        data = b"\x93NUMPY\1\0" + (len(text) % 65536).to_bytes(2, "little") + text.encode() + data
    else:
        raw = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 5))):
            _change_bytes(chance, raw)
        data = bytes(raw)
        if name.startswith("lexical/") and not name.endswith(".json") and chance.random() < 0.8:
            data = _with_a_checksum(data)
    (folder / name).write_bytes(data)


def _with_a_checksum(data: bytes) -> bytes:
    """A file of tantivy's with the checksum that it should have, where its end is still one."""
    size = int.from_bytes(data[-8:-4], "little")
    end = max(0, len(data) - 8 - size)
    checksum = b'"crc":%d}' % zlib.crc32(data[:end])
    footer = re.sub(rb'"crc":\d+}', checksum, data[end:-8])
    return data[:end] + footer + len(footer).to_bytes(4, "little") + data[-4:]


def _change_bytes(chance: random.Random, raw: bytearray) -> None:
    if not raw:
        return
    at = chance.randrange(min(len(raw), chance.choice((64, 256, len(raw)))))
    match chance.randrange(4):
        case 0:
            raw[at] ^= 1 << chance.randrange(8)
        case 1:
            size = chance.choice((4, 8))
            raw[at : at + size] = (chance.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
        case 2:
            del raw[at : at + chance.randrange(1, 40)]
        case _:
            raw[at:at] = chance.randbytes(chance.randrange(1, 9))


def _change_json(chance: random.Random, content: Any) -> None:  # noqa: ANN401
    """Give one value, at any depth, another."""
    inside = content
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(inside[key], dict | list) and inside[key] and chance.random() < 0.8:
            inside = inside[key]
            continue
        if chance.random() < 0.2:
            del inside[key]
        else:
            inside[key] = chance.choice(_VALUES)
        return
