"""Everything built from one state of the corpus: built, published and opened here.

    index/
      current                the id of the snapshot in use
      .lock                  held while one is being built
      snapshots/<id>/
        manifest.json        <id> is this file's sha256: what built it, counts, sha256 of every other file, canaries
        documents.json       a record of each document: source, questions, where its text ends (bot/store.py)
        texts.bin            the canonical texts, one after the other
        blocks.bin           their blocks, in the same order
        passages.npy         where each passage stands, in corpus order
        sentences.npy        where each of its sentences stands
        headings.json        the heading trails that passages stand under
        passages.faiss       finds the nearest passages (bot/vectors.py)
        passage_vectors.npy  one unit vector for each passage, float16
        sentence_vectors.npy one unit vector for each sentence, in 8 bits
        vocabulary.json      the corpus' words, and its short forms with what they stand for
        lexical/             BM25 (tantivy)

A snapshot is never changed once published. Publishing is one rename of ``current``, after every byte is on disk, so a
crash leaves the old one or the new one. Opening checks every byte against the manifest before it is parsed (FAISS has
no checksums of its own), then counts and dimensions against each other, then asks the canaries. Files are read into
memory; those of a snapshot that is large beside the machine's memory are mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, groupby, islice
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bot.documents.content import READERS_VERSION
from bot.errors import IndexLocked, SnapshotDamaged, SnapshotError, SnapshotMismatch, SnapshotMissing
from bot.lexical import LEXICAL_VERSION, Lexical, build_lexical, read_terms
from bot.lists import NameList, name_lists
from bot.passages import SPLITTER_VERSION, context_of, encoder_text, sentence_texts, split
from bot.store import Content, Documents, Passages, npy, stored
from bot.types import Document, Encoder, Passage, Progress
from bot.vectors import IndexChoice, SentenceVectors, Vectors, build_index, in_eight_bits, open_vectors
from bot.vocabulary import Vocabulary, learn

#: Raise it when the files or their meaning change.
SCHEMA_VERSION = 3

#: Passages whose own first sentence must find them again when a snapshot is opened.
_CANARIES = 10
_CANARY_CHARACTERS = 300

#: Snapshots that stay on disk: the one in use and the one before.
_KEEP = 2

_ID = re.compile("[0-9a-f]{64}")
_FILE = re.compile(r"(?:lexical/)?[\w.-]*\w")
_FLAT = (
    "documents.json", "texts.bin", "blocks.bin", "passages.npy", "sentences.npy", "headings.json", "passages.faiss",
    "passage_vectors.npy", "sentence_vectors.npy", "vocabulary.json",
)  # fmt: skip

#: Share of the machine's memory beyond which a snapshot's files are mapped instead of read.
_MAPPED_BEYOND = 1 / 16

#: Texts that are encoded at a time: their vectors in full precision are in memory together.
_BATCH = 20_000

#: How a file of tantivy ends, after its footer and the footer's size.
_TANTIVY = (1337).to_bytes(4, "little")


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BuiltBy(_Stored):
    """What decides how documents become vectors and terms. A snapshot is only read by what would build the same."""

    schema_version: int
    encoder: str
    readers: int
    splitter: str
    lexical: int


class _File(_Stored):
    size: int
    sha256: str


class _Canary(_Stored):
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
    files: dict[str, _File]
    canaries: list[_Canary]


_DOCUMENT = TypeAdapter(Document)
_VOCABULARY = TypeAdapter(Vocabulary)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the corpus, ready to be searched. Row ``i`` of ``vectors`` stands for ``passages[i]``.

    Rows ``sentence_rows[i]`` to ``sentence_rows[i + 1]`` of ``sentence_vectors`` stand for the sentences of
    ``passages[i]``. ``rows`` holds the rows of each document's passages, in reading order; ``document_rows[i]`` the
    first row of the document of ``passages[i]`` and the first row after it.
    """

    id: str
    manifest: Manifest
    documents: Documents
    passages: Passages
    vectors: Vectors
    sentence_vectors: SentenceVectors
    sentence_rows: npt.NDArray[np.int64]
    rows: Mapping[str, range]
    document_rows: npt.NDArray[np.int64]
    lexical: Lexical
    vocabulary: Vocabulary
    lists: tuple[NameList, ...]

    def rows_of(self, documents: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of all passages of some documents, in corpus order."""
        runs = sorted((self.rows[name] for name in set(documents) if name in self.rows), key=lambda run: run.start)
        return np.array([row for run in runs for row in run], dtype=np.int64)

    def passage(self, name: str) -> Passage | None:
        """Return the passage with an id, if there is one."""
        run = self.rows.get(name.rpartition("#")[0], range(0))
        return next((passage for row in run if (passage := self.passages[row]).id == name), None)


# --- building ---------------------------------------------------------------------------------------------------------


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


def publish(
    documents: Sequence[Document],
    encoder: Encoder,
    index: Path,
    *,
    aim: int,
    progress: Callable[[int], Progress] | None = None,
    factory: str | None = None,
    before: Snapshot | None = None,
) -> str:
    """Build a snapshot of some documents, put it in use, and return its id.

    Until the last step the snapshot in use is not touched; when anything fails it stays in use.

    :param aim: the length a passage aims at, in tokens.
    :param factory: what FAISS' ``index_factory`` should make; ``None`` chooses by size.
    :param before: a snapshot that the same encoder and splitter built; the passages and vectors of documents that are
        still the same are taken from it.
    :param progress: told how many texts will be encoded; what it returns is told how many are done.
    :raises IndexLocked: if another process is building in the same folder.
    :raises SnapshotError: if the disk refuses, with its reason, or FAISS cannot build the index that is asked for.
    """
    try:
        (index / "snapshots").mkdir(parents=True, exist_ok=True)
        with _locked(index):
            for leftover in (index / "snapshots").glob(".building-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            for pointer in index.glob(".current-*"):
                pointer.unlink()
            folder = index / "snapshots" / f".building-{os.getpid()}"
            try:
                folder.mkdir()
                manifest = _write(documents, encoder, folder, aim, progress, factory, before)
                snapshot_id = hashlib.sha256(manifest).hexdigest()
                home = index / "snapshots" / snapshot_id
                if home.exists():  # damaged, or it would not have been built again
                    shutil.rmtree(home)
                folder.rename(home)
                _sync_folder(home.parent)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            _point(index, snapshot_id)
            _forget_old(index, snapshot_id)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise SnapshotError(f"the snapshot could not be written: {error.strerror or error}{place}") from error
    except ValueError as error:
        raise SnapshotError(f"the snapshot could not be built: {error}") from error
    return snapshot_id


def _write(
    documents: Sequence[Document],
    encoder: Encoder,
    folder: Path,
    aim: int,
    progress: Callable[[int], Progress] | None,
    factory: str | None,
    before: Snapshot | None,
) -> bytes:
    """Write every file of a snapshot and return its manifest."""
    by_id = {document.id: document for document in documents}
    same = {name: rows for name, rows in (before.rows if before else {}).items() if _is_same(before, by_id.get(name))}
    passages: list[Passage] = []
    for document in documents:
        rows = same.get(document.id)
        passages += before.passages[rows.start : rows.stop] if before and rows else split(document, encoder, aim=aim)
    vectors, sentence_vectors = _vectors(by_id, passages, encoder, progress, before, same)
    index, choice = build_index(vectors, factory)
    searched = Vectors(index, vectors, choice)
    canaries = []
    for row in sorted({round(n) for n in np.linspace(0, len(passages) - 1, min(_CANARIES, len(passages)))}):
        question = passages[row].sentence_text(0)[:_CANARY_CHARACTERS]
        canaries.append(_Canary(question=question, passage=_nearest(searched, encoder, question)))

    for name, data in stored(documents, passages):
        _write_file(folder / name, data)
    _write_file(folder / "passages.faiss", faiss.serialize_index(index).data)
    _write_file(folder / "passage_vectors.npy", npy(vectors))
    _write_file(folder / "sentence_vectors.npy", npy(sentence_vectors))
    _write_file(folder / "vocabulary.json", _VOCABULARY.dump_json(learn(document.text for document in documents)))
    (folder / "lexical").mkdir()
    with_context = [context_of(by_id[p.document].source.title, p.headings) + p.text for p in passages]
    build_lexical(with_context, [p.document for p in passages], encoder.pieces, folder / "lexical")
    for path in (folder / "lexical").iterdir():
        if path.suffix == ".lock":
            path.unlink()
        else:
            _sync(path)
    _sync_folder(folder / "lexical")

    files = {name: _file(folder / name) for name in (*_FLAT, *_lexical_names(folder))}
    manifest = Manifest(
        built_by=built_by(encoder.fingerprint, aim),
        corpus=corpus_digest(documents),
        documents=len(documents),
        passages=len(passages),
        sentences=len(sentence_vectors),
        dim=encoder.dim,
        choice=choice,
        listing=[document.id for document in documents if any(True for _ in name_lists(document))],
        files=files,
        canaries=canaries,
    )
    data = manifest.model_dump_json(indent=1).encode()
    _write_file(folder / "manifest.json", data)
    _sync_folder(folder)
    return data


def _is_same(before: Snapshot | None, document: Document | None) -> bool:
    return before is not None and document is not None and before.documents[document.id] == document


def _vectors(
    documents: Mapping[str, Document],
    passages: Sequence[Passage],
    encoder: Encoder,
    progress: Callable[[int], Progress] | None,
    before: Snapshot | None,
    same: Mapping[str, range],
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int8]]:
    """Return the vectors of passages and sentences as they are stored: those before where the document is the same,
    else new ones."""
    sentence_rows = np.cumsum([0, *(len(passage.sentences) for passage in passages)], dtype=np.int64)
    vectors = np.zeros((len(passages), encoder.dim), dtype=np.float16)
    sentence_vectors = in_eight_bits(np.zeros((int(sentence_rows[-1]), encoder.dim), dtype=np.float32))
    new: list[int] = []
    row = 0
    for name, run in groupby(passages, key=lambda passage: passage.document):
        count = sum(1 for _ in run)
        if before is not None and name in same:
            old = same[name]
            vectors[row : row + count] = before.vectors.stored[old.start : old.stop]
            first, last = before.sentence_rows[old.start], before.sentence_rows[old.stop]
            at = sentence_rows[row]
            sentence_vectors[at : at + last - first] = before.sentence_vectors.stored[first:last]
        else:
            new += range(row, row + count)
        row += count
    texts = (encoder_text(documents[passages[row].document], passages[row], encoder) for row in new)
    sentences = (
        text for row in new for text in sentence_texts(documents[passages[row].document], passages[row], encoder)
    )
    total = len(new) + int((sentence_rows[1:] - sentence_rows[:-1])[new].sum())
    report = progress(total) if progress else None
    places = chain(new, (at for row in new for at in range(sentence_rows[row], sentence_rows[row + 1])))
    done = 0
    for kind, some in ((vectors, texts), (sentence_vectors, sentences)):
        while batch := list(islice(some, _BATCH)):
            rows = list(islice(places, len(batch)))
            told = partial(_told, report, done) if report else None
            found = encoder.encode_passages(batch, told)
            kind[rows] = found if kind is vectors else in_eight_bits(found)
            done += len(batch)
    return vectors, sentence_vectors


def _told(report: Progress, before: int, done: int) -> None:
    report(before + done)


def _lexical_names(folder: Path) -> list[str]:
    return sorted(f"lexical/{path.name}" for path in (folder / "lexical").iterdir() if path.suffix != ".lock")


def _file(path: Path) -> _File:
    with open(path, "rb") as file:
        return _File(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


@contextlib.contextmanager
def _locked(index: Path) -> Iterator[None]:
    lock = FileLock(index / ".lock")
    try:
        lock.acquire(timeout=0.2)  # whoever has it then has said so
    except Timeout as error:
        holder = (index / ".lock").read_text(encoding="ascii", errors="replace").strip()
        raise IndexLocked(index, holder) from error
    try:
        (index / ".lock").write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Writing and synchronising do not say which file could not be."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _write_file(path: Path, data: bytes | memoryview) -> None:
    with _naming(path), open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    with _naming(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_sync_folder = _sync  # on Linux a folder is synchronised like a file


def _point(index: Path, snapshot_id: str) -> None:
    """Put a snapshot in use, atomically."""
    new = index / f".current-{os.getpid()}"
    try:
        new.unlink(missing_ok=True)
        _write_file(new, snapshot_id.encode() + b"\n")
        new.rename(index / "current")
        _sync_folder(index)
    finally:
        new.unlink(missing_ok=True)


def _forget_old(index: Path, snapshot_id: str) -> None:
    for old in [name for name in _newest_first(index) if name != snapshot_id][_KEEP - 1 :]:
        shutil.rmtree(index / "snapshots" / old, ignore_errors=True)


def put_in_use(index: Path, snapshot_id: str) -> None:
    """Put a snapshot that is on disk in use.

    :raises IndexLocked: if another process is building in the same folder.
    :raises SnapshotError: if the disk refuses.
    """
    try:
        with _locked(index):
            _point(index, snapshot_id)
    except OSError as error:
        raise SnapshotError(f"the snapshot could not be put in use: {error.strerror or error}") from error


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
    others = _newest_first(index)
    try:
        now = current_id(index)
    except SnapshotDamaged:
        if not others:
            raise
        return others
    return [now, *(name for name in others if name != now)]


def _newest_first(index: Path) -> list[str]:
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
    """
    manifest = read_manifest(folder, snapshot_id)
    check_builder(manifest, built_by(encoder.fingerprint, aim))
    files = checked_files(folder, snapshot_id, manifest)
    with _parsing(snapshot_id):
        documents = Documents(files["documents.json"], files["texts.bin"], files["blocks.bin"])
        passages = Passages(
            files["passages.npy"], files["sentences.npy"], files["headings.json"], files["texts.bin"], documents
        )
        index = _open_faiss(files["passages.faiss"])
        vectors = open_vectors(index, files["passage_vectors.npy"], manifest.choice)
        sentence_vectors = SentenceVectors(files["sentence_vectors.npy"])
        vocabulary = _VOCABULARY.validate_json(bytes(files["vocabulary.json"]))
        lexical = _open_lexical(files)
        lists = tuple(names for name in manifest.listing for names in name_lists(documents[name]))
        rows = passages.rows_of_documents()
        sound = (
            (len(vectors), vectors.dim) == (manifest.passages, manifest.dim)
            and manifest.dim == encoder.dim
            and len(passages) == manifest.passages == len(lexical)
            and sentence_vectors.shape == (passages.sentence_rows[-1], manifest.dim)
            and len(documents) == manifest.documents
        )
        if not sound:
            raise SnapshotDamaged(snapshot_id, "its counts and dimensions do not fit each other")
        for canary in manifest.canaries:
            lexical.search(read_terms([canary.question], encoder.pieces)[0], 1)
            if not len(passages) or _nearest(vectors, encoder, canary.question) != canary.passage:
                raise SnapshotDamaged(snapshot_id, "a canary question no longer finds its passage")
    document_rows = np.zeros((len(passages), 2), dtype=np.int64)
    for run in rows.values():
        document_rows[run.start : run.stop] = run.start, run.stop
    return Snapshot(
        id=snapshot_id,
        manifest=manifest,
        documents=documents,
        passages=passages,
        vectors=vectors,
        sentence_vectors=sentence_vectors,
        sentence_rows=passages.sentence_rows,
        rows=rows,
        document_rows=document_rows,
        lexical=lexical,
        vocabulary=vocabulary,
        lists=lists,
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
    with tempfile.TemporaryDirectory(prefix="signpost-", ignore_cleanup_errors=True) as copy:
        for name, data in files.items():
            if name.startswith("lexical/"):
                if not name.endswith(".json"):
                    _check_tantivy(data)
                (Path(copy) / Path(name).name).write_bytes(data)
        return Lexical(Path(copy))


def _check_tantivy(data: Content) -> None:
    """Check the checksum that tantivy ends its files with and does not look at: it may abort the process otherwise.

    :raises ValueError: if it is another one.
    """
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    with memoryview(data) as whole:
        if end < 0 or data[-4:] != _TANTIVY or zlib.crc32(whole[:end]) != json.loads(data[end:-8])["crc"]:
            raise ValueError("tantivy's checksum is another")


def checked_files(index: Path, snapshot_id: str, manifest: Manifest) -> dict[str, Content]:
    """Return the content of every file, each equal to what was published; parsing uses these, not the disk again.

    :raises SnapshotDamaged: naming the first file that is not what was published.
    """
    folder = index / "snapshots" / snapshot_id
    size = sum(file.size for file in manifest.files.values())
    mapped = size > _MAPPED_BEYOND * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = {}
    for name, expected in manifest.files.items():
        if not _FILE.fullmatch(name):
            raise SnapshotDamaged(snapshot_id, "its manifest names a file outside it")
        path = folder / name
        try:
            if path.stat().st_size != expected.size:
                raise SnapshotDamaged(snapshot_id, f"{name} has {path.stat().st_size:,} bytes, not {expected.size:,}")
            content = _mapped(path) if mapped and expected.size else path.read_bytes()
        except OSError as error:
            raise SnapshotDamaged(snapshot_id, f"{name}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected.sha256:
            raise SnapshotDamaged(snapshot_id, f"{name} is not what was published")
        if isinstance(content, mmap):
            content.madvise(MADV_DONTNEED)  # reading it for the digest has filled the memory with it
        files[name] = content
    for name in _FLAT:
        if name not in files:
            raise SnapshotDamaged(snapshot_id, f"{name} is not in its manifest")
    return files


def _mapped(path: Path) -> mmap:
    with open(path, "rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def _nearest(vectors: Vectors, encoder: Encoder, question: str) -> int:
    """The row of the nearest passage; among rows as near as float32 can tell apart, the first."""
    vector = encoder.encode_question(question)[0]
    rows = vectors.nearest(vector, 4)
    cosines = vectors.of(rows) @ vector
    return int(rows[cosines >= cosines.max() - 1e-4].min())
