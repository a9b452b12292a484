"""Documents and passages on disk, each made when it is asked for.

A corpus of a million passages would fill the memory with objects that nobody asks for, so what is kept open is bytes
and numbers, which may be memory-mapped: ``texts.bin`` holds the canonical texts one after the other in UTF-8,
``blocks.bin`` their blocks as JSON, ``readings.bin`` what was read of them (``bot/readings.py``), ``documents.json`` a
record of each document, ``passages.npy`` where each passage stands, ``sentences.npy`` where each sentence does,
``headings.json`` the heading trails.
"""

from __future__ import annotations

import io
import json
import math
import os
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from bot.types import Block, Document, Passage, Source, Span


class Mapped(mmap):
    """A file's content, in memory as far as it was looked at; open, so that rows can be read and not stay there."""

    descriptor: int

    @classmethod
    def of(cls, path: Path) -> Mapped:
        """Map a file, which must not be empty."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            made = cls(descriptor, 0, access=ACCESS_READ)
        except BaseException:
            os.close(descriptor)
            raise
        made.descriptor = descriptor
        return made

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


#: What a file holds: read, or mapped where it is large.
Content: TypeAlias = bytes | Mapped

#: One passage: number of its document; its offsets; its bytes in ``texts.bin``; number of its heading trail; its page,
#: 0 for none; the number of its first sentence.
_PLACE = np.dtype(
    [
        ("document", "<u4"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("first_byte", "<u8"),
        ("last_byte", "<u8"),
        ("headings", "<u4"),
        ("page", "<u4"),
        ("sentence", "<u8"),
    ]
)
_SENTENCE = np.dtype("<u4")

_CUT = "a file of the snapshot in use was cut"

#: Documents and passages that are kept once made.
_KEPT, _KEPT_PASSAGES = 128, 2_048


@dataclass(frozen=True, slots=True)
class Record:
    """A document without its text, which has ``characters`` and ends, like its blocks and reading, at a byte of their
    files."""

    id: str
    sha256: str
    source: Source
    questions: tuple[str, ...]
    notes: tuple[str, ...]
    characters: int
    text_end: int
    blocks_end: int
    reading_end: int


_RECORDS = TypeAdapter(tuple[Record, ...])
_BLOCKS = TypeAdapter(tuple[Block, ...])
_TRAILS = TypeAdapter(tuple[tuple[str, ...], ...])


class Documents(Mapping[str, Document]):
    """The documents by id, in corpus order. Threads may share one.

    :raises ValueError: if the files do not fit each other.
    """

    def __init__(self, records: Content, texts: Content, blocks: Content, readings: Content) -> None:
        self.records = _RECORDS.validate_json(bytes(records))
        self._texts, self._blocks, self._readings = texts, blocks, readings
        self._numbers = {record.id: number for number, record in enumerate(self.records)}
        self.starts = [0, *(record.text_end for record in self.records)]
        self._block_starts = [0, *(record.blocks_end for record in self.records)]
        self._reading_starts = [0, *(record.reading_end for record in self.records)]
        if (
            len(self._numbers) != len(self.records)
            or any(sorted(ends) != ends for ends in (self.starts, self._block_starts, self._reading_starts))
            or (self.starts[-1], self._block_starts[-1]) != (len(texts), len(blocks))
            or self._reading_starts[-1] != len(readings)
            or any(len(self._text(number)) != record.characters for number, record in enumerate(self.records))
            or not all(map(self._blocks_fit, range(len(self.records))))
        ):
            raise ValueError("documents do not fit their texts")
        self._made = lru_cache(_KEPT)(self._make)

    def _text(self, number: int) -> str:
        return self._texts[self.starts[number] : self.starts[number + 1]].decode()

    def _blocks_of(self, number: int) -> tuple[Block, ...]:
        return _BLOCKS.validate_json(self._blocks[self._block_starts[number] : self._block_starts[number + 1]])

    def _blocks_fit(self, number: int) -> bool:
        """Whether a document's blocks stand in its text, one after the other."""
        places = [0]
        for block in self._blocks_of(number):
            places += (block.start, block.end)
        return sorted(places) == places and places[-1] <= self.records[number].characters

    def _make(self, name: str) -> Document:
        number = self._numbers[name]
        record = self.records[number]
        blocks = _BLOCKS.validate_json(
            stretch_of(self._blocks, self._block_starts[number], self._block_starts[number + 1])
        )
        text = stretch_of(self._texts, self.starts[number], self.starts[number + 1]).decode()
        return Document(record.id, record.sha256, record.source, text, blocks, record.questions, record.notes)

    def __getitem__(self, name: str) -> Document:
        return self._made(name)

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self.records)

    def record(self, name: str) -> Record:
        """Return what is known of a document without reading it."""
        return self.records[self._numbers[name]]

    def reading(self, name: str) -> bytes:
        """Return what was read of a document, as it is stored."""
        number = self._numbers[name]
        return self._readings[self._reading_starts[number] : self._reading_starts[number + 1]]


