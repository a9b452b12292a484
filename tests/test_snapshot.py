"""What an operator may rely on: a snapshot is whole or refused, and one in use stays until the next is whole."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from bot.documents import read_corpus
from bot.errors import IndexLocked, SnapshotDamaged, SnapshotError, SnapshotMismatch, SnapshotMissing
from bot.lexical import read_terms
from bot.passages import encoder_text, sentence_texts, split
from bot.snapshot import SCHEMA_VERSION, Snapshot, current_id, open_snapshot, publish, read_manifest, snapshot_ids
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


# --- what was published comes back ------------------------------------------------------------------------------------


def test_documents_and_passages_come_back_as_they_were(
    index: Path, documents: tuple[Document, ...], words: Encoder
) -> None:
    snapshot = opened(index, words)
    assert tuple(snapshot.documents.values()) == documents
    assert list(snapshot.documents) == [document.id for document in documents]
    assert snapshot.passages == tuple(p for document in documents for p in split(document, words, aim=AIM))
    assert len(snapshot.passages) == snapshot.vectors.ntotal == len(snapshot.lexical) == snapshot.manifest.passages


def test_every_row_is_the_vector_of_its_own_passage_and_sentence(index: Path, words: Encoder) -> None:
    snapshot = opened(index, words)
    vectors = snapshot.vectors.reconstruct_n(0, snapshot.vectors.ntotal)
    for row, passage in enumerate(snapshot.passages):
        document = snapshot.documents[passage.document]
        assert np.array_equal(vectors[row], words.encode_passages([encoder_text(document, passage, words)])[0])
        stored = snapshot.sentence_vectors[snapshot.sentence_rows[row] : snapshot.sentence_rows[row + 1]]
        fresh = words.encode_passages(sentence_texts(document, passage, words))
        assert stored.shape == fresh.shape == (len(passage.sentences), words.dim)
        assert np.allclose(stored, fresh, rtol=1e-3, atol=1e-6)  # float16 has 11 bits
    assert snapshot.sentence_rows[-1] == len(snapshot.sentence_vectors) == snapshot.manifest.sentences


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
        assert snapshot.passage(passage.id) is passage
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
    assert all(snapshot.passage(passage.id) is passage for passage in snapshot.passages)


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
    one, two = (
        {path.name: path.read_bytes() for path in home(tmp_path / name).iterdir() if path.is_file()}
        for name in ("one", "two")
    )
    del one["manifest.json"], two["manifest.json"]  # it names the lexical index's files, which have random names
    assert one == two
    assert one.keys() >= {"documents.json", "passages.json", "passages.faiss", "sentences.npy"}


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
    assert snapshot.passages == ()
    assert snapshot.document_rows.shape == (0, 2)


def test_progress_is_told_of_every_text(tmp_path: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    totals: list[int] = []
    done: list[int] = []

    def progress(total: int) -> Progress:
        totals.append(total)
        return done.append

    manifest = read_manifest(tmp_path, publish(documents, words, tmp_path, aim=AIM, progress=progress))
    assert totals == [manifest.passages + manifest.sentences] == done[-1:]


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


def forge(index: Path, change: Callable[[Path, dict[str, Any]], object]) -> None:
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


def test_a_forged_snapshot_without_a_fault_is_opened(index: Path, words: Encoder) -> None:
    """The other tests here would prove nothing if the forger made mistakes."""
    forge(index, lambda folder, manifest: None)
    assert opened(index, words).passages


class Plant:
    """Unpickling it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_pickled_vectors_are_refused_and_never_run(index: Path, tmp_path: Path, words: Encoder) -> None:
    place = tmp_path / "planted"

    def plant(folder: Path, manifest: dict[str, Any]) -> None:
        np.save(folder / "sentences.npy", np.array([Plant(place)], dtype=object), allow_pickle=True)

    forge(index, plant)
    with pytest.raises(SnapshotDamaged):
        opened(index, words)
    assert not place.exists()
    np.load(home(index) / "sentences.npy", allow_pickle=True)
    assert place.exists()  # the plant was a live one


