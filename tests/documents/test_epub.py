"""What a reader of an e-book may rely on: all chapters in the order of the spine, and nothing that is protected."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.epub import read_epub
from bot.documents.frontmatter import source_record
from bot.errors import DocumentError
from tests.documents import pieces

CONTAINER = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/" version="3.0"><metadata>
<dc:title>The Keeper’s  Handbook</dc:title><dc:language>en_GB</dc:language><dc:publisher>Lamp Press</dc:publisher>
<dc:source>urn:isbn:123</dc:source><dc:source>https://lamp.example/book</dc:source></metadata>
<manifest>{manifest}</manifest><spine>{spine}</spine></package>"""
CHAPTER = """<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>
<script src="x.js"/></head><body><a id="p1"/><h1 id="c">{title}</h1><p>{text}&nbsp;Here.<br/></p></body></html>"""


def book(chapters: dict[str, str], *, spine: list[str] | None = None, more: dict[str, str] | None = None) -> bytes:
    """Put a book together; the manifest lists its chapters backwards."""
    names = list(chapters)
    items = "".join(
        f'<item id="{name}" href="text/{name.replace(" ", "%20")}" media-type="application/xhtml+xml"/>'
        for name in reversed(names)
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in (names if spine is None else spine))
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": PACKAGE.format(manifest=items, spine=order),
        **{f"OEBPS/text/{name}": text for name, text in chapters.items()},
        **(more or {}),
    }
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return file.getvalue()


TWO = {
    "z one.xhtml": CHAPTER.format(title="Lamps", text="Trim the wick."),
    "a.xhtml": CHAPTER.format(title="Fog", text="Ring the bell."),
}


def test_chapters_come_in_the_order_of_the_spine() -> None:
    content = read_epub(book(TWO))
    assert pieces(content) == [
        ("h1", "Lamps"),
        ("paragraph", "Trim the wick. Here."),
        ("h1", "Fog"),
        ("paragraph", "Ring the bell. Here."),
    ]
    assert content.notes == ()
    assert not any(block.anchor for block in content.blocks)  # its source is not the file that holds the anchors


def test_what_the_book_says_of_itself_is_its_source() -> None:
    source, _, notes = source_record(read_epub(book(TWO)).details, "book")
    assert (source.title, source.language, source.publisher, source.url) == (
        "The Keeper’s Handbook",
        "en-GB",
        "Lamp Press",
        "https://lamp.example/book",
    )
    assert notes == []


def test_a_chapter_is_read_once_and_a_missing_one_is_noted() -> None:
    data = book({**TWO, "b.xhtml": ""}, spine=["a.xhtml", "a.xhtml", "nowhere"])
    assert [text for _, text in pieces(read_epub(data))] == ["Fog", "Ring the bell. Here."]
    damaged = book(TWO, more={"OEBPS/book.opf": PACKAGE.format(
        manifest='<item id="x" href="gone.xhtml"/><item id="y" href="y.svg" media-type="image/svg+xml"/>'
        '<item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/>',
        spine='<itemref idref="x"/><itemref idref="y"/><itemref idref="a"/>',
    )})  # fmt: skip
    assert read_epub(damaged).notes == ("lacks 2 of its 3 chapters, such as 'OEBPS/gone.xhtml'",)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_protected_is_refused_and_scrambled_fonts_are_not() -> None:
    encrypted = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><e:EncryptedData '
        'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{}"/><e:CipherData>'
        '<e:CipherReference URI="{}"/></e:CipherData></e:EncryptedData></encryption>'
    )
    aes, font = "http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.idpf.org/2008/embedding"
    with pytest.raises(DocumentError, match=r"is protected \(DRM\)"):
        read_epub(book(TWO, more={"META-INF/encryption.xml": encrypted.format(aes, "OEBPS/text/z%20one.xhtml")}))
    for method, part in ((font, "OEBPS/a.otf"), (aes, "OEBPS/a.mp4")):
        assert read_epub(book(TWO, more={"META-INF/encryption.xml": encrypted.format(method, part)})).blocks


@pytest.mark.parametrize(
    "package",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><package>&a;</package>',
        '<!DOCTYPE package SYSTEM "file:///etc/passwd" [%x;]><package/>',
        "<package>",
        "<package>&undefined;</package>",
        "",
    ],
)
def test_a_damaged_or_harmful_package_is_refused(package: str) -> None:
    with pytest.raises(DocumentError):
        read_epub(
            book({}, more={"META-INF/container.xml": CONTAINER.replace("book", "other"), "OEBPS/other.opf": package})
        )


def test_an_old_package_with_a_document_type_is_read() -> None:
    old = '<!DOCTYPE package PUBLIC "+//ISBN 0//DTD OEB 1.2//EN" "http://a.example/b.dtd">'
    package = PACKAGE.replace("?>", f"?>{old}", 1).format(
        manifest='<item id="a" href="text/a.xhtml" media-type="text/x-oeb1-document"/>', spine='<itemref idref="a"/>'
    )
    more = {"META-INF/container.xml": CONTAINER.replace("book", "old"), "OEBPS/old.opf": package}
    assert len(read_epub(book(TWO, more=more)).blocks) == 2


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", book({})[:300], b"no book"])
def test_what_is_no_book_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        read_epub(data)


def test_a_sentence_is_found_wherever_it_stands() -> None:
    chapters = {}
    for number in range(100):
        text = "".join(f"<p>Filler {number}-{line}.</p>" for line in range(20))
        needle = f"<p>Needle {number}.</p>" if number in (0, 50, 99) else ""
        chapters[f"c{number:03}"] = CHAPTER.format(title=f"Chapter {number}", text=f"x</p>{text}{needle}<p>")
    text = read_epub(book(chapters)).text
    assert text.index("Needle 0.") < text.index("Needle 50.") < text.index("Needle 99.")
    assert text.count("Filler") == 2_000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2_000), st.binary(min_size=1, max_size=4))
def test_any_damage_is_reported_as_such(place: int, damage: bytes) -> None:
    data = book(TWO)
    with suppress(DocumentError):
        pieces(read_epub(data[: place % len(data)] + damage + data[place % len(data) + len(damage) :]))
