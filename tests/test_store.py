"""Documents and passages come back as they were, whatever the characters, made when they are asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import Content, Documents, Mapped, Passages, array, npy, rows_of, stored, stretch_of
from bot.types import Block, Document, Passage, Source, Span

#: Paragraphs of documents by name; letters of one to four bytes, written from either side, joined, and none at all.
PARAGRAPHS = {
    "plain.md": ("The pier is long.", "It is old, and it is closed in winter."),
    "arabic.md": ("المرفأ مفتوح كل يوم.", "لا رسوم في الشتاء، والدخول مجاني."),
    "nothing.md": (),
    "عبرية/hebrew.md": ("\u200fהנמל פתוח\u200f", "12 סירות"),
    "emoji 🎉.md": ("👩‍👩‍👧‍👦 🇩🇪", "\U0010ffff", "e\u0301 is not é"),
    "lines.md": ("a\u2028b\x85c\x00d", "\ufeff"),
    "also nothing.md": (),
}
any_paragraphs = st.lists(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), max_size=4), max_size=5
)


def written(name: str, paragraphs: Sequence[str]) -> tuple[Document, tuple[Passage, ...]]:
    """A document, and a passage for each paragraph: of two sentences where it is long enough, every second on a
    page."""
    blocks, passages, at = [], [], 0
    for number, text in enumerate(paragraphs):
        end, middle = at + len(text), at + len(text) // 2
        page = number if number % 2 else None
        blocks.append(Block("paragraph", at, end, page=page, anchor=f"à-{number}" if number else None))
        sentences = (Span(at, middle), Span(middle, end)) if middle > at else (Span(at, end),)
        headings = (name, f"§ {number % 2}")[: number % 3]
        passages.append(Passage(name, at, end, text, headings, sentences, page))
        at = end + 2
    source = Source(f"Titel „{name}“", publisher="Häfen", updated=date(2025, 2, 3), language="ar", verbatim=True)
    document = Document(name, "0" * 64, source, "\n\n".join(paragraphs), tuple(blocks), ("Wie spät?",) * len(passages))
    return document, tuple(passages)


def all_written() -> tuple[tuple[Document, ...], tuple[Passage, ...]]:
    pairs = [written(name, paragraphs) for name, paragraphs in PARAGRAPHS.items()]
    return tuple(document for document, _ in pairs), tuple(passage for _, some in pairs for passage in some)


def opened(files: dict[str, Content]) -> tuple[Documents, Passages]:
    documents = Documents(files["documents.json"], files["texts.bin"], files["blocks.bin"], files["readings.bin"])
    passages = Passages(
        files["passages.npy"], files["sentences.npy"], files["headings.json"], files["texts.bin"], documents
    )
    return documents, passages


def kept(documents: Sequence[Document], passages: Sequence[Passage]) -> tuple[Documents, Passages]:
    return opened(dict(stored(documents, passages, readings_of(documents))))


def readings_of(documents: Sequence[Document]) -> list[bytes]:
    return [document.id.encode() for document in documents]


# --- documents --------------------------------------------------------------------------------------------------------


def test_documents_come_back_as_they_were_and_in_their_order() -> None:
    written_documents, passages = all_written()
    documents, _ = kept(written_documents, passages)
    assert tuple(documents.values()) == written_documents
    assert list(documents) == list(PARAGRAPHS)
    assert len(documents) == len(PARAGRAPHS)
    assert "plain.md" in documents
    for name in ("plain", "", None, 0):
        assert name not in documents
    with pytest.raises(KeyError):
        documents["plain"]


def test_what_is_known_of_a_document_without_reading_it_fits_it() -> None:
    written_documents, passages = all_written()
    documents, _ = kept(written_documents, passages)
    for document, record in zip(written_documents, documents.records, strict=True):
        assert record == documents.record(document.id)
        for name in ("id", "sha256", "source", "questions", "characters"):
            assert getattr(record, name) == getattr(document, name)
        assert documents.reading(document.id) == document.id.encode()
    with pytest.raises(KeyError):
        documents.record("plain")


def test_more_documents_than_are_kept_at_a_time_are_each_the_right_one() -> None:
    many = [written(f"{number}.txt", (f"Boat {number} is late.",))[0] for number in range(300)]
    documents, _ = kept(many, ())
    for _ in range(2):
        for document in many:
            assert documents[document.id] == document
            assert documents[document.id] is documents[document.id], "it is kept for the next who asks"


def test_readings_that_do_not_fit_the_records_are_refused() -> None:
    document, passages = written("plain.md", ("The pier is long.",))
    with pytest.raises(ValueError, match="documents do not fit"):
        opened({**dict(stored([document], passages, [b"reading"])), "readings.bin": b"readings"})


@pytest.mark.parametrize("blocks", [b"[]]", b"[{}]", b'[{"kind":"paragraph","start":0,"end":18}]', b"[1]", b""])
def test_blocks_that_do_not_fit_their_text_are_refused_when_opened(blocks: bytes) -> None:
    document, passages = written("plain.md", ("The pier is long.",))
    files = dict(stored([document], passages, [b""]))
    records = json.loads(files["documents.json"])
    records[0]["blocks_end"] = len(blocks)
    with pytest.raises(ValueError, match=r"blocks|texts|JSON|validation"):
        opened({**files, "documents.json": json.dumps(records).encode(), "blocks.bin": blocks})


@pytest.mark.parametrize("texts", [b"The pier is lon", b"The pier is long.\n", b"The pier is lon\xff.", b""])
def test_texts_that_do_not_fit_the_records_are_refused(texts: bytes) -> None:
    document, passages = written("plain.md", ("The pier is long.",))
    with pytest.raises(ValueError, match=r"texts|decode"):
        opened({**dict(stored([document], passages, [b""])), "texts.bin": texts})


# --- passages ---------------------------------------------------------------------------------------------------------


def test_passages_come_back_as_they_were_from_either_end_and_in_slices() -> None:
    documents, expected = all_written()
    _, passages = kept(documents, expected)
    assert len(passages) == len(expected)
    assert tuple(passages) == expected
    assert tuple(reversed(passages)) == expected[::-1]
    for row in range(-len(expected), len(expected)):
        assert passages[row] == expected[row]
    for some in (slice(None), slice(2, 5), slice(-3, None), slice(None, None, -2), slice(4, 2), slice(5, 1_000)):
        assert passages[some] == expected[some]
    assert passages.index(expected[3]) == 3


def test_numbers_in_a_passage_are_plain_ones_that_json_takes() -> None:
    _, passages = kept(*all_written())
    for passage in passages:
        numbers = [passage.start, passage.end, *(place for span in passage.sentences for place in span)]
        assert {type(number) for number in numbers} == {int}
        assert type(passage.page) in (int, type(None))
        assert {type(span) for span in passage.sentences} == {Span}


def test_there_is_no_passage_beyond_the_ends() -> None:
    _, passages = kept(*all_written())
    for row in (len(passages), -len(passages) - 1, 10**6, -(10**6)):
        with pytest.raises(IndexError):
            passages[row]


def test_sentence_rows_count_the_sentences_before_each_passage() -> None:
    _, passages = kept(*all_written())
    counts = [len(passage.sentences) for passage in passages]
    assert passages.sentence_rows.tolist() == np.cumsum([0, *counts]).tolist()
    assert {1, 2} == set(counts)


def test_rows_of_documents_leave_out_those_without_passages() -> None:
    documents, expected = all_written()
    _, passages = kept(documents, expected)
    rows = passages.rows_of_documents()
    assert list(rows) == [document.id for document in documents if document.text]
    for name, run in rows.items():
        assert list(run) == [row for row, passage in enumerate(expected) if passage.document == name]


def test_nothing_at_all_comes_back_as_nothing() -> None:
    documents, passages = kept((), ())
    assert (dict(documents), tuple(passages), passages.rows_of_documents()) == ({}, (), {})
    assert passages.sentence_rows.tolist() == [0]
    with pytest.raises(IndexError):
        passages[0]


@settings(deadline=None, max_examples=60)
@given(any_paragraphs)
def test_any_characters_come_back(corpus: list[list[str]]) -> None:
    pairs = [written(f"{number}.md", paragraphs) for number, paragraphs in enumerate(corpus)]
    expected = tuple(passage for _, some in pairs for passage in some)
    documents, passages = kept([document for document, _ in pairs], expected)
    assert tuple(documents.values()) == tuple(document for document, _ in pairs)
    assert tuple(passages) == expected
    for passage in passages:
        assert passage.text == documents[passage.document].text[passage.start : passage.end]


def test_threads_may_share_documents_and_passages() -> None:
    many = [written(f"{number}.md", (f"Möwe {number}.", "Sie 🎉 ruft.")) for number in range(200)]
    expected = tuple(passage for _, some in many for passage in some)
    documents, passages = kept([document for document, _ in many], expected)

    def read(seed: int) -> bool:
        rows = Random(seed).sample(range(len(expected)), len(expected))
        return all(
            passages[row] == expected[row] and documents[expected[row].document] == many[row // 2][0] for row in rows
        )

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(read, range(6))) == [True] * 6


def test_mapped_files_give_what_read_ones_give(tmp_path: Path) -> None:
    written_documents, expected = all_written()
    mapped: dict[str, Content] = {}
    for name, data in stored(written_documents, expected, readings_of(written_documents)):
        (tmp_path / name).write_bytes(data)
        mapped[name] = Mapped.of(tmp_path / name)
    documents, passages = opened(mapped)
    assert tuple(documents.values()) == written_documents
    assert tuple(passages) == expected


# --- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0,), (3,), (0, 2), (3, 2), ()])
@pytest.mark.parametrize("kind", [np.float16, np.int8, np.uint32])
def test_an_array_comes_back_as_numpy_reads_it_and_is_not_copied(
    shape: tuple[int, ...], kind: type[np.generic]
) -> None:
    values: npt.NDArray[Any] = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    content = npy(values)
    found = array(content, kind)
    assert found.dtype == values.dtype
    assert found.shape == shape
    assert np.array_equal(found, np.load(io.BytesIO(content), allow_pickle=False))
    assert not found.size or np.shares_memory(found, np.frombuffer(content, np.uint8))


def with_header(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header.encode()).to_bytes(2, "little") + header.encode() + data


def in_version(version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros((3, 2), np.float16), version)
    return buffer.getvalue()


SOUND = npy(np.zeros((3, 2), np.float16))
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([[1, "x"]] * 3, dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x93NUMPY", id="only the magic"),
        pytest.param(b"PK\x03\x04" + SOUND[4:], id="another magic"),
        pytest.param(SOUND[:-1], id="a byte less"),
        pytest.param(SOUND + b"\0", id="a byte more"),
        pytest.param(SOUND[:40], id="half a header"),
        pytest.param(OBJECTS.getvalue(), id="pickled objects"),
        pytest.param(in_version((2, 0)), id="version 2"),
        pytest.param(in_version((3, 0)), id="version 3"),
        pytest.param(npy(np.asfortranarray(np.zeros((3, 2), np.float16))), id="columns first"),
        pytest.param(npy(np.zeros((3, 2), np.float32)), id="another type"),
        pytest.param(npy(np.zeros((3, 2), ">f2")), id="the bytes the other way round"),
        pytest.param(with_header("{[]: 1}"), id="a header that cannot be a dict"),
        pytest.param(with_header("{1: 2, 'a': 3}"), id="a header with other keys"),
        pytest.param(with_header("((("), id="a header that does not end"),
        pytest.param(with_header("[" * 300), id="a deep header"),
        pytest.param(with_header("'\\"), id="half a string"),
        pytest.param(
            with_header("{'descr': '<f2', 'fortran_order': False, 'shape': (-1, -3)}", b"\0" * 6), id="less than none"
        ),
        pytest.param(
            with_header("{'descr': '<f2', 'fortran_order': False, 'shape': (0, 10**30)}"), id="a shape to work out"
        ),
        pytest.param(
            with_header(f"{{'descr': '<f2', 'fortran_order': False, 'shape': (0, {10**30})}}"), id="too long by far"
        ),
    ],
)
def test_what_is_no_such_array_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        array(content, np.float16)


@pytest.mark.parametrize("rows", [[], [3], [0, 1, 2], [9, 4, 5, 6, 0, 9], [8, 7]])
def test_rows_of_a_mapped_file_are_those_of_a_read_one(tmp_path: Path, rows: list[int]) -> None:
    values = np.arange(60, dtype=np.float16).reshape(10, 6)
    (tmp_path / "rows.npy").write_bytes(npy(values))
    for content in (npy(values), Mapped.of(tmp_path / "rows.npy")):
        found = rows_of(array(content, np.float16), np.array(rows, dtype=np.int64), content)
        assert found.dtype == values.dtype
        assert np.array_equal(found, values[rows])


def test_a_mapped_file_that_is_cut_under_the_service_is_an_error_and_no_row_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(npy(np.ones((1_000, 64), dtype=np.float16)))
    content = Mapped.of(path)
    stored = array(content, np.float16)
    with open(path, "r+b") as file:
        file.truncate(64_000)
    with pytest.raises(OSError, match="was cut"):
        rows_of(stored, np.array([2, 999]), content)
    assert stretch_of(content, 10, 20) == path.read_bytes()[10:20] == stretch_of(path.read_bytes(), 10, 20)
    with pytest.raises(OSError, match="was cut"):
        stretch_of(content, 63_990, 64_010)