def edit_json(name: str, edit: Callable[[list[Any]], object]) -> Callable[[Path, dict[str, Any]], None]:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        content = json.loads((folder / name).read_bytes())
        edit(content)
        (folder / name).write_text(json.dumps(content))

    return change


def edit_vectors(edit: Callable[[Embeddings], faiss.Index]) -> Callable[[Path, dict[str, Any]], None]:
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


def edit_sentences(
    edit: Callable[[npt.NDArray[np.float16]], npt.NDArray[Any]],
) -> Callable[[Path, dict[str, Any]], None]:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, edit(np.load(folder / "sentences.npy")))
        (folder / "sentences.npy").write_bytes(buffer.getvalue())

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edit_json("passages.json", lambda rows: rows.pop()), id="a passage less"),
        pytest.param(edit_json("passages.json", lambda rows: rows.append(rows[0])), id="a passage twice"),
        pytest.param(edit_json("passages.json", lambda rows: rows[0].__setitem__(2, 10**9)), id="offsets outside"),
        pytest.param(edit_json("passages.json", lambda rows: rows[0].__setitem__(0, 99)), id="no such document"),
        pytest.param(edit_json("passages.json", lambda rows: rows[0].__setitem__(4, [])), id="no sentences"),
        pytest.param(edit_json("passages.json", lambda rows: rows[0].pop()), id="another form"),
        pytest.param(edit_json("documents.json", lambda rows: rows.append(rows[0])), id="a document twice"),
        pytest.param(edit_vectors(lambda rows: flat(faiss.IndexFlatIP, rows[:-1])), id="a vector less"),
        pytest.param(edit_vectors(lambda rows: flat(faiss.IndexFlatIP, rows[::-1])), id="vectors in another order"),
        pytest.param(edit_vectors(lambda rows: flat(faiss.IndexFlatIP, rows[:, :-1])), id="vectors too short"),
        pytest.param(edit_vectors(lambda rows: flat(faiss.IndexFlatL2, rows)), id="another metric"),
        pytest.param(edit_vectors(numbered), id="another index"),
        pytest.param(edit_sentences(lambda rows: rows[:-1]), id="a sentence less"),
        pytest.param(edit_sentences(lambda rows: rows.astype(np.float32)), id="another type"),
        pytest.param(edit_sentences(lambda rows: rows[:, :-1]), id="sentences too short"),
        pytest.param(lambda folder, manifest: (folder / "passages.faiss").write_bytes(b"IxFI"), id="no faiss"),
        pytest.param(lambda folder, manifest: (folder / "sentences.npy").write_bytes(b"\x93NUMPY"), id="no numpy"),
        pytest.param(lambda folder, manifest: (folder / "documents.json").write_bytes(b"[{}]"), id="no documents"),
        pytest.param(lambda folder, manifest: manifest["files"].pop("sentences.npy"), id="a file not named"),
        pytest.param(lambda folder, manifest: manifest["files"].update({"../../current": {}}), id="a file outside"),
        pytest.param(lambda folder, manifest: manifest["files"].update({"/etc/hostname": {}}), id="a file far outside"),
        pytest.param(lambda folder, manifest: manifest.update(dim=3), id="another dimension"),
        pytest.param(lambda folder, manifest: manifest.update(note="x"), id="a key too many"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    index: Path, words: Encoder, change: Callable[[Path, dict[str, Any]], object]
) -> None:
    forge(index, change)
    with pytest.raises(SnapshotDamaged):
        opened(index, words)


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
from bot.snapshot import publish
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


def test_a_build_replaces_what_is_damaged(index: Path, documents: tuple[Document, ...], words: Encoder) -> None:
    (home(index) / "passages.faiss").write_bytes(b"")
    publish(documents, words, index, aim=AIM)
    assert opened(index, words).passages
