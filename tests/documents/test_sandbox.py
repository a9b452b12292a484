"""What a reader in the sandbox can do to the others: nothing, whatever a file makes it do."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.documents import read_corpus
from bot.documents.content import Content
from bot.documents.sandbox import Sandbox, sandbox
from bot.errors import DocumentError
from bot.types import Document
from tests.conftest import FILES, write_files

#: A helper whose reader does what the file is called, within a second and 64 MiB; any other file is read as it is.
BAD_READERS = """
import ctypes, os, signal, socket, subprocess, sys, time
sys.path[:] = {path!r}
import bot.documents.formats as formats
from bot.documents.content import Content
from bot.types import Block
sandbox = sys.modules["bot.documents.sandbox"]
sandbox.SECONDS, sandbox.MEMORY, sandbox.RESULT = 1, 64 * 1024 * 1024, 4 * 1024 * 1024

def read(name, data):
    text = data.decode()
    blocks = [Block("paragraph", 0, len(text))]
    libc = ctypes.CDLL(None)
    match name:
        case "segfault": ctypes.string_at(0)
        case "abort": os.abort()
        case "native exit": libc._exit(0)
        case "memory": bytearray(256 * 1024 * 1024)
        case "native memory": ctypes.memset(libc.malloc(256 * 1024 * 1024) or 0, 1, 1)
        case "many objects":
            kept = []
            while True: kept.append([0] * 100)
        case "loop":
            while True: pass
        case "sleep": time.sleep(60)
        case "deaf sleep":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            time.sleep(60)
        case "print": print("printed", flush=True); os.write(1, b"written")
        case "fork": os.fork()
        case "native fork":
            if libc.fork() == 0:
                libc.sleep(60)
        case "socket": socket.create_connection(("127.0.0.1", 9))
        case "name": socket.getaddrinfo("example.org", 80)
        case "program": subprocess.run(["true"])
        case "shell": os.system("true")
        case "write":
            with open(text, "w") as file: file.write("planted")
        case "look": text += open(text).read()
        case "native look": text += f": {{libc.open(text.encode(), os.O_RDONLY)}}"
        case "list": text += str(os.listdir(text))
        case "library": text += f": {{len(open(text, 'rb').read())}}"
        case "asked": text += f": {{os.read(0, 100)}}"
        case "open": text += f": {{[number for number in range(3, 100) if held(number)]}}"
        case "fault": raise formats.DocumentError("is \\udcff wrong " * 100)
        case "error": raise KeyError("secret")
        case "recursion": read_again(name)
        case "overlap": blocks *= 2
        case "beyond": blocks = [Block("paragraph", 0, len(text) + 1)]
        case "before": blocks = [Block("paragraph", -1, 1)]
        case "kind": blocks = [Block("poem", 0, 1)]
        case "no content": return 5
        case "huge": text *= 10_000_000
        case "none": return None
    return Content(text, tuple(blocks))

def held(number):
    try:
        return os.fstat(number)
    except OSError:
        return None

def read_again(name):
    return read_again(name)

formats.read = read
sandbox.main()
"""


class BadReaders(Sandbox):
    """A sandbox with readers as bad as can be."""

    started = 0

    def _start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        command = [sys.executable, "-c", BAD_READERS.format(path=sys.path)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def process(self) -> int:
        assert self._helper is not None
        return self._helper.pid


def processes() -> set[int]:
    """Every process below this one, and all that lost its parent, as a leftover may have; zombies too."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, below = set(), {os.getpid()}
    while below:
        found |= below
        below = {pid for pid, parent in parents.items() if parent in below} - found
    return found - {os.getpid()}


@pytest.fixture(scope="module")
def readers() -> Iterator[BadReaders]:
    before = processes()
    made = BadReaders()
    yield made
    assert made.started == 1, "the helper outlives whatever happens in its copies"
    made.close()
    assert processes() <= before


@pytest.fixture
def landlock() -> None:
    if ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 1:
        pytest.skip("this kernel has no Landlock")


