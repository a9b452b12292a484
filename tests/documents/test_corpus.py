"""What an operator may rely on when a folder is read: the same documents every time, and a word on every file."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from bot.documents import MAX_FILE_BYTES, Corpus, FileReport, read_corpus
from bot.errors import CorpusError
from tests.conftest import FILES, write_files


def outcome(corpus: Corpus, path: str) -> FileReport:
    [report] = [report for report in corpus.reports if report.path == path]
    return report


def test_every_document_carries_its_place_its_digest_and_its_source(tmp_path: Path) -> None:
    corpus = read_corpus(write_files(tmp_path, {f"sub/{name}": text for name, text in FILES.items()}))
    assert [document.id for document in corpus.documents] == ["sub/birds.html", "sub/ferry.txt", "sub/harbour.md"]
    for document in corpus.documents:
        assert document.sha256 == hashlib.sha256((tmp_path / document.id).read_bytes()).hexdigest()
    birds, ferry, harbour = corpus.documents
    assert [document.source.title for document in corpus.documents] == [
        "Birds of the island", "Island ferry", "Harbour rules",
    ]  # fmt: skip
    assert (birds.source.language, ferry.source.publisher, harbour.source.publisher) == ("en", None, "Port Office")
    assert harbour.questions == ("How fast may a boat go in the harbour?",)
    assert corpus.complete


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_documents_does_not_depend_on_the_order_of_writing(tmp_path: Path, seed: int) -> None:
    names = ["b.md", "a/z.md", "a.md", "a-b.md", "B.md", "a/b/c.txt", "ä.md", "10.md", "9.md"]
    shuffled = random.Random(seed).sample(names, len(names))
    corpus = read_corpus(write_files(tmp_path, {name: f"# {name}\n\nWords.\n" for name in shuffled}))
    assert [document.id for document in corpus.documents] == sorted(names)
    assert [report.path for report in corpus.reports] == sorted(names)


def test_a_bad_file_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    write_files(
        tmp_path, {**FILES, "broken.md": "---\ntitle: [\n---\nwords\n", "aliases.md": "---\na: &b 1\nc: *b\n---\nx"}
    )
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\0\0\x01" + bytes(range(256)))
    (tmp_path / "huge.txt").write_bytes(b"word " * (MAX_FILE_BYTES // 5 + 1))
    (tmp_path / "wrong.md").write_text("---\npublished: last spring\nlicence: CC0\n---\n# Wrong\n\nWords.\n")
    corpus = read_corpus(tmp_path)
    assert {document.id for document in corpus.documents} == {*FILES, "wrong.md"}
    assert {report.path for report in corpus.reports if report.outcome == "failed"} == {
        "broken.md", "aliases.md", "binary.txt", "huge.txt",
    }  # fmt: skip
    assert all(report.notes for report in corpus.reports if report.outcome == "failed")
    assert not corpus.complete
    assert outcome(corpus, "wrong.md").outcome == "read"
    assert outcome(corpus, "wrong.md").notes[0].startswith("published left out")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"secret.md": "# Secret\n\nNobody may read this.\n"})
    folder = write_files(tmp_path / "corpus", FILES)
    (folder / "file.md").symlink_to(outside / "secret.md")
    (folder / "folder").symlink_to(outside, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.md").symlink_to(folder / "missing.md")
    corpus = read_corpus(folder)
    assert {document.id for document in corpus.documents} == set(FILES)
    for name in ("file.md", "folder", "loop", "nowhere.md"):
        assert outcome(corpus, name).outcome == "skipped"
        assert "link" in outcome(corpus, name).notes[0]


def test_a_pipe_that_nobody_writes_into_does_not_stop_the_reading(tmp_path: Path) -> None:
    os.mkfifo(write_files(tmp_path, FILES) / "pipe.md")
    corpus = read_corpus(tmp_path)
    assert {document.id for document in corpus.documents} == set(FILES)
    assert outcome(corpus, "pipe.md") == FileReport("pipe.md", "skipped", ("is not a regular file",))


def test_hidden_files_and_folders_are_left_out_silently(tmp_path: Path) -> None:
    hidden = {".draft.md": "words", ".git/config.md": "words", "sub/.hidden/deep/note.md": "words"}
    corpus = read_corpus(write_files(tmp_path, {**FILES, **hidden}))
    assert {report.path for report in corpus.reports} == set(FILES)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("photo.jpeg", "words", "no reader"),
        ("README", "words", "no reader"),
        ("blank.md", " \n\t\n", "empty"),
        ("nothing.md", "", "empty"),
        ("comment.md", "<!-- nothing to see -->", "no text"),
        ("front.md", "---\ntitle: x\n---\n", "no text"),
        ("script.html", "<script>x</script>", "no text"),
    ],
)
def test_a_file_with_nothing_to_quote_is_skipped_with_the_reason(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    corpus = read_corpus(write_files(tmp_path, {**FILES, name: text}))
    assert outcome(corpus, name).outcome == "skipped"
    assert reason in outcome(corpus, name).notes[0]
    assert corpus.complete


def test_the_ending_of_a_name_counts_in_any_case(tmp_path: Path) -> None:
    corpus = read_corpus(
        write_files(tmp_path, {"A.MD": "# One", "b.Html": "<p>Two", "c.TXT": "three", "d.markdown": "four"})
    )
    assert len(corpus.documents) == 4


def test_a_name_that_cannot_be_shown_is_reported_in_letters_that_can(tmp_path: Path) -> None:
    write_files(tmp_path, {**FILES, "a\nb.md": "words", "c\u202ed.md": "words"})
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("words")
    failed = [report.path for report in read_corpus(tmp_path).reports if report.outcome == "failed"]
    assert len(failed) == 3
    assert all(path.isascii() and path.isprintable() for path in failed)


def test_the_same_words_in_two_files_are_two_documents(tmp_path: Path) -> None:
    one, two = read_corpus(write_files(tmp_path, {"a.md": "# Rules", "b.md": "# Rules"})).documents
    assert (one.id, two.id) == ("a.md", "b.md")
    assert one.sha256 == two.sha256


@pytest.mark.parametrize("name", ["island-ferry.txt", "island_ferry.txt"])
def test_a_document_without_a_title_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    [document] = read_corpus(write_files(tmp_path, {name: "it sails twice a day."})).documents
    assert document.source.title == "island ferry"


def test_a_title_is_never_blank(tmp_path: Path) -> None:
    [document] = read_corpus(write_files(tmp_path, {"_.txt": "it sails twice a day."})).documents
    assert document.source.title.strip()


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no document could be read"):
        read_corpus(tmp_path)
    write_files(tmp_path, {"photo.jpeg": "x", "broken.md": "---\n[a]\n---\n"})
    with pytest.raises(CorpusError, match=r"broken\.md: front matter"):
        read_corpus(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="missing"):
        read_corpus(tmp_path / "missing")
    (tmp_path / "file").write_text("words")
    with pytest.raises(CorpusError, match="not a folder"):
        read_corpus(tmp_path / "file")
