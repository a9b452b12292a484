"""Everything built from one state of the corpus: its files, and how they are checked and opened.

    index/
      current                the id of the snapshot in use
      .lock                  held while one is being built
      .building              held while a service has one built
      snapshots/<id>/
        manifest.json        <id> is this file's sha256: what built it, counts, sha256 of every other file, canaries
        documents.json       a record of each document: source, questions, where its text ends (bot/store.py)
        texts.bin            the canonical texts, one after the other
        blocks.bin           their blocks, in the same order
        readings.bin         what was read of them, in the same order (bot/readings.py)
        passages.npy         where each passage stands, in corpus order
        sentences.npy        where each of its sentences stands
        headings.json        the heading trails that passages stand under
        passages.faiss       finds the nearest passages (bot/vectors.py)
        passage_vectors.npy  one unit vector for each passage, in 16 bits
        sentence_vectors.npy one unit vector for each sentence, in 8 bits
        topic_vectors.npy    one unit vector for what stands before each passage, title and headings, in 8 bits
        vocabulary.json      the corpus' words, and its short forms with what they stand for
        lexical/             BM25 (tantivy)
        lexical_order.npy    the row of each passage, in tantivy's order

A snapshot is never changed once published. Publishing (``bot/publish.py``) is one rename of ``current``, after every
byte is on disk, so a crash leaves the old one or the new one. Opening checks every byte against the manifest before it
is parsed (FAISS has no checksums of its own), then counts and dimensions against each other, then asks the canaries.
Files are read into memory; those of a snapshot that is large beside the machine's memory are mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from mmap import MADV_DONTNEED
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bot.documents.content import READERS_VERSION
from bot.errors import SnapshotDamaged, SnapshotError, SnapshotMismatch, SnapshotMissing, SnapshotTooLarge
from bot.lexical import LEXICAL_VERSION, Lexical, read_terms
from bot.lists import NameList, name_lists
from bot.memory import memory_left, memory_limit
from bot.passages import SPLITTER_VERSION, context_of
from bot.scratch import scratch_folder
from bot.store import Content, Documents, Mapped, Passages, array
from bot.types import Document, Encoder, Passage, Span
from bot.vectors import IndexChoice, SmallVectors, Vectors, likeness, open_vectors
from bot.vocabulary import Vocabulary

#: Raise it when the files or their meaning change.
SCHEMA_VERSION = 7

_ID = re.compile("[0-9a-f]{64}")
_FILE = re.compile(r"(?:lexical/)?[\w.-]*\w")

#: All files but those that tantivy writes.
FLAT_FILES = (
    "documents.json", "texts.bin", "blocks.bin", "readings.bin", "passages.npy", "sentences.npy", "headings.json",
    "passages.faiss", "passage_vectors.npy", "sentence_vectors.npy", "topic_vectors.npy",
    "vocabulary.json", "lexical_order.npy",
)  # fmt: skip

#: What no question needs: always mapped, so that it takes no memory.
_FOR_BUILDING = "readings.bin"

#: Share of the memory that there may be beyond which a snapshot's files are mapped instead of read.
_MAPPED_BEYOND = 1 / 16

#: Bytes of memory, beside what is read, for each byte of a file that becomes objects.
_PARSED = {"documents.json": 5, "headings.json": 5, "vocabulary.json": 5}

#: How a file of tantivy ends, after its footer and the footer's size.
_TANTIVY = (1337).to_bytes(4, "little")

#: A store of tantivy's that holds nothing: no layers of an index; version 2, beginning at 0, compressed with lz4.
_NO_STORE = b"\x80" + (2).to_bytes(4, "little") + bytes(8) + b"\1" + bytes(15)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BuiltBy(_Stored):
    """What decides how documents become vectors and terms. A snapshot is only read by what would build the same."""

    schema_version: int
    encoder: str
    readers: int
    splitter: str
    lexical: int


class StoredFile(_Stored):
    """A file's size in bytes, and the sha256 of its content."""

    size: int
    sha256: str


class Canary(_Stored):
    """A question, and the row of the passage that it must find nearest."""

    question: str
    passage: int


class Manifest(_Stored):
    """What stands in ``manifest.json``. ``listing`` are the documents that hold lists of names."""

    built_by: BuiltBy
    corpus: str
    documents: int
    passages: int
    sentences: int
    dim: int
    choice: IndexChoice
    listing: list[str]
    files: dict[str, StoredFile]
    canaries: list[Canary]


