"""What kind of file this is: by its content, which cannot lie, then by its name."""

from __future__ import annotations

import re
import zlib
from pathlib import PurePosixPath
from zipfile import BadZipFile

from bot.documents.zipped import open_zip
from bot.errors import DocumentError

#: Text formats are told apart by the name: each is text in any other.
_BY_NAME = {
    ".md": ".md", ".markdown": ".md", ".txt": ".txt", ".text": ".txt", ".csv": ".csv", ".tsv": ".csv",
    ".html": ".html", ".htm": ".html", ".xhtml": ".html", ".eml": ".eml",
    ".pdf": ".pdf",
}  # fmt: skip
_PARTS = {"word/document.xml": ".docx", "ppt/presentation.xml": ".pptx", "xl/workbook.xml": ".xlsx"}
_ROOTS = frozenset(("[Content_Types].xml", "META-INF/container.xml"))  # of an Office file or a book with other names
_IN_ZIPS = {
    ".docx": ".docx", ".docm": ".docx", ".pptx": ".pptx", ".pptm": ".pptx", ".xlsx": ".xlsx", ".xlsm": ".xlsx",
    ".epub": ".epub",
}  # fmt: skip
_OFFICE = frozenset(
    (".doc", ".dot", ".xls", ".xlt", ".ppt", ".pps", ".docx", ".docm", ".pptx", ".pptm", ".xlsx", ".xlsm")
)
#: Text that may begin with a page and is none.
_NO_PAGES = frozenset((".md", ".markdown", ".eml", ".csv", ".tsv"))

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: Images, sound, programs and archives, whatever they are called. Text may begin so too, but has no NUL.
_OTHERS = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"\x7fELF", b"MZ\x90", b"\x1f\x8b",
    b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"OggS", b"ID3", b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe", b"wOFF", b"wOF2",
)  # fmt: skip
_LOOKED_AT = 65_536  # bytes, for the beginning of a page after comments
_PAGE = re.compile(r"(?>\s+|<\?[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def kind_of(name: str, data: bytes) -> str | None:
    """Return the ending that files of this format have, ``.ole`` for an Office file from before 2007 or with a
    password, or ``None`` if there is no reader for it.

    A PDF, a web page, an Office file and a book is one whatever it is called; plain text needs a name that says so.
    A file that only its name calls a PDF or the like is left to that reader, which will say what is wrong.
    """
    ending = PurePosixPath(name).suffix.lower()
    start = data[:1024]
    if b"%PDF-" in start and (data.lstrip().startswith(b"%PDF-") or ending == ".pdf" or b"\0" in data):
        return ".pdf"
    if data.startswith(_OLE):
        return ".ole" if ending in _OFFICE else None
    if data.startswith(_ZIP):
        return _in_zip(data, ending)
    if data.startswith(_OTHERS) and b"\0" in start:
        return None
    if ending not in _NO_PAGES and _PAGE.match(_beginning(data)):
        return ".html"
    return _BY_NAME.get(ending, _IN_ZIPS.get(ending))


def _in_zip(data: bytes, ending: str) -> str | None:
    try:
        archive = open_zip(data)
    except DocumentError:
        return _IN_ZIPS.get(ending)
    parts = set(archive.namelist())
    if "mimetype" in parts and archive.getinfo("mimetype").file_size < 100:
        try:
            if archive.read("mimetype").strip() == b"application/epub+zip":
                return ".epub"
        except (BadZipFile, zlib.error):
            return _IN_ZIPS.get(ending)
    for part, kind in _PARTS.items():
        if part in parts:
            return kind
    return _IN_ZIPS.get(ending) if parts & _ROOTS else None


def _beginning(data: bytes) -> str:
    """Return the first words of what may be a text, in any encoding: markup is ASCII in nearly all of them."""
    start = data[:_LOOKED_AT]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return start.decode("utf-16", "replace")
    return start.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").decode("latin-1")
