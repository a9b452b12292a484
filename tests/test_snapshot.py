"""What an operator may rely on: a snapshot is whole or refused, and one in use stays until the next is whole."""

from __future__ import annotations

import errno
import fcntl
import gc
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from bot.documents import read_corpus
from bot.engine import Bot
from bot.errors import IndexLocked, SnapshotDamaged, SnapshotError, SnapshotMismatch, SnapshotMissing
from bot.lexical import read_terms
from bot.passages import encoder_text, sentence_texts, split, topic_text
from bot.publish import publish, put_in_use
from bot.snapshot import SCHEMA_VERSION, Snapshot, current_id, open_snapshot, read_manifest, snapshot_ids
from bot.types import Document, Embeddings, Encoder, Progress
from tests.conftest import FILES, REPOSITORY, WordEncoder, write_files

AIM = 40


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, ...]:
    return read_corpus(write_files(tmp_path_factory.mktemp("corpus"), FILES)).documents


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...], words: Encoder) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(documents, words, folder, aim=AIM)
    return folder


@pytest.fixture
def index(published: Path, tmp_path: Path) -> Path:
    """An index that was just published and never opened; a test may harm it."""
    return Path(shutil.copytree(published, tmp_path / "index"))


def home(index: Path) -> Path:
    return index / "snapshots" / current_id(index)


def opened(index: Path, encoder: Encoder, aim: int = AIM) -> Snapshot:
    return open_snapshot(index, current_id(index), encoder, aim=aim)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes, but for the lock; folders have none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


def files_but_lexical(index: Path) -> dict[str, bytes]:
    """Every file but those of the lexical index, which have random names; what the manifest says of the others."""
    found = {path.name: path.read_bytes() for path in home(index).iterdir() if path.is_file()}
    manifest = json.loads(found.pop("manifest.json"))
    manifest["files"] = {name: file for name, file in manifest["files"].items() if not name.startswith("lexical/")}
    return {**found, "manifest": json.dumps(manifest).encode()}


# --- what was published comes back ------------------------------------------------------------------------------------


