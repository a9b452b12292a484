"""What is read of a document, as it is kept for the next build."""

from __future__ import annotations

import zlib

import pytest

from bot.documents import read_corpus
from bot.lexical import Terms, read_terms
from bot.passages import context_of, split
from bot.readings import packed, read, unpacked
from bot.types import Document, Encoder
from bot.vocabulary import learn
from tests.conftest import FILES, write_files


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, ...]:
    return read_corpus(write_files(tmp_path_factory.mktemp("corpus"), FILES)).documents


def test_a_reading_comes_back_as_it_was_and_is_what_the_index_holds(
    documents: tuple[Document, ...], words: Encoder
) -> None:
    for document in documents:
        passages = split(document, words, aim=40)
        reading = read(document, passages, words.pieces)
        again = unpacked(packed(reading))
        assert again == reading
        texts = [context_of(document.source.title, passage.headings) + passage.text for passage in passages]
        held = [Terms.of(own.split(), pieces.split()) for own, pieces in again.passages]
        assert held == read_terms(texts, words.pieces)
        assert again.learnt == learn(document.text)


def test_a_document_without_passages_still_teaches_words(documents: tuple[Document, ...], words: Encoder) -> None:
    reading = unpacked(packed(read(documents[0], (), words.pieces)))
    assert reading.passages == ()
    assert reading.learnt.words


@pytest.mark.parametrize(
    "data", [b"", b"no reading", zlib.compress(b"[]"), zlib.compress(b'{"passages": 3}'), zlib.compress(b"{")]
)
def test_what_is_no_reading_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"reading|Reading"):
        unpacked(data)