def reason(readers: Sandbox, name: str, text: str = "words") -> str:
    with pytest.raises(DocumentError) as caught:
        readers.read(name, text.encode())
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("segfault", "makes its reader crash"),
        ("abort", "makes its reader crash"),
        ("memory", "takes more than 64 MiB of memory to read"),
        ("native memory", "makes its reader crash"),  # malloc says no, which this reader does not look at
        ("many objects", "takes more than 64 MiB of memory to read"),
        ("loop", "takes more than 1 seconds to read"),
        ("sleep", "takes more than 1 seconds to read"),
        ("deaf sleep", "takes more than 1 seconds to read"),
        ("fork", "makes its reader fail (PermissionError)"),
        ("socket", "makes its reader fail (PermissionError)"),
        ("name", "makes its reader fail (PermissionError)"),
        ("program", "makes its reader fail (PermissionError)"),
        ("shell", "makes its reader fail (PermissionError)"),
        ("error", "makes its reader fail (KeyError)"),
        ("recursion", "is nested too deeply"),
        ("overlap", "cannot be read: its reader lost count"),
        ("beyond", "cannot be read: its reader lost count"),
        ("before", "cannot be read: its reader lost count"),
        ("kind", "cannot be read: its reader does not make sense"),
        ("no content", "makes its reader fail (PydanticSerializationError)"),
    ],
)
def test_what_a_reader_does_costs_its_own_file_only(readers: BadReaders, name: str, said: str) -> None:
    started = time.monotonic()
    assert reason(readers, name) == said
    assert time.monotonic() - started < 10
    good = readers.read("good.md", b"words")
    assert good is not None and good.text == "words"
    assert len(processes()) >= 1
    children = Path(f"/proc/{readers.process}/task/{readers.process}/children").read_text().split()
    assert children == [], "nothing is left of the copy, not even a zombie"


def test_a_reader_that_ends_without_a_word_is_reported(readers: BadReaders) -> None:
    assert reason(readers, "native exit").startswith("cannot be read")
    assert readers.read("good.md", b"words") is not None


def test_an_answer_beyond_all_measure_is_reported(readers: BadReaders) -> None:
    assert reason(readers, "huge")
    assert readers.read("good.md", b"words") is not None


def test_what_a_reader_prints_is_no_answer(readers: BadReaders) -> None:
    content = readers.read("print", b"words")
    assert content is not None and content.text == "words"


def test_a_process_that_a_reader_starts_behind_pythons_back_ends_with_it(readers: BadReaders) -> None:
    before = processes()
    started = time.monotonic()
    with suppress(DocumentError):  # where the system forbids it
        readers.read("native fork", b"words")
    assert time.monotonic() - started < 10
    assert processes() <= before
    left = [path for path in Path("/proc").glob("[0-9]*") if path.name.isdigit() and _is_copy(path)]
    assert left == [], "nor did it lose its parent"


def _is_copy(path: Path) -> bool:
    try:
        return b"does what the file is called" in (path / "cmdline").read_bytes() and int(path.name) not in processes()
    except OSError:
        return False


def test_a_reader_writes_no_file(readers: BadReaders, tmp_path: Path) -> None:
    place = tmp_path / "planted"
    assert "fail" in reason(readers, "write", str(place))
    assert not place.exists() or place.read_bytes() == b""


def test_a_reader_opens_no_file(readers: BadReaders, tmp_path: Path, landlock: None) -> None:
    """Not even one that everybody may read, nor behind Python's back; only what libraries need."""
    (tmp_path / "own.txt").write_text("words")
    for place in ("/etc/passwd", str(tmp_path / "own.txt"), f"/proc/{os.getpid()}/environ", "/proc/self/status"):
        assert reason(readers, "look", place) == "makes its reader fail (PermissionError)"
        content = readers.read("native look", place.encode())
        assert content is not None and content.text == f"{place}: -1"
    assert reason(readers, "list", str(tmp_path)) == "makes its reader fail (PermissionError)"
    content = readers.read("library", os.__file__.encode())
    assert content is not None and int(content.text.rpartition(": ")[2]) > 1_000


def test_a_reader_has_nothing_open_but_the_way_to_answer(readers: BadReaders) -> None:
    asked, opened = readers.read("asked", b"words"), readers.read("open", b"words")
    assert asked is not None and asked.text == "words: b''", "what else is asked for is not for this reader"
    assert opened is not None and re.fullmatch(r"words: \[\d+\]", opened.text)


def test_a_reason_is_short_and_can_be_shown(readers: BadReaders) -> None:
    said = reason(readers, "fault")
    assert len(said) <= 500
    assert said.encode() and "wrong" in said


def test_a_file_without_a_reader_is_said_to_have_none(readers: BadReaders) -> None:
    assert readers.read("none", b"words") is None


@pytest.mark.parametrize("name", ["", "a b.md", "ä/字.md", "x" * 4_000])
@pytest.mark.parametrize("size", [0, 1, 1 << 20])
def test_names_and_bytes_arrive_as_they_are(readers: BadReaders, name: str, size: int) -> None:
    content = readers.read(name, b"x" * size)
    assert content is not None and content.text == "x" * size


