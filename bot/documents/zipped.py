"""Files that are a zip archive inside (Office files, e-books): opened with care, and read part by part.

Nothing is ever unpacked to disk, no archive inside the archive is opened, and no address is fetched.
"""

from __future__ import annotations

import posixpath
import re
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from io import BytesIO
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError, fromstring, iterparse
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from bot.documents.canonical import line
from bot.documents.content import Content
from bot.errors import DocumentError

MAX_MEMBERS = 10_000
MAX_BYTES = 200 * 1024 * 1024  # of all members, unpacked
MAX_RATIO = 200  # unpacked to packed; XML rarely reaches 50, a bomb has 1,000
_SMALL = 1024 * 1024  # bytes; below, any ratio will do
_MAX_MARKUP = 6_000_000  # tags in one part that is held as a tree, which takes some 100 bytes for each
_MAX_WAITING = 500_000  # tags in one row of a sheet, or open at once

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DECLARATION = re.compile(rb"\A\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)")
_FAULTS = (BadZipFile, zlib.error, ParseError, LookupError, ValueError, OverflowError, EOFError, OSError, RuntimeError)

#: Titles that the programs themselves put in, and that name nothing.
_NO_TITLE = re.compile(
    r"(powerpoint[ -]?(presentation|präsentation)|présentation powerpoint|presentación de powerpoint|word document|"
    r"(document|presentation|book|slide) ?\d*|untitled|title|microsoft (word|powerpoint|excel) - .*)",
    re.IGNORECASE,
)


def open_zip(data: bytes) -> ZipFile:
    """Open an archive after a look at what it would unpack to.

    :raises DocumentError: if it is none, is damaged or encrypted, or would take unreasonable space.
    """
    if data.startswith(_OLE):
        raise DocumentError("is protected by a password or in an older format; save it anew without a password")
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:  # before the directory is read, which takes long if it is long
        raise DocumentError(f"holds more than {MAX_MEMBERS:,} parts")
    try:
        archive = ZipFile(BytesIO(data))
    except (*_FAULTS, NotImplementedError) as error:
        raise DocumentError("is damaged or not in the format that its name says") from error
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise DocumentError("is protected by a password")
    if any(member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for member in members):
        raise DocumentError("is packed in an unusual way")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise DocumentError(f"is larger than {MAX_BYTES // 1024 // 1024} MiB when unpacked")
    if any(member.file_size > max(_SMALL, MAX_RATIO * member.compress_size) for member in members):
        raise DocumentError(f"unpacks to more than {MAX_RATIO} times its size, as harmful files do")
    return archive


def guarded(kind: str) -> Callable[[Callable[[bytes], Content]], Callable[[bytes], Content]]:
    """Let a reader raise nothing but a :class:`DocumentError`, whatever a damaged file makes fail in it."""

    def decorate(read: Callable[[bytes], Content]) -> Callable[[bytes], Content]:
        @wraps(read)
        def reader(data: bytes) -> Content:
            try:
                return read(data)
            except RecursionError as error:
                raise DocumentError("is nested too deeply") from error
            except _FAULTS as error:
                raise DocumentError(f"is a damaged {kind}") from error

        return reader

    return decorate


class Relation(NamedTuple):
    """How one part of an Office file refers to another; ``target`` is empty if it lies outside the file."""

    kind: str
    target: str