_DOCUMENT = TypeAdapter(Document)
VOCABULARY = TypeAdapter(Vocabulary)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the corpus, ready to be searched. Row ``i`` of ``vectors`` stands for ``passages[i]``, of
    ``topic_vectors`` for the title and headings that it stands under.

    Rows ``sentence_rows[i]`` to ``sentence_rows[i + 1]`` of ``sentence_vectors`` stand for the sentences of
    ``passages[i]``. ``rows`` holds the rows of each document's passages, in reading order; ``document_rows[i]`` the
    first row of the document of ``passages[i]`` and the first row after it. ``likeness`` is how alike the passages are,
    0 to 1. ``listed`` holds the entries of all ``lists`` of a document.
    """

    id: str
    manifest: Manifest
    documents: Documents
    passages: Passages
    vectors: Vectors
    likeness: float
    sentence_vectors: SmallVectors
    topic_vectors: SmallVectors
    sentence_rows: npt.NDArray[np.int64]
    rows: Mapping[str, range]
    document_rows: npt.NDArray[np.int64]
    lexical: Lexical
    vocabulary: Vocabulary
    lists: tuple[NameList, ...]
    listed: Mapping[str, frozenset[Span]]

    def rows_of(self, documents: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of all passages of some documents, in corpus order."""
        runs = sorted((self.rows[name] for name in set(documents) if name in self.rows), key=lambda run: run.start)
        return np.array([row for run in runs for row in run], dtype=np.int64)

    def context(self, passage: Passage) -> str:
        """Return what stands before a passage in its document: title and headings."""
        return context_of(self.documents.record(passage.document).source.title, passage.headings)

    def passage(self, name: str) -> Passage | None:
        """Return the passage with an id, if there is one."""
        run = self.rows.get(name.rpartition("#")[0], range(0))
        return next((passage for row in run if (passage := self.passages[row]).id == name), None)


def built_by(encoder: str, aim: int) -> BuiltBy:
    """Return what a snapshot built now would state, for an encoder's fingerprint and the aimed passage length."""
    return BuiltBy(
        schema_version=SCHEMA_VERSION,
        encoder=encoder,
        readers=READERS_VERSION,
        splitter=f"{SPLITTER_VERSION}/{aim}",
        lexical=LEXICAL_VERSION,
    )


