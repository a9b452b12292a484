"""What a file that is a zip archive inside cannot do: fill the memory, run, reach out, or end the program."""

from __future__ import annotations

import random
import re
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest
from docx import Document

from bot.documents import zipped
from bot.documents.content import Content
from bot.documents.office import read_docx, read_pptx
from bot.documents.sheets import read_xlsx
from bot.documents.zipped import open_zip
from bot.errors import DocumentError
from tests.documents import pieces


def archive(parts: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of these parts."""
    data = BytesIO()
    with zipfile.ZipFile(data, "w", packing) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return data.getvalue()


def document(*paragraphs: str) -> bytes:
    """Return a Word document."""
    data = BytesIO()
    made = Document()
    for text in paragraphs:
        made.add_paragraph(text)
    made.save(data)
    return data.getvalue()


def changed(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Return an archive with each part changed by a function of its name and content."""
    with zipfile.ZipFile(BytesIO(data)) as file:
        return archive({name: change(name, file.read(name)) for name in file.namelist()})


def test_an_archive_is_opened_and_its_parts_can_be_read() -> None:
    assert open_zip(archive({"a/b.txt": b"puffin"})).read("a/b.txt") == b"puffin"


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    bomb = archive({"word/document.xml": b"<p/>" * 20_000_000})
    assert len(bomb) * 600 < 80_000_000
    with pytest.raises(DocumentError, match="unpacks to more than 200 times its size"):
        open_zip(bomb)


def test_many_parts_that_are_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MAX_BYTES", 1024 * 1024)
    with pytest.raises(DocumentError, match="is larger than 1 MiB when unpacked"):
        open_zip(archive({f"{number}": b"a" * 300_000 for number in range(4)}))


def test_more_parts_than_any_document_has_are_refused() -> None:
    with pytest.raises(DocumentError, match="more than 10,000 parts"):
        open_zip(archive({f"{number}": b"" for number in range(10_001)}))


def test_a_part_that_is_larger_than_it_says_is_no_way_around() -> None:
    """The directory says 10 bytes, the packed data unfold to a million."""
    name, size = b"word/document.xml", 1_000_000
    data = archive({name.decode(): b"a" * size})
    lying = data.replace(struct.pack("<I", size), struct.pack("<I", 10))
    assert lying != data
    with pytest.raises(zipfile.BadZipFile):
        open_zip(lying).read(name.decode())
    with pytest.raises(DocumentError):
        read_docx(lying)


def test_a_part_behind_a_password_is_named_as_such() -> None:
    data = bytearray(document("secret"))
    for place in [found.start() for found in re.finditer(b"PK\x01\x02", data)]:
        data[place + 8] |= 1
    with pytest.raises(DocumentError, match="is protected by a password"):
        open_zip(bytes(data))


READERS = [read_docx, read_pptx, read_xlsx]


@pytest.mark.parametrize("read", READERS)
def test_an_encrypted_or_older_file_is_named_as_such(read: Callable[[bytes], Content]) -> None:
    with pytest.raises(DocumentError, match="protected by a password or in an older format"):
        read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000))


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_no_document_uses_is_refused(packing: int) -> None:
    with pytest.raises(DocumentError, match="unusual"):
        open_zip(archive({"a": b"a" * 100}, packing))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("data", [b"Dear all,", b"PK\x03\x04", b"%PDF-1.7", archive({}), archive({"a": b"<a/>"})])
def test_what_is_another_kind_of_file_is_refused(read: Callable[[bytes], Content], data: bytes) -> None:
    with pytest.raises(DocumentError):
        read(data)


def test_one_kind_of_office_file_is_not_taken_for_another() -> None:
    with pytest.raises(DocumentError, match="is not a PowerPoint presentation"):
        read_pptx(document("hello"))
    with pytest.raises(DocumentError, match="is not an Excel workbook"):
        read_xlsx(document("hello"))


LAUGHS = b'<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("part", ["word/document.xml", "docProps/core.xml", "_rels/.rels", "word/styles.xml"])
def test_xml_that_declares_entities_is_refused(part: str, encoding: str) -> None:
    def plant(name: str, content: bytes) -> bytes:
        if name != part:
            return content
        body = content.decode().partition("?>")[2]
        assert body
        return f'<?xml version="1.0" encoding="{encoding}"?>{LAUGHS.decode()}{body}'.encode(encoding)

    with pytest.raises(DocumentError, match="declares XML entities"):
        read_docx(changed(document("hello"), plant))