def test_a_helper_that_dies_is_started_again_for_the_next_file() -> None:
    with sandbox() as readers:
        assert readers.read("a.txt", b"words") is not None
        assert readers._helper is not None
        os.kill(readers._helper.pid, signal.SIGKILL)
        readers._helper.wait()
        assert reason(readers, "b.txt") == "cannot be read: its reader ended without a word"
        assert readers.read("c.txt", b"words") is not None


def test_nothing_of_a_helper_outlives_the_one_who_asks() -> None:
    """What is read at the moment ends with the helper, and the helper with the process that started it."""
    readers = BadReaders()
    readers.start()
    process = readers._helper
    assert process is not None and process.stdin is not None
    for part in (b"sleep", b"words"):
        process.stdin.write(len(part).to_bytes(8) + part)
    process.stdin.flush()
    copies: list[str] = []
    while not copies:
        copies = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        time.sleep(0.01)
    readers.close()
    until = time.monotonic() + 0.9  # sooner than its own time is over
    while Path(f"/proc/{copies[0]}").exists() and "Z" not in _state(copies[0]) and time.monotonic() < until:
        time.sleep(0.01)
    assert _state(copies[0]) in ("", "Z")


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_the_helper_looks_for_modules_where_its_parent_does_and_not_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder may be the one with the documents, which anybody may have written."""
    planted = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nraise SystemExit\n"
    write_files(
        tmp_path, {f"{name}.py": planted for name in ("yaml", "selectolax", "bot", "email", "charset_normalizer")}
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with sandbox() as readers:
        assert readers.read("a.md", b"# Boats") == Content("Boats", readers.read("a.md", b"# Boats").blocks)  # type: ignore[union-attr]
    assert list(tmp_path.glob("*.ran")) == []


# --- reading a folder -------------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read in a helper, from now on."""
    names: list[str] = []
    read = Sandbox.read

    def noted(self: Sandbox, name: str, data: bytes) -> Content | None:
        names.append(name)
        return read(self, name, data)

    monkeypatch.setattr(Sandbox, "read", noted)
    return names


def test_what_did_not_change_is_not_read_again_and_starts_no_helper(tmp_path: Path, started: list[str]) -> None:
    write_files(tmp_path, {**FILES, "noted.md": "---\npublished: last spring\n---\n# Noted\n\nWords.\n"})
    first = read_corpus(tmp_path)
    assert started == sorted(started) == [document.id for document in first.documents]
    started.clear()
    before = processes()
    known = {document.id: document for document in first.documents}
    second = read_corpus(tmp_path, known)
    assert started == []
    assert processes() == before
    assert second == first, "with the notes of what could not be read"
    assert any(report.notes for report in second.reports)
    assert all(one is known[one.id] for one in second.documents)


def test_what_changed_is_read_again_and_nothing_else(tmp_path: Path, started: list[str]) -> None:
    known = {document.id: document for document in read_corpus(write_files(tmp_path, FILES)).documents}
    started.clear()
    write_files(tmp_path, {"ferry.txt": "Island ferry\n\nThe ferry has been sold.\n", "new.md": "# New\n\nWords.\n"})
    (tmp_path / "birds.html").unlink()
    corpus = read_corpus(tmp_path, known)
    assert started == ["ferry.txt", "new.md"]
    assert [document.id for document in corpus.documents] == ["ferry.txt", "harbour.md", "new.md"]


def test_a_document_moved_to_another_name_is_read_again(tmp_path: Path, started: list[str]) -> None:
    """Its name tells its format, and may give it its title."""
    [document] = read_corpus(write_files(tmp_path, {"a.txt": "words"})).documents
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    started.clear()
    [moved] = read_corpus(tmp_path, {document.id: document}).documents
    assert (started, moved.id, moved.source.title) == (["b.txt"], "b.txt", "b")


def test_a_known_document_counts_only_with_the_very_bytes(tmp_path: Path, started: list[str]) -> None:
    [document] = read_corpus(write_files(tmp_path, {"a.txt": "words"})).documents
    forged = Document(document.id, "0" * 64, document.source, "other words", document.blocks)
    started.clear()
    assert read_corpus(tmp_path, {forged.id: forged}).documents == (document,)
    assert started == ["a.txt"]


def test_a_folder_with_nothing_to_read_starts_no_helper(tmp_path: Path, started: list[str]) -> None:
    folder = write_files(tmp_path, FILES)
    known = {document.id: document for document in read_corpus(folder).documents}
    started.clear()
    (folder / "empty.md").write_text(" \n")
    assert len(read_corpus(folder, known).documents) == len(FILES)
    assert started == []
