"""Documents -> a snapshot on disk, put in use in one step. ``bot/snapshot.py`` says what it consists of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from bot.errors import IndexLocked, SnapshotDamaged, SnapshotError
from bot.lexical import build_lexical
from bot.lists import name_lists
from bot.passages import encoder_text, sentence_texts, split, topic_text
from bot.readings import packed, read, unpacked
from bot.snapshot import (
    FLAT_FILES,
    VOCABULARY,
    Canary,
    Manifest,
    Snapshot,
    StoredFile,
    built_by,
    checked_files,
    corpus_digest,
    nearest_row,
    newest_first,
    read_manifest,
)
from bot.store import npy, stored
from bot.types import Document, Encoder, Passage, Progress
from bot.vectors import SCALE_BYTES, Before, Vectors, build_index, in_eight_bits, in_sixteen_bits
from bot.vocabulary import Tally, Vocabulary

#: Passages whose own first sentence must find them again when a snapshot is opened.
_CANARIES = 10
_CANARY_CHARACTERS = 300

#: Texts that are encoded at a time: their vectors in full precision are in memory together.
_BATCH = 20_000


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
            _forget_old(index, snapshot_id, before.id if before else None)
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
    (folder / "lexical").mkdir()
    with ThreadPoolExecutor(1) as beside:  # the encoder is busy outside of Python
        reading = beside.submit(_read, documents, passages, encoder, before, same, folder / "lexical")
        vectors, sentence_vectors, topic_vectors, kept = _vectors(by_id, passages, encoder, progress, before, same)
        index, choice = build_index(vectors, sentence_vectors, factory, kept)
        canaries = _canaries(passages, Vectors(index, vectors, choice), encoder)
    readings, vocabulary, order = reading.result()
    _write_file(folder / "passages.faiss", faiss.serialize_index(index).data)
    _write_file(folder / "passage_vectors.npy", npy(vectors))
    _write_file(folder / "sentence_vectors.npy", npy(sentence_vectors))
    _write_file(folder / "topic_vectors.npy", npy(topic_vectors))
    for name, data in stored(documents, passages, readings):
        _write_file(folder / name, data)
    _write_file(folder / "vocabulary.json", VOCABULARY.dump_json(vocabulary))
    _write_file(folder / "lexical_order.npy", npy(order))
    for path in (folder / "lexical").iterdir():
        if path.suffix == ".lock":
            path.unlink()
        else:
            _sync(path)
    _sync_folder(folder / "lexical")

    files = {name: _file(folder / name) for name in (*FLAT_FILES, *_lexical_names(folder))}
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


def _canaries(passages: Sequence[Passage], vectors: Vectors, encoder: Encoder) -> list[Canary]:
    questions = (
        passages[row].sentence_text(0)[:_CANARY_CHARACTERS]
        for row in sorted({round(n) for n in np.linspace(0, len(passages) - 1, min(_CANARIES, len(passages)))})
    )
    return [Canary(question=one, passage=nearest_row(vectors, encoder, one)) for one in questions]


def _is_same(before: Snapshot | None, document: Document | None) -> bool:
    return before is not None and document is not None and before.documents[document.id] == document


def _read(
    documents: Sequence[Document],
    passages: Sequence[Passage],
    encoder: Encoder,
    before: Snapshot | None,
    same: Mapping[str, range],
    folder: Path,
) -> tuple[list[bytes], Vocabulary, npt.NDArray[np.int32]]:
    """Write the lexical index into a folder; return what was read of each document, the words of all of them, and the
    order of the index."""
    of_document = {name: list(run) for name, run in groupby(passages, key=lambda passage: passage.document)}
    kept: list[bytes] = []
    tally = Tally()

    def terms() -> Iterator[tuple[str, str, str]]:
        for document in documents:
            if before is not None and document.id in same:
                kept.append(before.documents.reading(document.id))
                reading = unpacked(kept[-1])
            else:
                reading = read(document, of_document.get(document.id, ()), encoder.pieces)
                kept.append(packed(reading))
            tally.add(reading.learnt)
            for words, pieces in reading.passages:
                yield document.id, words, pieces

    order = build_lexical(terms(), folder)
    return kept, tally.vocabulary(), order


def _vectors(
    documents: Mapping[str, Document],
    passages: Sequence[Passage],
    encoder: Encoder,
    progress: Callable[[int], Progress] | None,
    before: Snapshot | None,
    same: Mapping[str, range],
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int8], npt.NDArray[np.int8], Before | None]:
    """Return the vectors of passages, sentences and topics as they are stored, those before where the document is the
    same, else new ones; and what became of the passages before."""
    sentence_rows = np.cumsum([0, *(len(passage.sentences) for passage in passages)], dtype=np.int64)
    vectors = np.zeros((len(passages), encoder.dim), dtype=np.int16)
    sentence_vectors = np.zeros((int(sentence_rows[-1]), encoder.dim + SCALE_BYTES), dtype=np.int8)
    topic_vectors = np.zeros((len(passages), encoder.dim + SCALE_BYTES), dtype=np.int8)
    now = np.full(len(before.passages) if before else 0, -1)
    is_new = np.ones(len(passages), dtype=bool)
    row = 0
    for name, run in groupby(passages, key=lambda passage: passage.document):
        count = sum(1 for _ in run)
        if before is not None and name in same:
            old = same[name]
            vectors[row : row + count] = before.vectors.stored[old.start : old.stop]
            topic_vectors[row : row + count] = before.topic_vectors.stored[old.start : old.stop]
            now[old.start : old.stop] = range(row, row + count)
            is_new[row : row + count] = False
            first, last = before.sentence_rows[old.start], before.sentence_rows[old.stop]
            at = sentence_rows[row]
            sentence_vectors[at : at + last - first] = before.sentence_vectors.stored[first:last]
        row += count
    new, new_sentences = np.flatnonzero(is_new), np.flatnonzero(np.repeat(is_new, np.diff(sentence_rows)))
    added = [(documents[passages[row].document], passages[row]) for row in new.tolist()]
    report = progress(2 * len(new) + len(new_sentences)) if progress else None
    done = 0
    for kind, as_stored, rows, texts in (
        (vectors, in_sixteen_bits, new, (encoder_text(*one, encoder) for one in added)),
        (sentence_vectors, in_eight_bits, new_sentences, (s for one in added for s in sentence_texts(*one, encoder))),
        (topic_vectors, in_eight_bits, new, (topic_text(*one, encoder) for one in added)),
    ):
        first = done
        while batch := list(islice(texts, _BATCH)):
            alone = {text: number for number, text in enumerate(dict.fromkeys(batch))}  # passages overlap
            told = partial(_told, report, done) if report else None
            encoded = as_stored(encoder.encode_passages(list(alone), told))
            kind[rows[done - first :][: len(batch)]] = encoded[[alone[text] for text in batch]]
            done += len(batch)
            if report and len(alone) < len(batch):
                report(done)
    return vectors, sentence_vectors, topic_vectors, Before(before.vectors, now) if before else None


def _told(report: Progress, before: int, done: int) -> None:
    report(before + done)


def _lexical_names(folder: Path) -> list[str]:
    return sorted(f"lexical/{path.name}" for path in (folder / "lexical").iterdir() if path.suffix != ".lock")


def _file(path: Path) -> StoredFile:
    with open(path, "rb") as file:
        return StoredFile(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


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


def _forget_old(index: Path, snapshot_id: str, before: str | None) -> None:
    """Keep one more snapshot: the one that was in use before; if that was of no use, the newest that is not damaged."""
    others = [name for name in newest_first(index) if name != snapshot_id]
    kept = before if before in others else next((name for name in others if not _is_damaged(index, name)), None)
    for name in others:
        if name != kept:
            shutil.rmtree(index / "snapshots" / name, ignore_errors=True)


def _is_damaged(index: Path, name: str) -> bool:
    try:
        checked_files(index, name, read_manifest(index, name))
    except SnapshotDamaged as error:  # what only cannot be read now is not removed for it
        return not isinstance(error.__cause__, OSError) or isinstance(error.__cause__, FileNotFoundError)
    except SnapshotError:  # another version may be able to open it
        return False
    return False


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
