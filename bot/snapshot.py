"""Everything built from one state of the corpus: built, published and opened here.

    index/
      current                the id of the snapshot in use
      .lock                  held while one is being built
      snapshots/<id>/
        manifest.json        <id> is this file's sha256: what built it, counts, sha256 of every other file, canaries
        documents.json       source records, canonical texts, blocks
        passages.json        where each passage and each of its sentences stands, in corpus order
        passages.faiss       one unit vector for each passage, exact inner product
        sentences.npy        one unit vector for each sentence, in the order of the passages, float16
        vocabulary.json      the corpus' words, and its short forms with what they stand for
        lexical/             BM25 (tantivy)

A snapshot is never changed once published. Publishing is one rename of ``current``, after every byte is on disk, so a
crash leaves the old one or the new one. Opening checks every byte against the manifest before it is parsed (FAISS has
no checksums of its own), then counts and dimensions against each other, then asks the canaries.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bot.errors import IndexLocked, SnapshotDamaged, SnapshotError, SnapshotMismatch, SnapshotMissing
from bot.lexical import LEXICAL_VERSION, Lexical, build_lexical
from bot.lists import NameList, name_lists
from bot.passages import SPLITTER_VERSION, context_of, encoder_text, sentence_texts, split
from bot.types import Document, Embeddings, Encoder, Passage, Progress, Span
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
_FLAT = ("documents.json", "passages.json", "passages.faiss", "sentences.npy", "vocabulary.json")


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BuiltBy(_Stored):
    """What decides how documents become vectors and terms. A snapshot is only read by what would build the same."""

    schema_version: int
    encoder: str
    splitter: str
    lexical: int


class _File(_Stored):
    size: int
    sha256: str


class _Canary(_Stored):
    question: str
    passage: int


class Manifest(_Stored):
    """What stands in ``manifest.json``."""

    built_by: BuiltBy
    corpus: str
    documents: int
    passages: int
    sentences: int
    dim: int
    files: dict[str, _File]
    canaries: list[_Canary]


#: A stored passage: number of its document, start, end, headings, its sentences' offsets, page.
_StoredPassage = tuple[int, int, int, tuple[str, ...], tuple[tuple[int, int], ...], int | None]
_DOCUMENTS = TypeAdapter(tuple[Document, ...])
_PASSAGES = TypeAdapter(tuple[_StoredPassage, ...])
_VOCABULARY = TypeAdapter(Vocabulary)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the corpus, ready to be searched. Row ``i`` of ``vectors`` stands for ``passages[i]``.

    Rows ``sentence_rows[i]`` to ``sentence_rows[i + 1]`` of ``sentence_vectors``, shape ``(sentences, dim)``, float16,
    stand for the sentences of ``passages[i]``. ``rows`` holds the rows of each document's passages, in reading order;
    ``document_rows[i]`` the first row of the document of ``passages[i]`` and the first row after it.
    """

    id: str
    manifest: Manifest
    documents: Mapping[str, Document]
    passages: tuple[Passage, ...]
    vectors: faiss.Index
    sentence_vectors: npt.NDArray[np.float16]
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
        return next((self.passages[row] for row in run if self.passages[row].id == name), None)


# --- building ---------------------------------------------------------------------------------------------------------


def built_by(encoder: str, aim: int) -> BuiltBy:
    """Return what a snapshot built now would state, for an encoder's fingerprint and the aimed passage length."""
    return BuiltBy(
        schema_version=SCHEMA_VERSION,
        encoder=encoder,
        splitter=f"{SPLITTER_VERSION}/{aim}",
        lexical=LEXICAL_VERSION,
    )


def corpus_digest(documents: Iterable[Document]) -> str:
    """Return the sha256 of what the documents hold, as the readers understood it."""
    return hashlib.sha256(_DOCUMENTS.dump_json(tuple(documents))).hexdigest()


