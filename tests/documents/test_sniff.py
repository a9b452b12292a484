"""What kind of file it is: the content decides, and the name where the content cannot."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.documents.sniff import kind_of

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\0"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
PAGE = "<!DOCTYPE html><html><body><p>Café</p></body></html>"


def zipped(*names: str, mimetype: str = "") -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, "<x/>")
    return file.getvalue()


EPUB = zipped("META-INF/container.xml", mimetype="application/epub+zip")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", PDF, ".pdf"),
        ("a.txt", PDF, ".pdf"),
        ("a.md", PDF, ".pdf"),
        ("a", PDF, ".pdf"),
        ("a.pdf", b"junk from a mail\r\n" + PDF, ".pdf"),
        ("a.md", b"# What follows %PDF-1.7 in a file", ".md"),
        ("a.pdf", PAGE.encode(), ".html"),
        ("a.pdf", b"404 not found", ".pdf"),  # its reader says what is wrong
        ("a.docx", zipped("[Content_Types].xml", "word/document.xml"), ".docx"),
        ("a.zip", zipped("[Content_Types].xml", "ppt/presentation.xml"), ".pptx"),
        ("a.pdf", zipped("xl/workbook.xml"), ".xlsx"),
        ("a.docm", zipped("[Content_Types].xml", "word/document2.xml"), ".docx"),
        ("a.txt", EPUB, ".epub"),
        ("a.epub", zipped("META-INF/container.xml"), ".epub"),
        ("a.odt", zipped("content.xml", mimetype="application/vnd.oasis.opendocument.text"), None),
        ("a.docx", zipped("photo.jpg"), None),
        ("a.zip", zipped("a.txt"), None),
        ("a.docx", b"PK\x03\x04 and no more", ".docx"),
        ("a.txt", b"PK\x03\x04 and no more", None),
        ("a.xlsx", b"", ".xlsx"),
        ("a.doc", OLE, ".ole"),
        ("a.docx", OLE, ".ole"),
        ("Thumbs.db", OLE, None),
        ("a.txt", OLE, None),
        ("a.htm", b"no markup at all", ".html"),
        ("a.txt", PAGE.encode(), ".html"),
        ("a.php", b"\xef\xbb\xbf \n<!-- saved <from> --><!-- twice --><HTML lang=en>", ".html"),
        ("a.txt", PAGE.encode("utf-16"), ".html"),
        ("a.txt", PAGE.encode("utf-16-be"), ".html"),
        ("a.txt", b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y"><html xmlns="z">', ".html"),
        ("a.txt", b"<htmlish> is no page", ".txt"),
        ("a.txt", b"Read <html> aloud", ".txt"),
        ("a.md", b"<html>is a tag</html>", ".md"),
        ("a.csv", b"<html>,tag", ".csv"),
        ("a.eml", b"From: a@b.example\n\n<html>", ".eml"),
        ("a.txt", b"From: a@b.example\n\nHello", ".txt"),
        ("A.MARKDOWN", b"# A", ".md"),
        ("a.tsv", b"a\tb", ".csv"),
        ("a.txt", "Café".encode("cp1252"), ".txt"),
        ("a.txt", b"GIF89a\1\0\1\0", None),
        ("a.txt", b"RIFF is a word, too", ".txt"),
        ("a.md", b"\x7fELF\2\1\1\0", None),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
        ("README", b"plain words", None),
        ("a.py", b"print('<html>')", None),
        ("a.json", b"{}", None),
    ],
)
def test_the_content_decides_then_the_name(name: str, data: bytes, kind: str | None) -> None:
    assert kind_of(name, data) == kind


def test_many_comments_before_no_page_do_not_take_long() -> None:
    assert kind_of("a.txt", b"<!---->" * 9_000) == ".txt"
    assert kind_of("a.txt", b"<?xml ?>" * 8_000) == ".txt"
    assert kind_of("a.txt", b"<!--" * 9_000) == ".txt"


@given(
    st.sampled_from(["a.txt", "a.pdf", "a.docx", "a"]),
    st.sampled_from([b"", PDF, OLE, EPUB, b"PK\x05\x06"]),
    st.binary(),
)
def test_anything_can_be_looked_at(name: str, start: bytes, data: bytes) -> None:
    kind_of(name, start[: len(data) * 3] + data)