def test_documents_and_passages_come_back_as_they_were(
    index: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    snapshot = opened(index, words)
    assert tuple(snapshot.documents.values()) == documents
    assert list(snapshot.documents) == [document.id for document in documents]
    assert tuple(snapshot.passages) == tuple(p for document in documents for p in split(document, words, aim=AIM))
    assert len(snapshot.passages) == len(snapshot.vectors) == len(snapshot.lexical) == snapshot.manifest.passages


def test_every_row_is_the_vector_of_its_own_passage_and_sentence(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    vectors = snapshot.vectors.of(slice(None))
    for row, passage in enumerate(snapshot.passages):
        document = snapshot.documents[passage.document]
        fresh = words.encode_passages([encoder_text(document, passage, words)])[0]
        assert np.allclose(vectors[row], fresh, rtol=0, atol=0.5001 / 32_767)  # 16 bits, one for the sign
        stored = snapshot.sentence_vectors.of(slice(snapshot.sentence_rows[row], snapshot.sentence_rows[row + 1]))
        fresh = words.encode_passages(sentence_texts(document, passage, words))
        assert stored.shape == fresh.shape == (len(passage.sentences), words.dim)
        assert np.allclose(stored, fresh, rtol=0, atol=1 / 254)  # 8 bits, one for the sign
        topic = words.encode_passages([topic_text(document, passage, words)])[0]
        assert np.allclose(snapshot.topic_vectors.of(slice(row, row + 1))[0], topic, rtol=0, atol=1 / 254)
    assert snapshot.topic_vectors.shape == (len(snapshot.passages), words.dim)
    assert snapshot.sentence_vectors.shape == (snapshot.sentence_rows[-1], words.dim)
    assert snapshot.sentence_rows[-1] == snapshot.manifest.sentences


def test_the_words_of_a_passage_find_its_own_row(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    [row], [share] = snapshot.lexical.search(read_terms(["puffins"], words.pieces)[0], 10)
    assert "Puffins" in snapshot.passages[row].text
    assert 0 < share < 1


def test_rows_of_documents_are_the_rows_of_their_passages(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    chosen = ["harbour.md", "birds.html", "unknown.md"]
    expected = [row for row, passage in enumerate(snapshot.passages) if passage.document in chosen]
    assert snapshot.rows_of(chosen).tolist() == expected
    assert 0 < len(expected) < len(snapshot.passages)


def test_rows_cover_every_passage_once_and_in_order(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    assert list(snapshot.rows) == list(snapshot.documents)
    assert [row for run in snapshot.rows.values() for row in run] == list(range(len(snapshot.passages)))
    for name, run in snapshot.rows.items():
        assert {snapshot.passages[row].document for row in run} == {name}
    assert snapshot.rows_of(reversed(list(snapshot.rows))).tolist() == list(range(len(snapshot.passages)))


def test_a_passage_is_found_by_its_id_and_by_nothing_else(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    for passage in snapshot.passages:
        assert snapshot.passage(passage.id) == passage
        for other in (passage.id.upper(), f"{passage.id}0", f" {passage.id}", passage.id[:-1], f"{passage.id}#"):
            assert snapshot.passage(other) is None
        assert snapshot.passage(f"{passage.document}#{passage.start}-{passage.end + 1}") is None
    for name in ("", "#", "harbour.md", "harbour.md#", "unknown.md#0-1", "../harbour.md#15-95", "#" * 100_000):
        assert snapshot.passage(name) is None


def test_a_document_whose_name_holds_the_mark_of_ids_keeps_its_passages_apart(tmp_path: Path, words: Encoder) -> None:
    files = {"a.md": "# A\n\nBoats lie here.\n", "a.md#3-18.md": "# A\n\nBoats lie there.\n"}
    corpus = write_files(tmp_path / "corpus", files)
    publish(read_corpus(corpus).documents, words, tmp_path / "index", aim=AIM)
    snapshot = opened(tmp_path / "index", words)
    assert len(snapshot.passages) == 2
    assert all(snapshot.passage(passage.id) == passage for passage in snapshot.passages)


def test_every_passage_knows_the_rows_of_its_document(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    assert snapshot.document_rows.shape == (len(snapshot.passages), 2)
    for passage, (first, last) in zip(snapshot.passages, snapshot.document_rows.tolist(), strict=True):
        rows = [row for row, other in enumerate(snapshot.passages) if other.document == passage.document]
        assert list(range(first, last)) == rows
    assert len({tuple(rows) for rows in snapshot.document_rows.tolist()}) == len(FILES)
    assert max(last - first for first, last in snapshot.document_rows.tolist()) > 1


def test_the_id_is_the_digest_of_the_manifest_which_names_every_file(index: Path) -> None:
    manifest = read_manifest(index, current_id(index))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in tree(home(index)).items() if name != "lexical"}
    assert digests.pop("manifest.json") == current_id(index)
    assert {name: file.sha256 for name, file in manifest.files.items()} == digests


def test_opening_changes_nothing(index: Path, words: Encoder) -> None:
    """So it can be served from where nobody may write; tantivy would leave a lock beside its files."""
    before = tree(index)
    opened(index, words)
    assert tree(index) == before


def test_two_builds_of_one_corpus_are_alike(tmp_path: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    for name in ("one", "two"):
        publish(documents, words, tmp_path / name, aim=AIM)
    assert files_but_lexical(tmp_path / "one") == files_but_lexical(tmp_path / "two")
    assert files_but_lexical(tmp_path / "one").keys() == {
        "documents.json", "texts.bin", "blocks.bin", "readings.bin", "passages.npy", "sentences.npy", "headings.json",
        "passages.faiss", "passage_vectors.npy", "sentence_vectors.npy", "topic_vectors.npy", "vocabulary.json",
        "lexical_order.npy", "manifest",
    }  # fmt: skip


def test_the_same_words_in_many_documents_stay_as_many_passages(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    copies = [replace(documents[0], id=f"copy-{number:02}.md") for number in range(12)]
    publish(copies, words, tmp_path, aim=AIM)
    found = opened(tmp_path, words).passages
    assert len(set(found)) == len(found) == 12 * len(split(documents[0], words, aim=AIM))


def test_a_snapshot_of_nothing_can_be_opened(tmp_path: Path, words: Encoder) -> None:
    publish([], words, tmp_path, aim=AIM)
    snapshot = opened(tmp_path, words)
    assert (tuple(snapshot.passages), dict(snapshot.documents)) == ((), {})
    assert snapshot.document_rows.shape == (0, 2)


def test_progress_is_told_of_every_text(tmp_path: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    totals: list[int] = []
    done: list[int] = []

    def progress(total: int) -> Progress:
        totals.append(total)
        return done.append

    manifest = read_manifest(tmp_path, publish(documents, words, tmp_path, aim=AIM, progress=progress))
    assert totals == [2 * manifest.passages + manifest.sentences] == done[-1:]


def test_what_stands_twice_is_encoded_once_and_told_twice(tmp_path: Path) -> None:
    """A long section's passages share their topic, and a sentence where they meet."""
    text = " ".join(f"Boat {number} lies at the pier of the old harbour." for number in range(30))
    [document] = read_corpus(write_files(tmp_path / "corpus", {"boats.md": f"# Boats\n\n{text}\n"})).documents
    asked, totals, done = Asked(), list[int](), list[int]()

    def progress(total: int) -> Progress:
        totals.append(total)
        return done.append

    manifest = read_manifest(tmp_path, publish([document], asked, tmp_path, aim=AIM, progress=progress))
    assert manifest.passages > 2
    assert sorted(asked.texts) == texts_of([document], asked)
    assert len(asked.texts) < totals[0] == 2 * manifest.passages + manifest.sentences == done[-1]


# --- what is large is mapped ------------------------------------------------------------------------------------------


def mapped_files(folder: Path) -> list[str]:
    """The files of a folder that this process has mapped."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return sorted({line.split()[-1].removeprefix(f"{folder}/") for line in maps.splitlines() if f" {folder}/" in line})


@pytest.fixture(params=[None, "IVF2,SQ8", "HNSW4"])
def large(
    request: pytest.FixtureRequest, tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> Iterator[tuple[Snapshot, Snapshot]]:
    """A snapshot opened twice: read, and mapped as if the machine's memory were small."""
    publish(documents, words, tmp_path, aim=AIM, factory=request.param)
    before = tree(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        read = opened(tmp_path, words)
        patched.setattr("bot.snapshot._MAPPED_BEYOND", 0)
        yield read, opened(tmp_path, words)
    assert tree(tmp_path) == before


def test_a_mapped_snapshot_gives_what_one_in_memory_gives(large: tuple[Snapshot, Snapshot], words: Encoder) -> None:
    read, mapped = large
    gc.collect()
    assert tuple(mapped.documents.values()) == tuple(read.documents.values())
    assert tuple(mapped.passages) == tuple(read.passages)
    assert mapped.vocabulary == read.vocabulary
    assert np.array_equal(mapped.vectors.of(slice(None)), read.vectors.of(slice(None)))
    assert np.array_equal(mapped.sentence_vectors.of(slice(None)), read.sentence_vectors.of(slice(None)))
    assert np.array_equal(mapped.topic_vectors.of(slice(None)), read.topic_vectors.of(slice(None)))
    for question in ("How fast may boats go?", "puffins", "a return ticket", "nothing"):
        vector = words.encode_question(question)[0]
        for only in (None, np.array([0, 2, 3])):
            assert mapped.vectors.nearest(vector, 3, only).tolist() == read.vectors.nearest(vector, 3, only).tolist()
        one, other = (Bot(words, snapshot).ask(question, top_k=9) for snapshot in (read, mapped))
        assert other == one


@pytest.mark.parametrize("factory", [None, "IVF2,SQ8"])
def test_what_is_mapped_stays_so_as_long_as_it_is_used_and_no_longer(
    tmp_path: Path,
    documents: tuple[Document, ...],
    words: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    factory: str | None,
) -> None:
    publish(documents, words, tmp_path, aim=AIM, factory=factory)
    small = opened(tmp_path, words)
    assert mapped_files(home(tmp_path)) == ["readings.bin"], "no question needs it"
    monkeypatch.setattr("bot.snapshot._MAPPED_BEYOND", 0)
    vectors = opened(tmp_path, words).vectors
    gc.collect()
    assert mapped_files(home(tmp_path)) == ["passage_vectors.npy", "passages.faiss", "readings.bin"]
    question = words.encode_question("puffins")[0]
    assert vectors.nearest(question, 3).tolist() == small.vectors.nearest(question, 3).tolist()
    del vectors
    gc.collect()
    assert mapped_files(home(tmp_path)) == ["readings.bin"]


def test_mapped_vectors_are_not_copied(large: tuple[Snapshot, Snapshot]) -> None:
    _, mapped = large
    index: Any = mapped.vectors.index
    assert not mapped.vectors.stored.flags.owndata
    assert not mapped.sentence_vectors.stored.flags.owndata
    assert not mapped.topic_vectors.stored.flags.owndata
    if mapped.manifest.choice.cells:
        lists = index.invlists
        number = next(number for number in range(index.nlist) if lists.list_size(number))
        kept = faiss.rev_swig_ptr(lists.get_codes(number), index.code_size)
    else:
        exact: Any = faiss.downcast_index(getattr(index, "storage", index))
        kept = faiss.rev_swig_ptr(exact.get_xb(), exact.d)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ranges = [line.split()[0].split("-") for line in maps if line.endswith(f"{mapped.id}/passages.faiss")]
    assert any(int(first, 16) <= kept.ctypes.data < int(last, 16) for first, last in ranges)


def test_a_mapped_snapshot_that_is_damaged_is_refused(
    index: Path, words: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.snapshot._MAPPED_BEYOND", 0)
    for path in files_of(home(index)):
        sound = path.read_bytes()
        for harmed in (sound[:-1], sound[:-1] + bytes([sound[-1] ^ 1]), b""):
            path.write_bytes(harmed)
            with pytest.raises(SnapshotDamaged):
                opened(index, words)
        path.write_bytes(sound)
    opened(index, words)


@pytest.mark.parametrize(
    "name", ["a text that is not UTF-8", "half an index", "sentences far outside", "another metric", "no text"]
)
def test_a_mapped_snapshot_that_is_forged_is_refused(
    index: Path, words: Encoder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("bot.snapshot._MAPPED_BEYOND", 0)
    opened(index, words)
    forge(index, FORGED[name])
    with pytest.raises(SnapshotDamaged):
        opened(index, words)


# --- what has not changed is taken over -------------------------------------------------------------------------------


class Asked(WordEncoder):
    """Remembers the texts that it was asked to encode."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.batches = 0

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        self.texts += texts
        self.batches += 1
        return super().encode_passages(texts, progress)

    def encode_question(self, text: str) -> Embeddings:
        return WordEncoder().encode_question(text)


def texts_of(documents: Sequence[Document], words: Encoder) -> list[str]:
    """What an encoder reads of some documents, sorted: passages, sentences and topics, of each kind nothing twice."""
    pairs = [(document, passage) for document in documents for passage in split(document, words, aim=AIM)]
    passages = {encoder_text(*pair, words) for pair in pairs}
    sentences = {text for pair in pairs for text in sentence_texts(*pair, words)}
    return sorted([*passages, *sentences, *{topic_text(*pair, words) for pair in pairs}])


def edited(document: Document) -> Document:
    """The same document with one word exchanged for one as long."""
    assert " the " in document.text or " a " in document.text
    return replace(document, text=document.text.replace(" the ", " her ").replace(" a ", " 1 "))


def told(document: Document, **facts: str) -> Document:
    """The same text from another source."""
    return replace(document, source=replace(document.source, **facts))  # type: ignore[arg-type]


def exchanged(one: Document, other: Document) -> list[Document]:
    return [replace(other, id=one.id), replace(one, id=other.id)]


#: The documents after a change, and those of them that are not what they were; of birds, ferry and harbour.
CHANGES: dict[str, Callable[[Document, Document, Document], tuple[list[Document], list[Document]]]] = {
    "nothing": lambda b, f, h: ([b, f, h], []),
    "the order": lambda b, f, h: ([h, b, f], []),
    "one gone": lambda b, f, h: ([b, h], []),
    "one left": lambda b, f, h: ([f], []),
    "all gone": lambda b, f, h: ([], []),
    "the text of one": lambda b, f, h: ([b, f, edited(h)], [edited(h)]),
    "the text of two": lambda b, f, h: ([edited(b), edited(f), h], [edited(b), edited(f)]),
    "a title": lambda b, f, h: ([told(b, title="Birds"), f, h], [told(b, title="Birds")]),
    "a publisher": lambda b, f, h: ([b, told(f, publisher="Nobody"), h], [told(f, publisher="Nobody")]),
    "a question": lambda b, f, h: ([replace(b, questions=("What?",)), f, h], [replace(b, questions=("What?",))]),
    "a place": lambda b, f, h: ([b, replace(f, id="boats/ferry.txt"), h], [replace(f, id="boats/ferry.txt")]),
    "two names": lambda b, f, h: ([*exchanged(b, f), h], exchanged(b, f)),
    "one more": lambda b, f, h: ([b, replace(h, id="copy.md"), f, h], [replace(h, id="copy.md")]),
    "one emptied": lambda b, f, h: ([b, replace(f, text="", blocks=()), h], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("beyond", [1, 0], ids=["read", "mapped"])
def test_only_what_has_changed_is_encoded_and_the_snapshot_is_that_of_a_new_build(
    index: Path,
    tmp_path: Path,
    documents: tuple[Document, ...],
    words: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    beyond: int,
) -> None:
    monkeypatch.setattr("bot.snapshot._MAPPED_BEYOND", beyond)
    now, changed = CHANGES[name](*documents)
    asked, totals, done = Asked(), list[int](), list[int]()

    def progress(total: int) -> Progress:
        totals.append(total)
        return done.append

    publish(now, asked, index, aim=AIM, before=opened(index, words), progress=progress)
    publish(now, words, tmp_path / "anew", aim=AIM)
    assert files_but_lexical(index) == files_but_lexical(tmp_path / "anew")
    assert sorted(asked.texts) == texts_of(changed, words)
    snapshot = opened(index, words)
    new = [passage for passage in snapshot.passages if passage.document in {document.id for document in changed}]
    assert totals == [sum(len(passage.sentences) + 2 for passage in new)]
    assert done[-1:] == (totals if new else [])
    assert list(snapshot.documents) == [document.id for document in now]
    assert [row for run in snapshot.rows.values() for row in run] == list(range(len(snapshot.passages)))


def test_texts_are_encoded_in_batches_that_make_no_difference(
    index: Path, tmp_path: Path, documents: tuple[Document, ...], words: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [documents[0], *map(edited, documents[1:])]
    publish(now, words, tmp_path / "anew", aim=AIM)
    monkeypatch.setattr("bot.publish._BATCH", 3)
    asked, done = Asked(), list[int]()
    publish(now, asked, index, aim=AIM, before=opened(index, words), progress=lambda total: done.append)
    assert files_but_lexical(index) == files_but_lexical(tmp_path / "anew")
    assert asked.batches > 4
    assert done == sorted(set(done))
    assert sorted(set(asked.texts)) == sorted(set(texts_of(now[1:], words)))


def test_a_document_that_changes_back_is_encoded_again(
    index: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    before = files_but_lexical(index)
    for now in ([*documents[:2], edited(documents[2])], documents):
        asked = Asked()
        publish(now, asked, index, aim=AIM, before=opened(index, words))
        assert sorted(asked.texts) == texts_of(now[2:], words)
    assert files_but_lexical(index) == before


def test_another_index_of_the_same_documents_needs_no_encoding(
    index: Path, tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    before = files_but_lexical(index)
    for factory in ("IVF2,SQ8", None):
        asked = Asked()
        publish(documents, asked, index, aim=AIM, before=opened(index, words), factory=factory)
        publish(documents, words, tmp_path / "anew", aim=AIM, factory=factory)
        assert asked.texts == []
        assert opened(index, words).manifest.choice.factory == (factory or "Flat")
        assert files_but_lexical(index) == files_but_lexical(tmp_path / "anew")
    assert files_but_lexical(index) == before


@pytest.mark.parametrize("factory", ["Nope", "IVF99,SQ8", "IDMap,Flat", "PQ3", "IVF0,Flat"])
def test_an_index_that_cannot_be_built_leaves_everything_as_it_was(
    index: Path, documents: tuple[Document, ...], words: Encoder, factory: str
) -> None:
    before = tree(index)
    with pytest.raises(SnapshotError, match=r"could not be built: FAISS cannot build an index .* passages") as caught:
        publish(documents, words, index, aim=AIM, factory=factory)
    assert repr(factory) in str(caught.value)
    assert tree(index) == before


# --- what is damaged is refused ---------------------------------------------------------------------------------------


def files_of(snapshot: Path) -> list[Path]:
    found = sorted(path for path in snapshot.rglob("*") if path.is_file())
    assert len(found) > 8
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_single_flipped_bit_in_any_file_is_noticed(index: Path, words: Encoder, seed: int) -> None:
    dice = random.Random(seed)
    for path in files_of(home(index)):
        sound = path.read_bytes()
        for _ in range(4):
            place = dice.randrange(len(sound))
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << dice.randrange(8)]) + sound[place + 1 :])
            with pytest.raises(SnapshotDamaged):
                opened(index, words)
        path.write_bytes(sound)
    opened(index, words)


def test_a_shorter_longer_or_missing_file_is_noticed(index: Path, words: Encoder) -> None:
    for path in files_of(home(index)):
        sound = path.read_bytes()
        for harmed in (sound[:-1], sound[: len(sound) // 2], b"", sound + b"\0", None):
            path.unlink()
            if harmed is not None:
                path.write_bytes(harmed)
            with pytest.raises(SnapshotDamaged):
                opened(index, words)
            path.write_bytes(sound)
    opened(index, words)


def test_files_that_nobody_published_do_no_harm(index: Path, words: Encoder) -> None:
    for place in (index, index / "snapshots", home(index), home(index) / "lexical"):
        (place / "notes.txt").write_text("left here by a person")
    (index / "snapshots" / "old").mkdir()
    assert opened(index, words).passages
    assert snapshot_ids(index) == [current_id(index)]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\n", b"\xff\xfe", b"../../elsewhere", b"A" * 64, b"a" * 63, b"a" * 65, b"a" * 64 + b"\nb", b"\0" * 64],
)
def test_a_pointer_that_holds_no_id_is_damage(index: Path, garbage: bytes) -> None:
    (index / "current").write_bytes(garbage)
    with pytest.raises(SnapshotDamaged, match="current"):
        current_id(index)


def test_with_a_damaged_pointer_the_snapshots_on_disk_are_still_listed(index: Path) -> None:
    name = current_id(index)
    (index / "current").write_bytes(b"garbage")
    assert snapshot_ids(index) == [name]


def test_a_pointer_to_what_is_not_there_is_damage(index: Path, words: Encoder) -> None:
    (index / "current").write_text("0" * 64)
    with pytest.raises(SnapshotDamaged, match="0" * 12):
        opened(index, words)


def test_without_a_snapshot_a_person_is_told_to_build_one(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        for ask in (current_id, snapshot_ids):
            with pytest.raises(SnapshotMissing, match="run `signpost index`"):
                ask(place)


# --- what is well hashed and still wrong ------------------------------------------------------------------------------


#: Something done to the folder of a snapshot and its manifest.
Change: TypeAlias = Callable[[Path, dict[str, Any]], object]


def forge(index: Path, change: Change) -> None:
    """Change a snapshot as somebody would who knows how its manifest is made: every digest is right again."""
    folder = home(index)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(folder, manifest)
    for name, file in manifest["files"].items():
        data = (folder / name).read_bytes()
        file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    data = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(data)
    name = hashlib.sha256(data).hexdigest()
    folder.rename(folder.parent / name)
    (index / "current").write_text(name)


def with_a_store_beyond_all_measure(folder: Path, manifest: dict[str, Any]) -> None:
    """One whose index says that it has 2**49 layers: tantivy would ask for as much memory, and the process end."""
    [path] = (folder / "lexical").glob("*.store")
    data = path.read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    body = bytes(6) + b"\x7f\x81" + data[end - 28 : end - 24] + bytes(8) + data[end - 16 : end]
    footer = re.sub(rb'"crc":\d+', b'"crc":%d' % zlib.crc32(body), data[end:-8])
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + data[-4:])


def test_the_store_of_the_lexical_index_holds_nothing_and_is_not_read(index: Path, words: Encoder) -> None:
    before = opened(index, words).lexical.search(read_terms(["puffins"], words.pieces)[0], 10)
    forge(index, with_a_store_beyond_all_measure)
    after = opened(index, words).lexical.search(read_terms(["puffins"], words.pieces)[0], 10)
    assert [part.tolist() for part in after] == [part.tolist() for part in before]


ARRAYS = ("passages.npy", "sentences.npy", "passage_vectors.npy", "sentence_vectors.npy", "topic_vectors.npy")


def test_a_forged_snapshot_without_a_fault_is_opened(index: Path, words: Encoder) -> None:
    """The other tests here would prove nothing if the forger made mistakes."""
    before = tuple(opened(index, words).passages)
    for name in (*ARRAYS, "lexical_order.npy"):
        forge(index, edit_array(name, lambda rows: rows))
    for name in ("documents.json", "headings.json"):
        forge(index, edit_json(name, lambda rows: None))
    forge(index, edit_index(lambda rows: flat(faiss.IndexFlatIP, rows)))
    assert tuple(opened(index, words).passages) == before


class Plant:
    """Unpickling it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("name", ARRAYS)
def test_pickled_arrays_are_refused_and_never_run(index: Path, tmp_path: Path, words: Encoder, name: str) -> None:
    place = tmp_path / "planted"

    def plant(folder: Path, manifest: dict[str, Any]) -> None:
        np.save(folder / name, np.array([Plant(place)], dtype=object), allow_pickle=True)

    forge(index, plant)
    with pytest.raises(SnapshotDamaged):
        opened(index, words)
    assert not place.exists()
    np.load(home(index) / name, allow_pickle=True)
    assert place.exists()  # the plant was a live one


def edit_json(name: str, edit: Callable[[list[Any]], object]) -> Change:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        content = json.loads((folder / name).read_bytes())
        edit(content)
        (folder / name).write_text(json.dumps(content))

    return change


def edit_index(edit: Callable[[Embeddings], faiss.Index]) -> Change:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        sound = faiss.read_index(str(folder / "passages.faiss"))
        faiss.write_index(edit(sound.reconstruct_n(0, sound.ntotal)), str(folder / "passages.faiss"))

    return change


def flat(kind: type[faiss.IndexFlat], rows: Embeddings) -> faiss.Index:
    made = kind(rows.shape[1])
    made.add(np.ascontiguousarray(rows))
    return made


def numbered(rows: Embeddings) -> faiss.Index:
    made = faiss.IndexIDMap(faiss.IndexFlatIP(rows.shape[1]))
    made.add_with_ids(rows, np.arange(len(rows)))
    return made


def in_cells(rows: Embeddings) -> faiss.Index:
    made = faiss.index_factory(rows.shape[1], "IVF2,SQ8", faiss.METRIC_INNER_PRODUCT)
    made.train(rows)
    made.add(rows)
    return made


def choose(**choice: object) -> Change:
    return lambda folder, manifest: manifest["choice"].update(choice)


def edit_array(name: str, edit: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Change:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        np.save(folder / name, edit(np.load(folder / name)), allow_pickle=True)

    return change


def place(row: int, **fields: int) -> Change:
    """Change where a passage stands."""

    def edit(places: npt.NDArray[Any]) -> npt.NDArray[Any]:
        for name, value in fields.items():
            places[name][row] = value
        return places

    return edit_array("passages.npy", edit)


def shift(row: int, **fields: int) -> Change:
    def edit(places: npt.NDArray[Any]) -> npt.NDArray[Any]:
        for name, by in fields.items():
            places[name][row] += np.array(by).astype(places[name].dtype)  # less than 0 wraps around, as it should
        return places

    return edit_array("passages.npy", edit)


def sentence(row: int, column: int, by: int) -> Change:
    def edit(spans: npt.NDArray[Any]) -> npt.NDArray[Any]:
        spans[row, column] += np.array(by).astype(np.uint32)
        return spans

    return edit_array("sentences.npy", edit)


def rewrite(name: str, edit: Callable[[bytes], bytes]) -> Change:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return change


def in_version_2(content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.load(io.BytesIO(content)), (2, 0))
    return buffer.getvalue()


def swapped(texts: bytes) -> bytes:
    """Two bytes of the first letters are one letter: as many bytes as before, but fewer characters."""
    return "é".encode() + texts[2:]


FORGED: dict[str, Change] = {
    # documents
    "a document twice": edit_json("documents.json", lambda rows: rows.append(rows[0])),
    "a document less": edit_json("documents.json", lambda rows: rows.pop()),
    "no document": edit_json("documents.json", lambda rows: rows.clear()),
    "documents in another order": edit_json("documents.json", lambda rows: rows.reverse()),
    "two documents of one name": edit_json("documents.json", lambda rows: rows[1].update(id=rows[0]["id"])),
    "a character more": edit_json("documents.json", lambda rows: rows[0].update(characters=rows[0]["characters"] + 1)),
    "a text that ends early": edit_json("documents.json", lambda rows: rows[0].update(text_end=5, characters=5)),
    "a text that ends before it begins": edit_json("documents.json", lambda rows: rows[1].update(text_end=0)),
    "a text that ends outside": edit_json("documents.json", lambda rows: rows[-1].update(text_end=10**9)),
    "a text that ends before all": edit_json("documents.json", lambda rows: rows[0].update(text_end=-1)),
    "blocks that end outside": edit_json("documents.json", lambda rows: rows[-1].update(blocks_end=10**9)),
    "blocks that end elsewhere": rewrite("blocks.bin", lambda data: re.sub(rb'"end":\d(\d*)', rb'"end":9\1', data)),
    "blocks that are no blocks": rewrite("blocks.bin", lambda data: data.replace(b'"kind"', b'"mind"', 1)),
    "blocks of another document": rewrite("blocks.bin", lambda data: data.replace(b"[{", b",{", 2)),
    "blocks out of order": edit_json("documents.json", lambda rows: rows[0].update(blocks_end=10**9)),
    "a document without an end": edit_json("documents.json", lambda rows: rows[0].pop("text_end")),
    "no documents": rewrite("documents.json", lambda data: b"[{}]"),
    "documents that are not UTF-8": rewrite("documents.json", lambda data: b"\xff" + data[1:]),
    # texts
    "a text that is not UTF-8": rewrite("texts.bin", lambda data: b"\xff" + data[1:]),
    "half a letter at the end": rewrite("texts.bin", lambda data: data[:-1] + b"\xc3"),
    "fewer characters than bytes": rewrite("texts.bin", swapped),
    "a text less": rewrite("texts.bin", lambda data: data[:-10]),
    "more text": rewrite("texts.bin", lambda data: data + b"x"),
    "no text": rewrite("texts.bin", lambda data: b""),
    "more blocks": rewrite("blocks.bin", lambda data: data + b"[]"),
    "fewer blocks": rewrite("blocks.bin", lambda data: data[:-1]),
    "more readings": rewrite("readings.bin", lambda data: data + data),
    "fewer readings": rewrite("readings.bin", lambda data: data[:-1]),
    # passages
    "a passage less": edit_array("passages.npy", lambda rows: rows[:-1]),
    "the first passage less": edit_array("passages.npy", lambda rows: rows[1:]),
    "a passage twice": edit_array("passages.npy", lambda rows: np.append(rows, rows[-1:])),
    "a passage in the place of another": edit_array("passages.npy", lambda rows: rows[[0, 0, *range(2, len(rows))]]),
    "passages in another order": edit_array("passages.npy", lambda rows: rows[::-1].copy()),
    "two passages swapped": edit_array("passages.npy", lambda rows: rows[[1, 0, *range(2, len(rows))]]),
    "passages on end": edit_array("passages.npy", lambda rows: rows[:, None]),
    "a passage alone": edit_array("passages.npy", lambda rows: rows[0]),
    "passages of plain numbers": edit_array("passages.npy", lambda rows: rows["start"].astype("<u4")),
    "passages in version 2": rewrite("passages.npy", in_version_2),
    "offsets outside": place(0, end=10**9),
    "offsets the wrong way round": place(0, start=10**6),
    "a passage of nothing": place(0, end=0, start=0),
    "no such document": place(-1, document=99),
    "a document that comes later": place(0, document=1),
    "no such trail": place(0, headings=99),
    "the last trail but one more": place(0, headings=2**32 - 1),
    "a first byte in another document": place(-1, first_byte=0),
    "a last byte in another document": place(0, last_byte=10**4),
    "a last byte far outside": place(-1, last_byte=2**40),
    "a first byte that is less than 0": place(0, first_byte=2**64 - 1),
    "the last byte before the first": place(0, last_byte=0),
    "a byte less than characters": shift(0, last_byte=-1),
    "other bytes than those of the characters": shift(0, first_byte=-1, last_byte=-1),
    "a first sentence that is not the first": place(0, sentence=1),
    "no sentences": shift(1, sentence=-1),
    "sentences far outside": place(1, sentence=2**50),
    "sentences beyond what can be counted": place(-1, sentence=2**64 - 1),
    # sentences
    "a sentence less": edit_array("sentences.npy", lambda rows: rows[:-1]),
    "a sentence twice": edit_array("sentences.npy", lambda rows: np.vstack([rows, rows[-1:]])),
    "sentences in another order": edit_array("sentences.npy", lambda rows: rows[::-1].copy()),
    "a sentence before its passage": sentence(0, 0, -1),
    "a sentence outside its passage": sentence(-1, 1, 10_000),
    "a sentence that begins before another ends": sentence(0, 1, 3),
    "a sentence of nothing": edit_array("sentences.npy", lambda rows: np.vstack([rows[:1] * [[1, 0]], rows[1:]])),
    "sentences of another type": edit_array("sentences.npy", lambda rows: rows.astype(np.int64)),
    "sentences with a third number": edit_array("sentences.npy", lambda rows: rows[:, [0, 1, 1]]),
    "sentences in a row": edit_array("sentences.npy", lambda rows: rows.ravel()),
    "one number for all sentences": edit_array("sentences.npy", lambda rows: rows[0, 0]),
    "sentences column by column": edit_array("sentences.npy", np.asfortranarray),
    "no numpy": rewrite("sentences.npy", lambda data: b"\x93NUMPY"),
    # the order of the lexical index
    "a passage less in the order": edit_array("lexical_order.npy", lambda rows: rows[:-1]),
    "a passage twice in the order": edit_array("lexical_order.npy", lambda rows: rows[[0, *range(len(rows) - 1)]]),
    "a passage far outside the order": edit_array("lexical_order.npy", lambda rows: rows + np.int32(2**30)),
    "a passage before the first": edit_array("lexical_order.npy", lambda rows: rows - np.int32(1)),
    "an order in two columns": edit_array("lexical_order.npy", lambda rows: rows.reshape(-1, 1)),
    "one number for the order": edit_array("lexical_order.npy", lambda rows: rows[0]),
    "an order of another type": edit_array("lexical_order.npy", lambda rows: rows.astype(np.int64)),
    # trails
    "a trail less": edit_json("headings.json", lambda rows: rows.pop()),
    "no trails": rewrite("headings.json", lambda data: b"[]"),
    "trails that are numbers": rewrite("headings.json", lambda data: b"[1, 2, 3, 4, 5, 6]"),
    "trails that are no json": rewrite("headings.json", lambda data: data[:-1]),
    # vectors
    "a vector less": edit_array("passage_vectors.npy", lambda rows: rows[:-1]),
    "vectors too short": edit_array("passage_vectors.npy", lambda rows: np.ascontiguousarray(rows[:, :-1])),
    "vectors in another order": edit_array("passage_vectors.npy", lambda rows: rows[::-1].copy()),
    "vectors of another type": edit_array("passage_vectors.npy", lambda rows: rows.astype(np.float32)),
    "vectors in version 2": rewrite("passage_vectors.npy", in_version_2),
    "vectors column by column": edit_array("passage_vectors.npy", np.asfortranarray),
    "vectors that are objects": edit_array("passage_vectors.npy", lambda rows: rows.astype(object)),
    "a sentence's vector less": edit_array("sentence_vectors.npy", lambda rows: rows[:-1]),
    "sentences' vectors too short": edit_array("sentence_vectors.npy", lambda rows: np.ascontiguousarray(rows[:, :-1])),
    "sentences' vectors without numbers": edit_array("sentence_vectors.npy", lambda rows: rows[:, -4:].copy()),
    "sentences' vectors of another type": edit_array("sentence_vectors.npy", lambda rows: rows.view(np.uint8)),
    "a topic's vector less": edit_array("topic_vectors.npy", lambda rows: rows[:-1]),
    "topics' vectors too short": edit_array("topic_vectors.npy", lambda rows: np.ascontiguousarray(rows[:, :-1])),
    "topics' vectors of another type": edit_array("topic_vectors.npy", lambda rows: rows.view(np.uint8)),
    # the index
    "a vector less in the index": edit_index(lambda rows: flat(faiss.IndexFlatIP, rows[:-1])),
    "an index in another order": edit_index(lambda rows: flat(faiss.IndexFlatIP, rows[::-1])),
    "an index of fewer dimensions": edit_index(lambda rows: flat(faiss.IndexFlatIP, rows[:, :-1])),
    "another metric": edit_index(lambda rows: flat(faiss.IndexFlatL2, rows)),
    "another index": edit_index(numbered),
    "an index in cells for an exact one": edit_index(in_cells),
    "no faiss": rewrite("passages.faiss", lambda data: b"IxFI"),
    "half an index": rewrite("passages.faiss", lambda data: data[: len(data) // 2]),
    "cells in an exact index": choose(cells=8),
    "cells in another index": choose(factory="IVF2,SQ8", cells=8),
    "another name for an exact index": choose(factory="IVF2,SQ8"),
    "a choice without a name": lambda folder, manifest: manifest["choice"].pop("factory"),
    "a choice of nothing": lambda folder, manifest: manifest.pop("choice"),
    "cells in words": choose(cells="8"),
    # the manifest
    "a file not named": lambda folder, manifest: manifest["files"].pop("sentences.npy"),
    "a file outside": lambda folder, manifest: manifest["files"].update({"../../current": {}}),
    "a file far outside": lambda folder, manifest: manifest["files"].update({"/etc/hostname": {}}),
    "another dimension": lambda folder, manifest: manifest.update(dim=3),
    "a passage more by count": lambda folder, manifest: manifest.update(passages=manifest["passages"] + 1),
    "a document more by count": lambda folder, manifest: manifest.update(documents=manifest["documents"] + 1),
    "a list in no document": lambda folder, manifest: manifest["listing"].append("unknown.md"),
    "a key too many": lambda folder, manifest: manifest.update(note="x"),
}


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in FORGED.items()])
def test_files_that_do_not_fit_each_other_are_refused(index: Path, words: Encoder, change: Change) -> None:
    forge(index, change)
    with pytest.raises(SnapshotDamaged):
        opened(index, words)


@pytest.mark.parametrize(
    "choice",
    [{"cells": -1}, {"cells": 0}, {"cells": 10**6}, {"cells": 10**30}, {"factory": "Flat"}, {"factory": 1}],
    ids=str,
)
def test_a_choice_that_does_not_fit_an_index_in_cells_is_refused(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder, choice: dict[str, object]
) -> None:
    publish(documents, words, tmp_path, aim=AIM, factory="IVF2,SQ8")
    assert opened(tmp_path, words).manifest.choice.cells == 8
    forge(tmp_path, choose(**choice))
    with pytest.raises(SnapshotDamaged):
        opened(tmp_path, words)


def test_an_exact_index_in_the_place_of_one_in_cells_is_refused(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    publish(documents, words, tmp_path, aim=AIM, factory="IVF2,SQ8")
    rows = opened(tmp_path, words).vectors.of(slice(None))
    forge(tmp_path, lambda folder, _: faiss.write_index(flat(faiss.IndexFlatIP, rows), str(folder / "passages.faiss")))
    with pytest.raises(SnapshotDamaged):
        opened(tmp_path, words)


def test_a_question_of_a_snapshot_of_nothing_is_refused(tmp_path: Path, words: Encoder) -> None:
    publish([], words, tmp_path, aim=AIM)
    forge(tmp_path, lambda folder, manifest: manifest["canaries"].append({"question": "Where?", "passage": 0}))
    with pytest.raises(SnapshotDamaged):
        opened(tmp_path, words)


def test_a_snapshot_of_a_later_format_says_so(index: Path, words: Encoder) -> None:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        manifest |= {"built_by": {"schema_version": 999}, "unheard_of": True}

    forge(index, change)
    with pytest.raises(SnapshotMismatch, match=f"format 999, but {SCHEMA_VERSION} is set now"):
        opened(index, words)


# --- what was built by something else is refused ----------------------------------------------------------------------


class OtherEncoder(WordEncoder):
    fingerprint = "words-v2"


def test_another_encoder_is_refused_and_both_are_named(index: Path) -> None:
    with pytest.raises(SnapshotMismatch, match="encoder words-v1, but words-v2 is set now: run `signpost index`"):
        opened(index, OtherEncoder())


def test_another_passage_length_is_refused_and_both_are_named(index: Path, words: Encoder) -> None:
    with pytest.raises(SnapshotMismatch, match=r"passage splitter \d+/40, but \d+/41 is set now"):
        opened(index, words, aim=41)


@pytest.mark.parametrize(
    ("what", "named"), [("schema_version", "format"), ("lexical", "lexical index"), ("splitter", "passage splitter")]
)
def test_what_another_version_built_is_refused_and_named(index: Path, words: Encoder, what: str, named: str) -> None:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        manifest["built_by"][what] = 1 if what != "splitter" else "0/40"

    forge(index, change)
    with pytest.raises(SnapshotMismatch, match=rf"{named} \S+, but \S+ is set now: run `signpost index`"):
        opened(index, words)


# --- what fails half way leaves no trace ------------------------------------------------------------------------------


class FullDisk(WordEncoder):
    """Fails while the first file is made."""

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/index/file")


class LateFullDisk(WordEncoder):
    """Fails when every file but the manifest is on disk."""

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Interrupted(WordEncoder):
    def encode_question(self, text: str) -> Embeddings:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("encoder", "raised"),
    [(FullDisk(), SnapshotError), (LateFullDisk(), SnapshotError), (Interrupted(), KeyboardInterrupt)],
)
def test_a_build_that_fails_leaves_everything_as_it_was(
    index: Path, documents: tuple[Document, ...], words: Encoder, encoder: Encoder, raised: type[BaseException]
) -> None:
    before = tree(index)
    with pytest.raises(raised) as caught:
        publish(documents[:1], encoder, index, aim=AIM)
    assert tree(index) == before
    assert opened(index, words).passages
    if raised is SnapshotError:
        assert "No space left on device" in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from bot.documents import read_corpus
from bot.publish import publish
from tests.conftest import WordEncoder

class Killed(WordEncoder):
    @property
    def fingerprint(self):
        os.kill(os.getpid(), signal.SIGKILL)

publish(read_corpus(Path(sys.argv[1])).documents, Killed(), Path(sys.argv[2]), aim=40)
"""


def test_a_build_that_is_killed_leaves_the_old_snapshot_and_the_next_one_clears_up(
    index: Path, tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    before = tree(index)
    corpus = write_files(tmp_path / "corpus", FILES)
    done = subprocess.run([sys.executable, "-c", KILLED, str(corpus), str(index)], cwd=REPOSITORY, check=False)
    assert done.returncode == -signal.SIGKILL
    after = tree(index)
    assert {name: data for name, data in after.items() if name in before} == before
    assert any("/.building-" in name for name in after)
    assert opened(index, words).passages

    publish(documents[:1], words, index, aim=AIM)
    assert not any("/.building-" in name for name in tree(index))
    assert len(opened(index, words).documents) == 1


def test_only_one_builds_at_a_time(index: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    before = tree(index)
    with open(index / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(IndexLocked, match="another process is building"):
            publish(documents, words, index, aim=AIM)
        assert tree(index) == before
        assert opened(index, words).passages  # readers never wait
    publish(documents, words, index, aim=AIM)


def test_the_one_in_use_and_the_one_before_are_kept(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    names = [publish(documents[:count], words, tmp_path, aim=AIM) for count in (1, 2, 3)]
    assert current_id(tmp_path) == names[2]
    assert snapshot_ids(tmp_path) == [names[2], names[1]]
    assert {path.name for path in (tmp_path / "snapshots").iterdir()} == {names[1], names[2]}
    for name in names[1:]:
        open_snapshot(tmp_path, name, words, aim=AIM)


def test_what_was_in_use_is_kept_and_not_what_was_built_last(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    good, bad = (publish(documents[:count], words, tmp_path, aim=AIM) for count in (1, 2))
    put_in_use(tmp_path, good)  # rolled back
    better = publish(documents, words, tmp_path, aim=AIM, before=open_snapshot(tmp_path, good, words, aim=AIM))
    assert snapshot_ids(tmp_path) == [better, good]
    assert not (tmp_path / "snapshots" / bad).exists()


def test_a_build_that_replaces_what_is_damaged_keeps_what_is_sound(
    tmp_path: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    sound, _ = (publish(documents[:count], words, tmp_path, aim=AIM) for count in (1, 2))
    (home(tmp_path) / "texts.bin").write_bytes(b"")
    new = publish(documents, words, tmp_path, aim=AIM)
    assert snapshot_ids(tmp_path) == [new, sound]


def test_a_build_replaces_what_is_damaged(index: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    (home(index) / "passages.faiss").write_bytes(b"")
    publish(documents, words, index, aim=AIM)
    assert opened(index, words).passages