class Passages(Sequence[Passage]):
    """The passages in corpus order. Threads may share one.

    :raises ValueError: if the files do not fit each other, or the documents.
    """

    def __init__(
        self, places: Content, sentences: Content, headings: Content, texts: Content, documents: Documents
    ) -> None:
        self._places = array(places, _PLACE)
        self._sentences = array(sentences, _SENTENCE)
        self._trails = _TRAILS.validate_json(bytes(headings))
        self._texts = texts
        self._ids = tuple(documents)
        self._made = lru_cache(_KEPT_PASSAGES)(self._make)
        if self._places.ndim != 1 or self._sentences.ndim != 2 or self._sentences.shape[1] != 2:
            raise ValueError("the passages have another form")
        self.sentence_rows = np.append(self._places["sentence"].astype(np.int64), len(self._sentences))
        if self.sentence_rows[0] != 0 or (np.diff(self.sentence_rows) <= 0).any():
            raise ValueError("a passage has no sentence")
        self._check(documents)

    def _check(self, documents: Documents) -> None:
        """Every passage lies in its document, in order, and every sentence in its passage; bytes fit characters."""
        places, sentences, rows = self._places, self._sentences.astype(np.int64), self.sentence_rows
        numbers, lengths = places["document"], np.array([record.characters for record in documents.records], np.int64)
        starts, ends = places["start"].astype(np.int64), places["end"].astype(np.int64)
        if not len(places):
            return
        owners = np.repeat(np.arange(len(places)), np.diff(rows))
        follows = owners[1:] == owners[:-1]
        sound = (
            (np.diff(numbers.astype(np.int64)) >= 0).all()
            and numbers[-1] < len(lengths)
            and (starts < ends).all()
            and (ends <= lengths[numbers]).all()
            and places["headings"].max() < len(self._trails)
            and (sentences[:, 0] < sentences[:, 1]).all()
            and (sentences[:, 0] >= starts[owners]).all()
            and (sentences[:, 1] <= ends[owners]).all()
            and (sentences[1:, 0] >= sentences[:-1, 1])[follows].all()
            and (places["first_byte"].astype(np.int64) >= np.array(documents.starts)[numbers]).all()
            and (places["last_byte"].astype(np.int64) <= np.array(documents.starts)[numbers + 1]).all()
            and self._stand_where_they_say(documents)
        )
        if not sound:
            raise ValueError("the passages do not fit their documents")

    def _stand_where_they_say(self, documents: Documents) -> bool:
        """Whether the bytes of each passage are its characters: as many, and as many before it in its document."""
        document, byte, character = -1, 0, 0
        for place in self._places:
            if place["document"] != document:
                document = int(place["document"])
                byte, character = documents.starts[document], 0
            if place["first_byte"] < byte:
                return False
            character += len(self._texts[byte : int(place["first_byte"])].decode())
            byte = int(place["first_byte"])
            if (character, len(self._text(place))) != (place["start"], place["end"] - place["start"]):
                return False
        return True

    def _text(self, place: np.void) -> str:
        return self._texts[int(place["first_byte"]) : int(place["last_byte"])].decode()

    @overload
    def __getitem__(self, row: int) -> Passage: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Passage, ...]: ...
    def __getitem__(self, row: int | slice) -> Passage | tuple[Passage, ...]:
        if isinstance(row, slice):
            return tuple(self[number] for number in range(*row.indices(len(self))))
        return self._made(range(len(self))[row])

    def _make(self, row: int) -> Passage:
        place = self._places[row]
        first, last = self.sentence_rows[row], self.sentence_rows[row + 1]
        return Passage(
            document=self._ids[place["document"]],
            start=int(place["start"]),
            end=int(place["end"]),
            text=stretch_of(self._texts, int(place["first_byte"]), int(place["last_byte"])).decode(),
            headings=self._trails[place["headings"]],
            sentences=tuple(Span(start, end) for start, end in self._sentences[first:last].tolist()),
            page=int(place["page"]) or None,
        )

    def __len__(self) -> int:
        return len(self._places)

    def rows_of_documents(self) -> dict[str, range]:
        """Return the rows of each document that has passages; they stand together."""
        numbers = self._places["document"]
        changes = np.flatnonzero(np.diff(numbers)) + 1
        bounds = pairwise([0, *changes.tolist(), len(numbers)] if len(numbers) else [])
        return {self._ids[numbers[first]]: range(first, last) for first, last in bounds}