class Package:
    """The parts of an Office file: XML documents that refer to each other (ECMA-376, part 2).

    Read here rather than by a library for each format, because those refuse a whole file for one link to a lost
    image, or end the process for a sheet with a cell in its last corner.
    """

    def __init__(self, data: bytes, root: str, kind: str) -> None:
        """Open a file whose main part has a root element of this name; ``kind`` is what to call it."""
        self._archive = open_zip(data)
        self._read = 0  # bytes, each time that a part is read
        self._names = {name.replace("\\", "/").lower(): name for name in self._archive.namelist()}
        self.main = next((target for kind, target in self.relations("").values() if kind == "officeDocument"), "")
        if self.main.lower() not in self._names or self.tree(self.main).tag != root:
            raise DocumentError(f"is not {kind}")

    def tree(self, part: str) -> Element:
        """Return a part's root element; an empty one if the file has no such part. Tags have no namespace."""
        if part.lower() not in self._names:
            return Element("")
        source = self._source(part)
        if source.count(b"<") > _MAX_MARKUP:
            raise DocumentError("is too large to be read")
        root = fromstring(source)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def elements(self, part: str, *tags: str) -> Iterator[Element]:
        """Yield the elements with one of these tags, each whole, from a part too large to hold as a tree."""
        if part.lower() not in self._names:
            return
        path: list[Element] = []
        inside = waiting = 0  # wanted elements that are open, and what has been kept for them
        for event, element in iterparse(BytesIO(self._source(part)), ("start", "end")):
            if event == "start":
                element.tag = element.tag.rpartition("}")[2]
                path.append(element)
                inside += element.tag in tags
                waiting += 1
                if waiting > _MAX_WAITING:
                    raise DocumentError("is too large to be read")
                continue
            path.pop()
            inside -= element.tag in tags
            if not inside:
                if element.tag in tags:
                    yield element
                waiting = 0
                if path:
                    path[-1].clear()

    def relations(self, part: str) -> dict[str, Relation]:
        """Return the relations of a part, or of the whole file for "", by id."""
        folder, name = posixpath.split(part)
        found = {}
        for element in self.tree(posixpath.join(folder, "_rels", f"{name}.rels")).iter("Relationship"):
            outside = element.get("TargetMode") == "External"
            path = posixpath.normpath(posixpath.join("/", folder, unquote(element.get("Target", ""))))
            kind = element.get("Type", "").rpartition("/")[2]
            found[element.get("Id", "")] = Relation(kind, "" if outside else path.lstrip("/"))
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """Return the parts that a part refers to in this role."""
        return [target for role, target in self.relations(part).values() if role == kind and target]

    def details(self) -> dict[str, object]:
        """Return what the file says of itself. Its dates are those of the file, not of what it says: left out."""
        found: dict[str, object] = {}
        for part in self.related("", "core-properties"):
            for element in self.tree(part):
                text = line(element.text or "")
                if element.tag in ("title", "language") and text and not _NO_TITLE.fullmatch(text):
                    found.setdefault(element.tag, text)
        return found

    def lost(self) -> tuple[str, ...]:
        """Return notes on what the file holds besides text."""
        charts = sum(bool(re.search(r"/charts/chart[^/]*\.xml$", name)) for name in self._names)
        counts = {
            "diagram": sum(name.startswith("word/diagrams/data") for name in self._names),
            "image": sum("/media/" in name for name in self._names),
            "chart": charts,
            "embedded file": sum("/embeddings/" in name for name in self._names) - charts,  # a chart embeds its figures
        }
        return tuple(lost(count, what) for what, count in counts.items() if count > 0)

    def _source(self, part: str) -> bytes:
        """Return a part as UTF-8 without declarations, so that it is parsed as what it was checked as."""
        data = self._archive.read(self._names[part.lower()])
        self._read += len(data)
        if self._read > 3 * MAX_BYTES:  # few parts, which refer to each other again and again
            raise DocumentError("is too large to be read")
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            data = data.decode("utf-16").encode()
        data = _DECLARATION.sub(b"", data.removeprefix(b"\xef\xbb\xbf"), count=1)
        if _DOCTYPE.search(data):
            raise DocumentError("declares XML entities, as harmful files do")
        return data


def lost(count: int, what: str) -> str:
    """Say that something is not read: "holds 3 images, which are not read"."""
    return f"holds {count:,} {what}s, which are not read" if count > 1 else f"holds 1 {what}, which is not read"


def attribute(element: Element | None, name: str, default: str = "") -> str:
    """Return an attribute by its name without the namespace."""
    if element is None:
        return default
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), default)


def relation_id(element: Element, name: str = "id") -> str:
    """Return the id of the relation that an element refers to."""
    return next((value for key, value in element.items() if key.endswith(f"/relationships}}{name}")), "")