def corpus_digest(documents: Iterable[Document]) -> str:
    """Return the sha256 of what the documents hold, as the readers understood it."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(_DOCUMENT.dump_json(document) + b"\n")
    return digest.hexdigest()


# --- opening ----------------------------------------------------------------------------------------------------------


def current_id(index: Path) -> str:
    """Return the id of the snapshot in use.

    :raises SnapshotMissing: if nothing was published yet.
    """
    try:
        name = (index / "current").read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SnapshotMissing(index) from error
    except (OSError, ValueError) as error:
        raise SnapshotDamaged("current", "the file `current` cannot be read") from error
    if not _ID.fullmatch(name):
        raise SnapshotDamaged("current", "the file `current` does not hold a snapshot's id")
    return name


def snapshot_ids(index: Path) -> list[str]:
    """Return the ids of the snapshots on disk: the one in use first, then the others, newest first.

    :raises SnapshotMissing: if nothing was published yet.
    """
    others = newest_first(index)
    try:
        now = current_id(index)
    except SnapshotDamaged:
        if not others:
            raise
        return others
    return [now, *(name for name in others if name != now)]


def newest_first(index: Path) -> list[str]:
    """Return the ids of the snapshots on disk, in use or not, by the time they were built."""
    found = [path for path in (index / "snapshots").glob("*") if _ID.fullmatch(path.name) and path.is_dir()]
    return [path.name for path in sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))]


@dataclass(frozen=True, slots=True)
class Description:
    """What can be said of a snapshot without opening it; counts are 0 where its manifest is damaged."""

    id: str
    in_use: bool
    sound: bool
    built: datetime
    documents: int
    passages: int
    size: int  # bytes


def describe_snapshots(index: Path) -> list[Description]:
    """Describe the snapshots on disk: the one in use first, then the others, newest first.

    :raises SnapshotMissing: if nothing was published yet.
    """
    found: list[Description] = []
    for name in snapshot_ids(index):
        folder = index / "snapshots" / name
        try:
            manifest = read_manifest(index, name)
            counts = (manifest.documents, manifest.passages)
        except SnapshotError:
            manifest, counts = None, (0, 0)
        built = datetime.fromtimestamp(folder.stat().st_mtime if folder.exists() else 0)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        found.append(Description(name, not found, manifest is not None, built, *counts, size))
    return found


def read_manifest(index: Path, snapshot_id: str) -> Manifest:
    """Read a snapshot's manifest, checked against its id.

    :raises SnapshotDamaged: if it is not what was published.
    """
    try:
        data = (index / "snapshots" / snapshot_id / "manifest.json").read_bytes()
    except OSError as error:
        raise SnapshotDamaged(snapshot_id, f"manifest.json: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != snapshot_id:
        raise SnapshotDamaged(snapshot_id, "manifest.json is not what was published")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        found = re.search(rb'"schema_version": ?(\d{1,9})\b', data)
        built = found[1].decode() if found else "unknown"
        if built != str(SCHEMA_VERSION):
            raise SnapshotMismatch("format", built, str(SCHEMA_VERSION)) from error
        raise SnapshotDamaged(snapshot_id, "manifest.json does not have the form it should have") from error


def check_builder(manifest: Manifest, expected: BuiltBy) -> None:
    """Refuse a snapshot that something else built.

    :raises SnapshotMismatch: naming the first difference.
    """
    built = manifest.built_by
    for what, then, now in (
        ("format", built.schema_version, expected.schema_version),
        ("encoder", built.encoder, expected.encoder),
        ("document readers", built.readers, expected.readers),
        ("passage splitter", built.splitter, expected.splitter),
        ("lexical index", built.lexical, expected.lexical),
    ):
        if then != now:
            raise SnapshotMismatch(what, str(then), str(now))


def open_snapshot(folder: Path, snapshot_id: str, encoder: Encoder, *, aim: int) -> Snapshot:
    """Open a snapshot after checking every byte of it.

    :param encoder: the encoder that built it; also answers the canaries.
    :param aim: the passage length that is set now.
    :raises SnapshotDamaged: if a file is missing or differs from what was published.
    :raises SnapshotMismatch: if another encoder or splitter built it.
    :raises SnapshotTooLarge: if the memory that is left is not enough.
    """
    manifest = read_manifest(folder, snapshot_id)
    check_builder(manifest, built_by(encoder.fingerprint, aim))
    files = checked_files(folder, snapshot_id, manifest)
    with _parsing(snapshot_id):
        documents = Documents(files["documents.json"], files["texts.bin"], files["blocks.bin"], files["readings.bin"])
        passages = Passages(
            files["passages.npy"], files["sentences.npy"], files["headings.json"], files["texts.bin"], documents
        )
        index = _open_faiss(files["passages.faiss"])
        vectors = open_vectors(index, files["passage_vectors.npy"], manifest.choice)
        sentence_vectors = SmallVectors(files["sentence_vectors.npy"])
        topic_vectors = SmallVectors(files["topic_vectors.npy"])
        vocabulary = VOCABULARY.validate_json(bytes(files["vocabulary.json"]))
        lexical = _open_lexical(files)
        lists = tuple(names for name in manifest.listing for names in name_lists(documents[name]))
        rows = passages.rows_of_documents()
        sound = (
            (len(vectors), vectors.dim) == (manifest.passages, manifest.dim)
            and manifest.dim == encoder.dim
            and len(passages) == manifest.passages == len(lexical)
            and sentence_vectors.shape == (passages.sentence_rows[-1], manifest.dim)
            and topic_vectors.shape == (manifest.passages, manifest.dim)
            and len(documents) == manifest.documents
        )
        if not sound:
            raise SnapshotDamaged(snapshot_id, "its counts and dimensions do not fit each other")
        for canary in manifest.canaries:
            lexical.search(read_terms([canary.question], encoder.pieces)[0], 1)
            if not len(passages) or nearest_row(vectors, encoder, canary.question) != canary.passage:
                raise SnapshotDamaged(snapshot_id, "a canary question no longer finds its passage")
    _let_go(files)
    document_rows = np.zeros((len(passages), 2), dtype=np.int64)
    for run in rows.values():
        document_rows[run.start : run.stop] = run.start, run.stop
    return Snapshot(
        id=snapshot_id,
        manifest=manifest,
        documents=documents,
        passages=passages,
        vectors=vectors,
        likeness=likeness(vectors),
        sentence_vectors=sentence_vectors,
        topic_vectors=topic_vectors,
        sentence_rows=passages.sentence_rows,
        rows=rows,
        document_rows=document_rows,
        lexical=lexical,
        vocabulary=vocabulary,
        lists=lists,
        listed={
            one: frozenset(span for names in lists if names.document == one for span in names.entries)
            for one in manifest.listing
        },
    )


@contextlib.contextmanager
def _parsing(snapshot_id: str) -> Iterator[None]:
    """What no reader makes sense of is damaged; that tantivy panics is no ``Exception``, and its kind has no name."""
    try:
        yield
    except BaseException as error:
        known = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, MemoryError, OSError)
        if isinstance(error, known) or type(error).__name__ == "PanicException":
            raise SnapshotDamaged(snapshot_id, f"cannot be parsed ({type(error).__name__})") from error
        raise


def _open_faiss(content: Content) -> faiss.Index:
    """Bytes are parsed; what is mapped stays where it is."""
    data = np.frombuffer(content, dtype=np.uint8)
    with _faiss_limits(8 * data.size + (1 << 20)):
        if isinstance(content, bytes):
            return faiss.deserialize_index(data)
        index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size))  # type: ignore[attr-defined]
    index.referenced_objects = [data]  # type: ignore[attr-defined]  # kept open as long as the index is used
    return index


@contextlib.contextmanager
def _faiss_limits(most: int) -> Iterator[None]:
    """Nothing in a file is larger than the whole; FAISS counts four bytes for what takes one, so some room is left."""
    before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
    faiss.set_deserialization_vector_byte_limit(most)
    faiss.set_deserialization_loop_limit(most)
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(before[0])
        faiss.set_deserialization_loop_limit(before[1])


def _open_lexical(files: Mapping[str, Content]) -> Lexical:
    """Open the lexical index from a private copy of the checked bytes: tantivy reads files, and writes beside them.

    The copy can be removed at once, as tantivy keeps the files mapped that it has opened.
    """
    with scratch_folder() as copy:
        for name, data in files.items():
            if name.startswith("lexical/"):
                if not name.endswith(".json"):
                    end = _checked_by_tantivy(data)
                    if name.endswith(".store"):  # we keep nothing in it, and tantivy trusts its numbers
                        data = _NO_STORE + data[end:]
                (copy / Path(name).name).write_bytes(data)
        return Lexical(copy, array(files["lexical_order.npy"], np.int32))


def _checked_by_tantivy(data: Content) -> int:
    """Check the checksum that tantivy ends its files with and does not look at: it may abort the process otherwise.

    :return: where its footer begins.
    :raises ValueError: if it is another one.
    """
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    with memoryview(data) as whole:
        if end < 0 or data[-4:] != _TANTIVY or zlib.crc32(whole[:end]) != json.loads(data[end:-8])["crc"]:
            raise ValueError("tantivy's checksum is another")
    return end


def checked_files(index: Path, snapshot_id: str, manifest: Manifest) -> dict[str, Content]:
    """Return the content of every file, each equal to what was published; parsing uses these, not the disk again.

    :raises SnapshotDamaged: naming the first file that is not what was published.
    :raises SnapshotTooLarge: before anything is read, if the memory that is left is not enough.
    """
    folder = index / "snapshots" / snapshot_id
    mapped = sum(file.size for file in manifest.files.values()) > _MAPPED_BEYOND * memory_limit()
    needed = _memory_needed(manifest, mapped)
    if needed > memory_left():
        raise SnapshotTooLarge(snapshot_id, needed, memory_left(), memory_limit())
    files = {}
    for name, expected in manifest.files.items():
        if not _FILE.fullmatch(name):
            raise SnapshotDamaged(snapshot_id, "its manifest names a file outside it")
        path = folder / name
        try:
            if path.stat().st_size != expected.size:
                raise SnapshotDamaged(snapshot_id, f"{name} has {path.stat().st_size:,} bytes, not {expected.size:,}")
            content = Mapped.of(path) if (mapped or name == _FOR_BUILDING) and expected.size else path.read_bytes()
        except OSError as error:
            raise SnapshotDamaged(snapshot_id, f"{name}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected.sha256:
            raise SnapshotDamaged(snapshot_id, f"{name} is not what was published")
        files[name] = content
    _let_go(files)
    for name in FLAT_FILES:
        if name not in files:
            raise SnapshotDamaged(snapshot_id, f"{name} is not in its manifest")
    return files


def _let_go(files: Mapping[str, Content]) -> None:
    """What is mapped is in memory once it was checked; no question may ever need most of it."""
    for content in files.values():
        if isinstance(content, Mapped):
            content.madvise(MADV_DONTNEED)


def _memory_needed(manifest: Manifest, mapped: bool) -> int:
    """About how many bytes of memory it takes to open a snapshot: what is read, and what is made of it."""
    read = {name: 0 if mapped or name == _FOR_BUILDING else file.size for name, file in manifest.files.items()}
    made = {name: times * manifest.files[name].size for name, times in _PARSED.items() if name in manifest.files}
    return sum(read.values()) + sum(made.values()) + (0 if mapped else read.get("passages.faiss", 0))


def nearest_row(vectors: Vectors, encoder: Encoder, question: str) -> int:
    """Return the row of the nearest passage; among rows as near as float32 can tell apart, the first.

    -1 if the index, as somebody has named it, finds none.
    """
    vector = encoder.encode_question(question)[0]
    rows = vectors.nearest(vector, 4)
    cosines = vectors.cosines(vector, rows)
    return int(rows[cosines >= cosines.max() - 1e-4].min()) if len(rows) else -1
