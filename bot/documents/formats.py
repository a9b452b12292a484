"""The format of a file -> the one small reader that knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

from bot.documents.canonical import counting, decode
from bot.documents.content import Content
from bot.documents.epub import read_epub
from bot.documents.html import read_html
from bot.documents.mail import read_eml
from bot.documents.markdown import read_markdown
from bot.documents.office import read_docx, read_pptx
from bot.documents.pdf import read_pdf
from bot.documents.plain import read_plain
from bot.documents.sheets import read_csv, read_xlsx
from bot.documents.sniff import kind_of
from bot.errors import DocumentError


def _of_text(read: Callable[[str], Content]) -> Callable[[bytes], Content]:
    return lambda data: read(decode(data))


_READERS: dict[str, Callable[[bytes], Content]] = {
    ".csv": read_csv,
    ".docx": read_docx,
    ".eml": read_eml,
    ".epub": read_epub,
    ".html": _of_text(read_html),
    ".md": _of_text(read_markdown),
    ".pdf": read_pdf,
    ".pptx": read_pptx,
    ".txt": _of_text(read_plain),
    ".xlsx": read_xlsx,
}


def read(name: str, data: bytes) -> Content | None:
    """Read a file by its content first and its name second; ``None`` if there is no reader for such a file.

    :raises DocumentError: if it cannot be read.
    """
    kind = kind_of(name, data)
    if kind == ".ole":
        raise DocumentError(
            "is in an older Office format, or protected by a password: save it as .docx, .pptx or .xlsx"
        )
    if kind is not None:
        with counting() as removed:
            content = _READERS[kind](data)
        note = f"{sum(removed):,} characters that cannot be seen were removed"
        return replace(content, notes=(*content.notes, note)) if sum(removed) else content
    if PurePosixPath(name).suffix.lower() in _READERS:
        raise DocumentError("is something else than its name says")
    return None
