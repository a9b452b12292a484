"""A folder of files -> Documents, in sorted order, and a report of what happened to each file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Literal

from bot.documents.canonical import line
from bot.documents.content import Content
from bot.documents.frontmatter import source_record
from bot.documents.sandbox import Sandbox, sandbox
from bot.errors import CorpusError, DocumentError
from bot.types import Document

#: Larger files are reported, not read.
MAX_FILE_BYTES = 64 * 1024 * 1024

#: Documents with more are reported, not kept: what comes after reading has no limits of its own.
MAX_CHARACTERS, MAX_BLOCKS = 20_000_000, 500_000


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. ``skipped`` is by intention, ``failed`` needs somebody's attention."""

    path: str
    outcome: Literal["read", "skipped", "failed"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that could be read, sorted by id, and a report on every file, sorted by path."""

    documents: tuple[Document, ...]
    reports: tuple[FileReport, ...]

    @property
    def complete(self) -> bool:
        """Whether no file failed."""
        return all(report.outcome != "failed" for report in self.reports)


def read_corpus(folder: Path, known: Mapping[str, Document] | None = None, readers: Sandbox | None = None) -> Corpus:
    """Read every document below a folder.

    A file that cannot be read is reported and the others are read all the same. Hidden files and folders are left
    out; links and special files are not followed.

    :param known: documents by id that the same readers made before; one whose bytes are the same is not read again.
    :param readers: a sandbox to read in, if one was made before; it stays open.
    :raises CorpusError: if the folder itself cannot be read, or holds no file at all that could.
    """
    if not folder.is_dir():
        raise CorpusError(f"the corpus folder {str(folder)!r} does not exist or is not a folder")
    documents: list[Document] = []
    reports: list[FileReport] = []
    with nullcontext(readers) if readers else sandbox() as readers:
        for name, parent, entry in _walk(folder, reports):
            try:
                document = _read_file(name, parent, entry, readers, known or {})
            except _Skipped as skipped:
                reports.append(FileReport(name, "skipped", (str(skipped),)))
            except DocumentError as error:
                reports.append(FileReport(name, "failed", (str(error),)))
            except OSError as error:
                reports.append(FileReport(name, "failed", (error.strerror or type(error).__name__,)))
            else:
                documents.append(document)
                reports.append(FileReport(name, "read", document.notes))
    documents.sort(key=lambda document: document.id)
    reports.sort(key=lambda report: report.path)
    if not documents:
        reasons = "; ".join(f"{report.path}: {', '.join(report.notes)}" for report in reports[:3])
        raise CorpusError(f"no document could be read in {str(folder)!r}" + (f" ({reasons})" if reasons else ""))
    return Corpus(tuple(documents), tuple(reports))


class _Skipped(Exception):
    """There is nothing to read in a file, and says why."""


def _walk(folder: Path, reports: list[FileReport]) -> Iterator[tuple[str, int, str]]:
    """Yield the regular files: their ids, the open folder that each is in, and its name there; report the rest.

    Folders are gone down by what is open, not by their paths, so that none can be exchanged for a link on the way.
    """
    unopened: set[str] = set()
    for parent, folders, files, descriptor in os.fwalk(folder):
        here = Path(parent)
        unopened.discard(here.relative_to(folder).as_posix())
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in (*folders, *files) if not name.startswith(".")):
            place = (here / name).relative_to(folder).as_posix()
            try:
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            except OSError as error:
                reports.append(FileReport(_printable(place), "failed", (error.strerror or "cannot be looked at",)))
                continue
            if S_ISLNK(mode):
                reports.append(FileReport(_printable(place), "skipped", ("is a link; links are not followed",)))
            elif S_ISDIR(mode):
                unopened.add(place)
            elif not place.isprintable():
                reports.append(FileReport(_printable(place), "failed", ("its name holds unprintable characters",)))
            elif not S_ISREG(mode):
                reports.append(FileReport(place, "skipped", ("is not a regular file",)))
            else:
                yield place, descriptor, name
    reports += [FileReport(_printable(place), "failed", ("cannot be listed",)) for place in unopened]


def _read_file(name: str, parent: int, entry: str, readers: Sandbox, known: Mapping[str, Document]) -> Document:
    data = _bytes_of(parent, entry)
    digest = hashlib.sha256(data).hexdigest()
    before = known.get(name)
    if before is not None and before.sha256 == digest:
        return before
    if not data.strip():
        raise _Skipped("is empty")
    content = readers.read(name, data)
    if content is None:
        raise _Skipped("no reader for this kind of file")
    if len(content.text) > MAX_CHARACTERS or len(content.blocks) > MAX_BLOCKS:
        raise DocumentError(f"holds more than {MAX_CHARACTERS:,} characters or {MAX_BLOCKS:,} lines: split it")
    if not any(block.end > block.start for block in content.blocks):
        raise _Skipped("; ".join(("holds no text", *content.notes)))
    source, questions, notes = source_record(content.details, _fallback_title(name, content))
    return Document(name, digest, source, content.text, content.blocks, questions, (*content.notes, *notes))


def _bytes_of(parent: int, entry: str) -> bytes:
    """The bytes of a regular file, whatever it was exchanged for since it was listed."""
    descriptor = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    with open(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise _Skipped("is not a regular file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DocumentError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    return data


def _fallback_title(name: str, content: Content) -> str:
    """What a document is called that does not say: its first heading, else its file's name."""
    headings = (content.text[b.start : b.end] for b in content.blocks if b.kind == "heading" and b.end > b.start)
    stem = PurePosixPath(name).stem
    return line(next(headings, ""))[:300] or line(stem.replace("-", " ").replace("_", " ")) or stem


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8").encode("unicode_escape").decode("ascii")