def publish(
    documents: Sequence[Document],
    encoder: Encoder,
    index: Path,
    *,
    aim: int,
    progress: Callable[[int], Progress] | None = None,
) -> str:
    """Build a snapshot of some documents, put it in use, and return its id.

    Until the last step the snapshot in use is not touched; when anything fails it stays in use.

    :param aim: the length a passage aims at, in tokens.
    :param progress: told how many texts will be encoded; what it returns is told how many are done.
    :raises IndexLocked: if another process is building in the same folder.
    :raises SnapshotError: if the disk refuses, with its reason.
    """
    try:
        (index / "snapshots").mkdir(parents=True, exist_ok=True)
        with _locked(index):
            for leftover in (index / "snapshots").glob(".building-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = index / "snapshots" / f".building-{os.getpid()}"
            try:
                folder.mkdir()
                manifest = _write(documents, encoder, folder, aim, progress)
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
    return snapshot_id


def _write(
    documents: Sequence[Document], encoder: Encoder, folder: Path, aim: int, progress: Callable[[int], Progress] | None
) -> bytes:
    """Write every file of a snapshot and return its manifest."""
    by_id = {document.id: document for document in documents}
    numbers = {document.id: number for number, document in enumerate(documents)}
    passages = [passage for document in documents for passage in split(document, encoder, aim=aim)]
    sentences = [text for p in passages for text in sentence_texts(by_id[p.document], p, encoder)]
    texts = [encoder_text(by_id[passage.document], passage, encoder) for passage in passages]
    vectors = encoder.encode_passages(texts + sentences, progress(len(texts) + len(sentences)) if progress else None)
    index = faiss.IndexFlatIP(encoder.dim)
    if passages:
        index.add(vectors[: len(texts)])
    canaries = []
    for row in sorted({round(n) for n in np.linspace(0, len(passages) - 1, min(_CANARIES, len(passages)))}):
        question = passages[row].sentence_text(0)[:_CANARY_CHARACTERS]
        canaries.append(_Canary(question=question, passage=_nearest(index, encoder.encode_question(question))))

    _write_file(folder / "documents.json", _DOCUMENTS.dump_json(tuple(documents)))
    stored = [
        (numbers[passage.document], passage.start, passage.end, passage.headings, passage.sentences, passage.page)
        for passage in passages
    ]
    _write_file(folder / "passages.json", json.dumps(stored, ensure_ascii=False).encode())
    _write_file(folder / "passages.faiss", faiss.serialize_index(index).tobytes())
    buffer = io.BytesIO()
    np.save(buffer, vectors[len(texts) :].astype(np.float16), allow_pickle=False)
    _write_file(folder / "sentences.npy", buffer.getvalue())
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
        sentences=len(sentences),
        dim=encoder.dim,
        files=files,
        canaries=canaries,
    )
    data = manifest.model_dump_json(indent=1).encode()
    _write_file(folder / "manifest.json", data)
    _sync_folder(folder)
    return data


def _lexical_names(folder: Path) -> list[str]:
    return sorted(f"lexical/{path.name}" for path in (folder / "lexical").iterdir() if path.suffix != ".lock")


def _file(path: Path) -> _File:
    data = path.read_bytes()
    return _File(size=len(data), sha256=hashlib.sha256(data).hexdigest())