def stored(
    documents: Sequence[Document], passages: Sequence[Passage], readings: Sequence[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield the files that :class:`Documents` and :class:`Passages` open, by name.

    :param passages: of the documents, in the same order.
    :param readings: what was read of each document.
    """
    texts = [document.text.encode() for document in documents]
    blocks = [_BLOCKS.dump_json(document.blocks) for document in documents]
    yield "texts.bin", b"".join(texts)
    yield "blocks.bin", b"".join(blocks)
    yield "readings.bin", b"".join(readings)
    text_ends, block_ends, reading_ends = (list(accumulate(map(len, parts))) for parts in (texts, blocks, readings))
    records = (
        Record(
            document.id,
            document.sha256,
            document.source,
            document.questions,
            document.notes,
            document.characters,
            *ends,
        )
        for document, *ends in zip(documents, text_ends, block_ends, reading_ends, strict=True)
    )
    yield "documents.json", _RECORDS.dump_json(tuple(records))
    trails: dict[tuple[str, ...], int] = {}
    sentence_rows = list(accumulate((len(passage.sentences) for passage in passages), initial=0))
    starts = dict(zip((document.id for document in documents), [0, *text_ends], strict=False))
    numbers = {document.id: number for number, document in enumerate(documents)}
    places = np.zeros(len(passages), dtype=_PLACE)
    for row, (passage, (first, last)) in enumerate(zip(passages, _bytes_of(documents, passages), strict=True)):
        number = numbers[passage.document]
        places[row] = (
            number,
            passage.start,
            passage.end,
            starts[passage.document] + first,
            starts[passage.document] + last,
            trails.setdefault(passage.headings, len(trails)),
            passage.page or 0,
            sentence_rows[row],
        )
    yield "passages.npy", npy(places)
    yield "headings.json", json.dumps(list(trails), ensure_ascii=False).encode()
    spans = [span for passage in passages for span in passage.sentences]
    yield "sentences.npy", npy(np.array(spans, dtype=_SENTENCE).reshape(-1, 2))


def _bytes_of(documents: Sequence[Document], passages: Sequence[Passage]) -> Iterator[tuple[int, int]]:
    """Yield where each passage begins and ends among the bytes of its document's text."""
    texts = {document.id: document.text for document in documents}
    document, at, byte = "", 0, 0
    for passage in passages:  # in reading order, so that no text is counted twice
        if passage.document != document:
            document, at, byte = passage.document, 0, 0
        byte += len(texts[document][at : passage.start].encode())
        at = passage.start
        yield byte, byte + len(passage.text.encode())


def npy(values: npt.NDArray[Any]) -> bytes:
    """Return an array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def array(content: Content, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the array in a ``.npy`` file, without a copy.

    :raises ValueError: if it is no such file, of another type, or of another size.
    """
    head = io.BytesIO(content[:1_024])
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError("another version of .npy")
    try:
        shape, columns_first, found = np.lib.format.read_array_header_1_0(head)
    except (TypeError, tokenize.TokenError) as error:  # what numpy lets through of a header that is no dict
        raise ValueError("no header of .npy") from error
    if found != dtype or columns_first or len(content) != head.tell() + math.prod(shape) * found.itemsize:
        raise ValueError(f"holds {found} in {shape}, or is cut")
    return np.frombuffer(content, dtype, count=math.prod(shape), offset=head.tell()).reshape(shape)


def stretch_of(content: Content, first: int, last: int) -> bytes:
    """Return some bytes of a file; those of a mapped one do not stay in memory, nor what stands around them."""
    if not isinstance(content, Mapped):
        return content[first:last]
    found = os.pread(content.descriptor, last - first, first)
    if len(found) < last - first:
        raise OSError(_CUT)
    return found


def rows_of(stored: npt.NDArray[Any], rows: npt.NDArray[np.int64], content: Content) -> npt.NDArray[Any]:
    """Return some rows of the array in a file.

    Of a mapped one the system would keep in memory whatever stands around each row that is looked at, and soon all.
    """
    if not isinstance(content, Mapped):
        found: npt.NDArray[Any] = stored[rows]
        return found
    found = np.empty((len(rows), *stored.shape[1:]), stored.dtype)
    size, before = stored.strides[0], len(content) - stored.nbytes
    ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)] if len(rows) else []
    for first, last in pairwise([0, *ends]):
        run = found[first:last]
        if os.preadv(content.descriptor, [run.data], before + int(rows[first]) * size) < run.nbytes:
            raise OSError(_CUT)
    return found