@pytest.mark.parametrize("codec", ["cp037", "utf-7"])
def test_entities_cannot_hide_in_another_encoding(codec: str) -> None:
    hidden = f'<?xml version="1.0" encoding="{codec}"?>'.encode() + f"{LAUGHS.decode()}<document>&b;".encode(codec)
    with pytest.raises(DocumentError):
        read_docx(changed(document("x"), lambda name, content: hidden if "document.xml" in name else content))


def test_xml_in_utf_16_is_read() -> None:
    data = changed(
        document("Puffins breed here."),
        lambda name, content: (
            content.decode().replace("UTF-8", "UTF-16").encode("utf-16") if name == "word/document.xml" else content
        ),
    )
    assert pieces(read_docx(data)) == [("paragraph", "Puffins breed here.")]


def test_a_link_to_a_lost_part_or_to_another_place_is_left_alone() -> None:
    """Word opens such a file as well; nothing is fetched, and no path leads out of the file."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = (
        f'<Relationship Id="x1" Type="{kind}/image" Target="NULL"/>'
        f'<Relationship Id="x2" Type="{kind}/footnotes" Target="../../../../etc/passwd"/>'
        f'<Relationship Id="x3" Type="{kind}/styles" Target="http://127.0.0.1:9/s.xml" TargetMode="External"/>'
    ).encode()
    data = changed(
        document("Puffins breed here."),
        lambda name, content: (
            content.replace(b"</Relationships>", links + b"</Relationships>")
            if name == "word/_rels/document.xml.rels"
            else content
        ),
    )
    assert pieces(read_docx(data)) == [("paragraph", "Puffins breed here.")]


def test_a_document_nested_without_end_is_refused() -> None:
    deep = b"<w:document xmlns:w='w'><w:body>" + b"<w:sdt><w:sdtContent>" * 5_000
    deep += b"</w:sdtContent></w:sdt>" * 5_000 + b"</w:body></w:document>"
    with pytest.raises(DocumentError, match="nested too deeply"):
        read_docx(changed(document("x"), lambda name, content: deep if name == "word/document.xml" else content))


def test_more_markup_than_fits_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "_MAX_MARKUP", 1_000)
    with pytest.raises(DocumentError, match="too large"):
        read_docx(document(*["x"] * 1_000))


def test_parts_that_are_referred_to_again_and_again_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MAX_BYTES", 50_000)
    book = archive(
        {
            "_rels/.rels": b'<R><Relationship Id="a" Type="/officeDocument" Target="b.xml"/></R>',
            "b.xml": b'<workbook xmlns:r="/relationships"><sheets>'
            + b'<sheet r:id="s"/>' * 100
            + b"</sheets></workbook>",
            "_rels/b.xml.rels": b'<R><Relationship Id="s" Type="/worksheet" Target="s.xml"/></R>',
            "s.xml": b"<worksheet>" + b"<row/>" * 1_000 + b"</worksheet>",
        }
    )
    with pytest.raises(DocumentError, match="too large"):
        read_xlsx(book)


def test_a_damaged_file_costs_no_more_than_itself() -> None:
    """Bytes changed at random, in the archive and in its XML, end in text or in a reason, never in another error."""
    data = document("Puffins breed here.", "Terns as well.")
    chance = random.Random(1)

    def spoil(content: bytes) -> bytes:
        spoilt = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        return bytes(spoilt)

    outcomes = set()
    for number in range(120):
        target = chance.choice(["word/document.xml", "word/styles.xml", "word/numbering.xml", "_rels/.rels"])

        def spoil_one(name: str, content: bytes, target: str = target) -> bytes:
            return spoil(content) if name == target else content

        try:
            pieces(read_docx(spoil(data) if number % 2 else changed(data, spoil_one)))
            outcomes.add("read")
        except DocumentError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_file_that_was_cut_off_is_refused(kept: float) -> None:
    data = document("Puffins breed here.")
    with pytest.raises(DocumentError, match="damaged"):
        read_docx(data[: int(len(data) * kept)])