@contextlib.contextmanager
def _locked(index: Path) -> Iterator[None]:
    lock = FileLock(index / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise IndexLocked(index) from error
    try:
        yield
    finally:
        lock.release()


def _write_file(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
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
        ("passage splitter", built.splitter, expected.splitter),
        ("lexical index", built.lexical, expected.lexical),
    ):
        if then != now:
            raise SnapshotMismatch(what, str(then), str(now))


def open_snapshot(index: Path, snapshot_id: str, encoder: Encoder, *, aim: int) -> Snapshot:
    """Open a snapshot after checking every byte of it.

    :param encoder: the encoder that built it; also answers the canaries.
    :param aim: the passage length that is set now.
    :raises SnapshotDamaged: if a file is missing or differs from what was published.
    :raises SnapshotMismatch: if another encoder or splitter built it.
    """
    manifest = read_manifest(index, snapshot_id)
    check_builder(manifest, built_by(encoder.fingerprint, aim))
    files = checked_files(index, snapshot_id, manifest)
    try:
        documents = _DOCUMENTS.validate_json(files["documents.json"])
        passages = tuple(
            Passage(
                documents[number].id, start, end, documents[number].text[start:end], headings,
                tuple(Span(*sentence) for sentence in sentences), page,
            )
            for number, start, end, headings, sentences, page in _PASSAGES.validate_json(files["passages.json"])
        )  # fmt: skip
        vectors = faiss.deserialize_index(np.frombuffer(files["passages.faiss"], dtype=np.uint8))
        sentence_vectors = np.load(io.BytesIO(files["sentences.npy"]), allow_pickle=False)
        vocabulary = _VOCABULARY.validate_json(files["vocabulary.json"])
        lexical = _open_lexical(files)
    except (ValueError, RuntimeError, IndexError, OSError) as error:
        raise SnapshotDamaged(snapshot_id, f"cannot be parsed ({type(error).__name__})") from error
    rows = _rows(passages)
    sentence_rows = np.cumsum([0, *(len(passage.sentences) for passage in passages)], dtype=np.int64)
    sound = (
        isinstance(vectors, faiss.IndexFlat)
        and vectors.metric_type == faiss.METRIC_INNER_PRODUCT
        and vectors.d == manifest.dim == encoder.dim
        and vectors.ntotal == len(passages) == manifest.passages == len(lexical)
        and sentence_vectors.shape == (sentence_rows[-1], manifest.dim)
        and sentence_vectors.dtype == np.float16
        and sum(map(len, rows.values())) == len(passages)
        and len(documents) == manifest.documents == len({document.id for document in documents})
    )
    if not sound:
        raise SnapshotDamaged(snapshot_id, "its counts and dimensions do not fit each other")
    for canary in manifest.canaries:
        if _nearest(vectors, encoder.encode_question(canary.question)) != canary.passage:
            raise SnapshotDamaged(snapshot_id, "a canary question no longer finds its passage")
    return Snapshot(
        id=snapshot_id,
        manifest=manifest,
        documents={document.id: document for document in documents},
        passages=passages,
        vectors=vectors,
        sentence_vectors=sentence_vectors,
        sentence_rows=sentence_rows,
        rows=rows,
        document_rows=np.array([(run.start, run.stop) for run in rows.values() for _ in run], np.int64).reshape(-1, 2),
        lexical=lexical,
        vocabulary=vocabulary,
        lists=tuple(names for document in documents for names in name_lists(document)),
    )


def _rows(passages: Sequence[Passage]) -> dict[str, range]:
    """The rows of each document; its passages stand together."""
    rows: dict[str, range] = {}
    for name, run in groupby(enumerate(passages), key=lambda numbered: numbered[1].document):
        first, *rest = (row for row, _ in run)
        rows[name] = range(first, first + len(rest) + 1)
    return rows


def _open_lexical(files: Mapping[str, bytes]) -> Lexical:
    """Open the lexical index from a private copy of the checked bytes: tantivy reads files, and writes beside them.

    The copy can be removed at once, as tantivy keeps the files mapped that it has opened.
    """
    with tempfile.TemporaryDirectory(prefix="signpost-", ignore_cleanup_errors=True) as copy:
        for name, data in files.items():
            if name.startswith("lexical/"):
                (Path(copy) / Path(name).name).write_bytes(data)
        return Lexical(Path(copy))


def checked_files(index: Path, snapshot_id: str, manifest: Manifest) -> dict[str, bytes]:
    """Return the bytes of every file, each equal to what was published; parsing uses these, not the disk again.

    :raises SnapshotDamaged: naming the first file that is not what was published.
    """
    folder = index / "snapshots" / snapshot_id
    files = {}
    for name, expected in manifest.files.items():
        if not _FILE.fullmatch(name):
            raise SnapshotDamaged(snapshot_id, "its manifest names a file outside it")
        path = folder / name
        try:
            if path.stat().st_size != expected.size:
                raise SnapshotDamaged(snapshot_id, f"{name} has {path.stat().st_size:,} bytes, not {expected.size:,}")
            data = path.read_bytes()
        except OSError as error:
            raise SnapshotDamaged(snapshot_id, f"{name}: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise SnapshotDamaged(snapshot_id, f"{name} is not what was published")
        files[name] = data
    for name in _FLAT:
        if name not in files:
            raise SnapshotDamaged(snapshot_id, f"{name} is not in its manifest")
    return files


def _nearest(index: faiss.Index, question: Embeddings) -> int:
    """The row of the nearest passage; among rows as near as float32 can tell apart, the first."""
    scores, rows = index.search(question, 4)
    best = scores[0][0]
    return int(min(row for score, row in zip(scores[0], rows[0], strict=True) if row >= 0 and score >= best - 1e-4))
