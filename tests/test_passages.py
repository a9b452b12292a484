"""What retrieval rests on: passages are exact, fit the encoder, stay in their section, and lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.documents import read_corpus
from bot.documents.content import Content
from bot.documents.html import read_html
from bot.documents.markdown import read_markdown
from bot.documents.plain import read_plain
from bot.passages import context_of, encoder_text, sentence_texts, split, topic_text
from bot.types import Document, Encoder, Passage, Source, Span
from tests.conftest import FILES, REPOSITORY, WordEncoder, write_files


class ByteEncoder(WordEncoder):
    """Three bytes are a token, as in a model whose tokens do not end where words do."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [-(-len(text.encode()) // 3) + 2 for text in texts]


class SpacedEncoder(WordEncoder):
    """A text has more tokens than its parts, as in a model whose tokenizer also counts what stands between them."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [count + count // 4 for count in super().count_tokens(texts)]


@pytest.fixture(scope="session", params=["words", "bytes", "spaced", "model"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    own: dict[str, Encoder] = {"bytes": ByteEncoder(), "spaced": SpacedEncoder()}
    found: Encoder = own.get(request.param) or request.getfixturevalue(request.param)
    return found


def document(content: Content, title: str = "Harbour rules") -> Document:
    return Document("harbour.md", "0" * 64, Source(title), content.text, content.blocks)


def checked(doc: Document, encoder: Encoder, aim: int = 160) -> tuple[Passage, ...]:
    """Split a document and hold the result against everything that ``split`` promises."""
    passages = split(doc, encoder, aim=aim)
    counts = encoder.count_tokens([encoder_text(doc, passage, encoder) for passage in passages])
    covered = [False] * len(doc.text)
    for passage, count in zip(passages, counts, strict=True):
        assert passage.text == doc.text[passage.start : passage.end]
        assert count <= encoder.max_tokens
        assert passage.start == passage.sentences[0].start and passage.end == passage.sentences[-1].end
        assert all(one.end <= two.start for one, two in pairwise(passage.sentences))
        for number, (start, end) in enumerate(passage.sentences):
            assert passage.sentence_text(number) == doc.text[start:end] == doc.text[start:end].strip() != ""
            covered[start:end] = [True] * (end - start)
    assert [passage.start for passage in passages] == sorted(passage.start for passage in passages)

    trails = {heading for passage in passages for heading in passage.headings}
    for block in doc.blocks:
        words = doc.text[block.start : block.end]
        if block.kind == "heading":  # is its own passage, or between passages, and in the trail of what is below it
            inside = [p for p in passages if p.start < block.end and block.start < p.end]
            assert all(block.start <= p.start and p.end <= block.end for p in inside)
            assert words in trails or not words or inside
        if block.kind != "heading" or words not in trails:
            lost = [words[n] for n in range(len(words)) if not covered[block.start + n] and not words[n].isspace()]
            assert not lost
    return passages


def test_passages_of_small_files_are_exact(tmp_path: Path, encoder: Encoder) -> None:
    for doc in read_corpus(write_files(tmp_path, FILES)).documents:
        assert checked(doc, encoder)


@pytest.mark.parametrize("aim", [32, 160])
def test_passages_of_the_shipped_corpus_are_exact(encoder: Encoder, aim: int) -> None:
    for doc in read_corpus(REPOSITORY / "corpus").documents:
        assert checked(doc, encoder, aim)


words = st.sampled_from(
    ["Harbour", "the", "boat", "e.g.", "Mr.", "42", "10:30", "port’s", "co-operate", "港口", "نمی‌رود", "👩‍🚀"]
)
sentence = st.builds(
    lambda parts, end: " ".join(parts) + end,
    st.lists(words, min_size=1, max_size=30),
    st.sampled_from([".", "?", "", ":", "。"]),
)
paragraph = st.lists(sentence, min_size=1, max_size=6).map(" ".join)
bullets = st.lists(sentence, min_size=1, max_size=30).map(lambda items: "\n".join(f"- {item}" for item in items))
heading = st.builds(lambda level, text: f"{'#' * level} {text}", st.integers(1, 4), sentence)
code = paragraph.map(lambda text: f"```\n{text}\n```")
pages = st.lists(st.one_of(heading, paragraph, bullets, code), min_size=1, max_size=8).map("\n\n".join)
lines = st.lists(
    st.one_of(sentence, paragraph, st.sampled_from(["Useful contacts", "Learn more", "• one"])), min_size=1
)
plain_texts = st.builds(str.join, st.sampled_from(["\n", "\n\n", "\n\n\n"]), lines)

#: Bullets are in the text but not in the entries: the first try is too long, and the last sentence over the next limit.
LIST_THEN_PROSE = "\n".join(["- a"] * 160) + "\n\n" + " ".join(["word"] * 150) + ".\n"


@settings(deadline=None, max_examples=40)
@given(text=pages, aim=st.sampled_from([32, 48, 160, 400]))
@example(text=LIST_THEN_PROSE, aim=160)
def test_passages_of_any_markdown_are_exact(encoder: Encoder, text: str, aim: int) -> None:
    checked(document(read_markdown(text)), encoder, aim)


@settings(deadline=None, max_examples=40)
@given(text=plain_texts, aim=st.sampled_from([32, 48, 160, 400]))
@example(text="Useful contacts\n\nLearn more\n", aim=160)
def test_passages_of_any_plain_text_are_exact(encoder: Encoder, text: str, aim: int) -> None:
    checked(document(read_plain(text)), encoder, aim)


@settings(deadline=None, max_examples=40)
@given(text=st.text(st.sampled_from("Ab .!?\n-#*|`<>&é港\u200d") | st.characters(), max_size=200))
def test_passages_of_any_text_at_all_are_exact(words: Encoder, text: str) -> None:
    for reader in (read_markdown, read_plain, read_html):
        checked(document(reader(text)), words, 32)


def test_a_section_that_fits_is_one_passage_with_its_heading_trail(words: Encoder) -> None:
    text = (
        "# Rules\n\nBe kind.\n\n## Boats\n\nGo slowly. Light.\n\n- north\n- south\n\n### Crew\n\nRest.\n\n## Fee\n\nNo."
    )
    found = [(p.headings, p.text) for p in checked(document(read_markdown(text)), words)]
    assert found == [
        (("Rules",), "Be kind."),
        (("Rules", "Boats"), "Go slowly. Light.\n\n• north\n• south"),
        (("Rules", "Boats", "Crew"), "Rest."),
        (("Rules", "Fee"), "No."),
    ]


@pytest.mark.parametrize("text", ["# Closed on Mondays", "# Rules\n\n## Closed on Mondays\n\n## Boats\n\nGo slowly."])
def test_a_heading_with_nothing_below_it_can_still_be_found(words: Encoder, text: str) -> None:
    assert "Closed on Mondays" in [passage.text for passage in checked(document(read_markdown(text)), words)]


def test_a_long_section_is_cut_between_sentences_and_each_cut_is_seen_from_both_sides(encoder: Encoder) -> None:
    text = " ".join(f"Boat number {number} lies at the pier." for number in range(100))
    passages = checked(document(read_plain(text)), encoder)
    assert len(passages) > 3
    assert all(passage.text.startswith("Boat number") and passage.text.endswith("pier.") for passage in passages)
    assert all(two.sentences[0] == one.sentences[-1] for one, two in pairwise(passages))


@pytest.mark.parametrize("aim", [20, 30, 40])
def test_a_passage_is_not_longer_than_it_is_meant_to_be(words: Encoder, aim: int) -> None:
    text = " ".join(f"Boat number {number} lies at the pier." for number in range(100))
    lengths = words.count_tokens([passage.text for passage in checked(document(read_plain(text)), words, aim)])
    assert aim // 2 < max(lengths) - 2 <= aim  # the encoder adds two tokens of its own


@pytest.mark.parametrize("between", [" ", "\n\n"], ids=["one paragraph", "many"])
def test_the_passages_of_a_long_section_are_of_about_equal_length(words: Encoder, between: str) -> None:
    for count in range(8, 60):
        text = between.join(f"Boat number {number} lies at the pier." for number in range(count))
        lengths = [len(passage.sentences) for passage in checked(document(read_plain(text)), words)]
        assert 2 * min(lengths) + 1 >= max(lengths), lengths


@pytest.mark.parametrize("bullet", ["- ", "1. "])
def test_neighbours_in_a_list_are_always_together_in_some_passage(encoder: Encoder, bullet: str) -> None:
    names = [f"Pier {number}" for number in range(150)]
    text = "Piers in use\n\n" + "".join(f"{bullet}{name}\n" for name in names)
    passages = checked(document(read_markdown(text)), encoder, 64)
    entries = [[passage.sentence_text(n) for n in range(len(passage.sentences))] for passage in passages]
    assert len(passages) > 2
    for pair in pairwise(names):
        assert any(list(pair) == found[n : n + 2] for found in entries for n in range(len(found)))
    for one, two in pairwise(passages):
        assert one.sentences[-2:] == two.sentences[:2]


@pytest.mark.parametrize(
    "text", ["word " * 10_000, "a-" * 25_000, "港" * 5_000, "x" * 50_000], ids=lambda text: text[:2]
)
def test_a_sentence_of_any_length_is_split_until_it_fits(encoder: Encoder, text: str) -> None:
    doc = document(read_plain(text))
    passages = checked(doc, encoder)
    whole = encoder.count_tokens([doc.text])[0]
    assert len(passages) >= whole // encoder.max_tokens
    for passage in passages:
        assert max(encoder.count_tokens([passage.sentence_text(n) for n in range(len(passage.sentences))])) <= 162
    if text[0] == "w":
        assert not any(passage.sentence_text(0).startswith(("ord", "rd")) for passage in passages)


def test_every_row_of_a_table_and_every_line_of_code_is_one_sentence(words: Encoder) -> None:
    text = "| Boat | Fee. In euros |\n|---|---|\n| Gull. | 12 |\n\n```\na = 1. + b\n\nprint(a)\n```\n"
    [passage] = checked(document(read_markdown(text)), words)
    found = [passage.sentence_text(number) for number in range(len(passage.sentences))]
    assert found == ["Boat | Fee. In euros", "Boat: Gull. | Fee. In euros: 12", "a = 1. + b", "print(a)"]


def test_sentences_end_where_the_document_s_language_ends_them(words: Encoder) -> None:
    content = read_plain("Il sig. Rossi arriva alle 9. Poi parte.")
    italian = Document("a.txt", "0" * 64, Source("A", language="it-IT"), content.text, content.blocks)
    unknown = Document("a.txt", "0" * 64, Source("A", language="xx"), content.text, content.blocks)
    [passage] = checked(italian, words)
    assert [passage.sentence_text(number) for number in range(2)] == ["Il sig. Rossi arriva alle 9.", "Poi parte."]
    assert checked(unknown, words)


def test_the_encoder_reads_title_and_headings_before_a_passage_once_each() -> None:
    assert context_of("Rules", ()) == "Rules. "
    assert context_of("Rules", ("RULES", "Boats", "boats", "Fees")) == "Rules. Boats. Fees. "


def test_a_quote_never_holds_its_title_or_headings(words: Encoder) -> None:
    doc = document(read_markdown("# Boats\n\nGo slowly."), title="Rules")
    [passage] = checked(doc, words)
    assert passage.text == "Go slowly."
    assert encoder_text(doc, passage, words) == "Rules. Boats. Go slowly."


def test_the_topic_of_a_passage_is_its_title_and_all_of_its_headings(words: Encoder) -> None:
    doc = document(read_markdown("# Boats\n\n## Fees\n\nGo slowly."), title="Rules")
    [passage] = checked(doc, words)
    assert topic_text(doc, passage, words) == "Rules. Boats. Fees. "


def test_only_a_sentence_of_few_words_is_read_in_its_context(words: Encoder) -> None:
    doc = document(
        read_markdown("# Members\n\n- Kenya\n- The old port authority\n\nAll of them met today."), title="Union"
    )
    [passage] = checked(doc, words)
    assert sentence_texts(doc, passage, words) == [
        "Union. Members. Kenya", "Union. Members. The old port authority", "All of them met today.",
    ]  # fmt: skip


def test_a_context_that_is_cut_short_does_not_run_into_the_passage(encoder: Encoder) -> None:
    for length in range(20, 55, 5):
        doc = document(read_markdown(f"# {'Alphabet ' * length}\n\nBoats may go."))
        [passage] = checked(doc, encoder)
        before = encoder_text(doc, passage, encoder).removesuffix("Boats may go.")
        assert before == "" or before[-1].isspace()


def test_the_same_document_is_always_split_alike(words: Encoder) -> None:
    doc = document(read_plain("Boats go slowly. " * 200))
    assert split(doc, words, aim=48) == split(doc, words, aim=48)


def test_a_passage_that_does_not_fit_its_offsets_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"harbour\.md#3-8"):
        Passage("harbour.md", 3, 8, "too long", (), (Span(3, 8),))
    with pytest.raises(ValueError, match="does not fit"):
        Passage("harbour.md", 3, 8, "words", (), ())


@pytest.mark.parametrize("title", ["Rules", "R" * 300, "港" * 300])
def test_nothing_is_over_the_limit_whatever_the_title(encoder: Encoder, title: str) -> None:
    text = f"# {title}\n\n## Sub {title}\n\n" + "Boats go slowly. " * 300
    checked(document(read_markdown(text), title), encoder)
