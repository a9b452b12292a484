"""E-books (EPUB 2 and 3): the chapters in reading order, and what the book says of itself.

After EPUB 3.3 (www.w3.org/TR/epub-33): META-INF/container.xml names the package document, whose spine lists the
chapters.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import unquote
from xml.etree.ElementTree import Element, fromstring
from zipfile import ZipFile

from bot.documents.builder import TextBuilder
from bot.documents.canonical import decode, line
from bot.documents.content import Content
from bot.documents.frontmatter import is_web_address
from bot.documents.html import add_html, as_html
from bot.documents.zipped import guarded, lost, open_zip
from bot.errors import DocumentError

#: What is only scrambled with these is a font.
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_CHAPTERS = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document"))
_MAX_BYTES = 64 * 1024 * 1024  # of all chapters
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*>")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DETAILS = {"title": "title", "language": "language", "publisher": "publisher", "source": "url"}
_LANGUAGE = re.compile("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@guarded("EPUB book")
def read_epub(data: bytes) -> Content:
    """Read a book; notes say which chapters are missing.

    :raises DocumentError: if it is no EPUB, is damaged, or is protected (DRM).
    """
    archive = open_zip(data)
    parts = set(archive.namelist())
    package = _package(archive, parts)
    tree = _xml(archive, package)
    folder = posixpath.dirname(package)
    files = {item.get("id", ""): item for item in tree.iter("item")}
    chapters: dict[str, str] = {}  # each once, however often the spine names it
    for reference in tree.iter("itemref"):
        if (item := files.get(reference.get("idref", ""))) is not None:
            chapters.setdefault(_path(folder, item.get("href", "")), item.get("media-type", ""))
    if _protected(archive, parts).intersection((package, *chapters)):
        raise DocumentError("is protected (DRM)")
    builder = TextBuilder()
    missing = [path for path in chapters if path not in parts]
    readable = [path for path, kind in chapters.items() if kind in _CHAPTERS and path in parts]
    if sum(archive.getinfo(path).file_size for path in readable) > _MAX_BYTES:
        raise DocumentError(f"holds more than {_MAX_BYTES // 1024 // 1024} MiB of text")
    for path in readable:
        add_html(as_html(decode(archive.read(path))), builder, anchors=False)
    notes = []
    if missing:
        notes.append(f"lacks {len(missing)} of its {len(chapters)} chapters, such as {missing[0][:100]!r}")
    if pictures := len(chapters) - len(readable) - len(missing):
        notes.append(lost(pictures, "picture page"))
    return Content(builder.text, builder.blocks, _details(tree), tuple(notes))


def _path(folder: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(address.partition("#")[0])))


def _package(archive: ZipFile, parts: set[str]) -> str:
    """Return the path of the package document."""
    container = "META-INF/container.xml"
    if container in parts:
        for root in _xml(archive, container).iter("rootfile"):
            if (path := posixpath.normpath(root.get("full-path", ""))) in parts:
                return path
    found = min((path for path in parts if path.lower().endswith(".opf")), default=None)
    if found is None:
        raise DocumentError("is not an EPUB book: it has no list of its chapters")
    return found


def _protected(archive: ZipFile, parts: set[str]) -> set[str]:
    """Return the paths of the parts that are encrypted, fonts aside."""
    found: set[str] = set()
    if "META-INF/encryption.xml" not in parts:
        return found
    for encrypted in _xml(archive, "META-INF/encryption.xml").iter("EncryptedData"):
        methods = {method.get("Algorithm") for method in encrypted.iterfind("EncryptionMethod")}
        if not methods or methods.difference(_FONTS):
            found.update(_path("", at.get("URI", "")) for at in encrypted.iter("CipherReference"))
    return found


def _details(tree: Element) -> Mapping[str, object]:
    """Return what the book says of itself; a language or source that is none is left out, as it is often wrong."""
    found: dict[str, object] = {}
    for element in tree.iterfind("metadata//*"):
        key, text = _DETAILS.get(element.tag.lower()), line(element.text or "")
        text = text.replace("_", "-") if key == "language" else text
        fits = (key != "url" or is_web_address(text)) and (key != "language" or _LANGUAGE.fullmatch(text))
        if key is not None and text and fits:
            found.setdefault(key, text)
    return found


def _xml(archive: ZipFile, part: str) -> Element:
    """Return a part's root element; tags have no namespace. Nothing that the part refers to is fetched.

    :raises DocumentError: if it declares entities.
    """
    text = _DOCTYPE.sub("", _DECLARATION.sub("", decode(archive.read(part)), count=1), count=1)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DocumentError("declares XML entities, as harmful files do")
    root = fromstring(text)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
