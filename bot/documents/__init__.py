"""A folder of files -> Documents, in sorted order, and a report of what happened to each file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISLNK, S_ISREG
from typing import Literal

from bot.documents.canonical import decode, line
from bot.documents.content import Content
from bot.documents.frontmatter import source_record
from bot.documents.html import read_html
from bot.documents.markdown import read_markdown
from bot.documents.plain import read_plain
from bot.errors import CorpusError, DocumentError
from bot.types import Document


def _of_text(read: Callable[[str], Content]) -> Callable[[bytes], Content]:
    return lambda data: read(decode(data))


#: One small reader per format, by file ending.
READERS: dict[str, Callable[[bytes], Content]] = {
    ".md": _of_text(read_markdown),
    ".markdown": _of_text(read_markdown),
    ".txt": _of_text(read_plain),
    ".html": _of_text(read_html),
    ".htm": _of_text(read_html),
}

#: Larger files are reported, not read: 32 MiB of text is about 10,000 pages.
MAX_FILE_BYTES = 32 * 1024 * 1024


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


def read_corpus(folder: Path) -> Corpus:
    """Read every document below a folder.

    A file that cannot be read is reported and the others are read all the same. Hidden files and folders are left
    out; links and special files are not followed.

    :raises CorpusError: if the folder itself cannot be read, or holds no file at all that could.
    """
    if not folder.is_dir():
        raise CorpusError(f"the corpus folder {str(folder)!r} does not exist or is not a folder")
    documents: list[Document] = []
    reports: list[FileReport] = []
    for path, name in sorted(_walk(folder, reports), key=lambda pair: pair[1]):
        try:
            outcome = _read_file(path, name)
        except DocumentError as error:
            reports.append(FileReport(name, "failed", (str(error),)))
        except OSError as error:
            reports.append(FileReport(name, "failed", (error.strerror or type(error).__name__,)))
        except Exception as error:  # a parser's own fault must not cost the other files
            reports.append(FileReport(name, "failed", (f"the reader failed: {type(error).__name__}",)))
        else:
            if isinstance(outcome, FileReport):
                reports.append(outcome)
            else:
                document, notes = outcome
                documents.append(document)
                reports.append(FileReport(name, "read", tuple(notes)))
    reports.sort(key=lambda report: report.path)
    if not documents:
        reasons = "; ".join(f"{report.path}: {', '.join(report.notes)}" for report in reports[:3])
        raise CorpusError(f"no document could be read in {str(folder)!r}" + (f" ({reasons})" if reasons else ""))
    return Corpus(tuple(documents), tuple(reports))


def _walk(folder: Path, reports: list[FileReport]) -> Iterator[tuple[Path, str]]:
    """Yield the regular files with their ids; report the rest."""

    def unreadable(error: OSError) -> None:
        place = Path(error.filename).relative_to(folder).as_posix() if error.filename else "."
        reports.append(FileReport(_printable(place), "failed", (error.strerror or "cannot be listed",)))

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(parent)
        for name in sorted(folders + files):
            path = here / name
            place = path.relative_to(folder).as_posix()
            hidden = name.startswith(".")
            mode = path.lstat().st_mode
            if S_ISLNK(mode) and not hidden:
                reports.append(FileReport(_printable(place), "skipped", ("is a link; links are not followed",)))
            elif name in files and not hidden:
                if not place.isprintable():
                    reports.append(FileReport(_printable(place), "failed", ("its name holds unprintable characters",)))
                elif not S_ISREG(mode):
                    reports.append(FileReport(place, "skipped", ("is not a regular file",)))
                else:
                    yield path, place
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _read_file(path: Path, name: str) -> tuple[Document, list[str]] | FileReport:
    reader = READERS.get(PurePosixPath(name).suffix.lower())
    if reader is None:
        known = ", ".join(sorted(READERS))
        return FileReport(name, "skipped", (f"no reader for this kind of file (there are: {known})",))
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DocumentError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    if not data.strip():
        return FileReport(name, "skipped", ("is empty",))
    content = reader(data)
    if not any(block.end > block.start for block in content.blocks):
        return FileReport(name, "skipped", ("holds no text",))
    title = next((content.text[b.start : b.end] for b in content.blocks if b.kind == "heading" and b.end > b.start), "")
    stem = PurePosixPath(name).stem
    fallback = line(title)[:300] or line(stem.replace("-", " ").replace("_", " ")) or stem
    source, questions, notes = source_record(content.details, fallback)
    digest = hashlib.sha256(data).hexdigest()
    return Document(name, digest, source, content.text, content.blocks, questions), [*content.notes, *notes]


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8").encode("unicode_escape").decode("ascii")
