"""What search by the very words rests on: BM25 as the books have it, over words folded as people type them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.lexical import Lexical, build_lexical, terms_of, words_of

TEXTS = [
    "Boats may go at most 5 knots inside the harbour.",
    "There are 42 moorings for visitors; the harbour master gives out moorings.",
    "Puffins breed on the western cliffs.",
    "A café near the keeper’s house is open in summer.",
    "Boats, boats and boats.",
]
NAMES = ["harbour.md", "harbour.md", "birds.html", "town.md", "harbour.md"]


def build(folder: Path, texts: Sequence[str], names: Sequence[str]) -> Lexical:
    build_lexical(texts, names, folder)
    return Lexical(folder)


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> Lexical:
    return build(tmp_path_factory.mktemp("lexical"), TEXTS, NAMES)


def bm25(texts: Sequence[Sequence[str]], terms: Sequence[str], k1: float = 1.2, b: float = 0.75) -> dict[int, float]:
    """The oracle: BM25 with Lucene's idf, from its definition, over texts that are already words."""
    mean = sum(map(len, texts)) / len(texts)
    scores: dict[int, float] = {}
    for row, text in enumerate(texts):
        counts = Counter(text)
        for term in set(terms) & set(text):
            holding = sum(term in other for other in texts)
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            length = 1 - b + b * len(text) / mean
            scores[row] = scores.get(row, 0) + idf * counts[term] * (k1 + 1) / (counts[term] + k1 * length)
    return scores


# Made-up words that no stemmer changes. tantivy keeps lengths exactly only up to 40 words, so texts stay below.
made_up = st.sampled_from(["xab", "xac", "xad", "xaf", "xag", "xah"])
made_up_texts = st.lists(st.lists(made_up, min_size=1, max_size=39), min_size=1, max_size=12)


@settings(deadline=None, max_examples=20)
@given(made_up_texts, st.lists(made_up, min_size=1, max_size=4))
def test_scores_are_those_of_bm25(texts: list[list[str]], terms: list[str]) -> None:
    with TemporaryDirectory() as folder:
        built = build(Path(folder), [" ".join(text) for text in texts], ["a.md"] * len(texts))
        found = built.search(terms, 100)
    assert dict(found) == pytest.approx(bm25(texts, terms), rel=1e-5)
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))


def test_scores_of_real_sentences_are_those_of_bm25_over_their_terms(lexical: Lexical) -> None:
    terms = terms_of("How many moorings for boats are in the harbour?")
    assert dict(lexical.search(terms, 10)) == pytest.approx(bm25([terms_of(text) for text in TEXTS], terms), rel=1e-5)


def test_a_word_asked_for_twice_counts_once(lexical: Lexical) -> None:
    assert lexical.search(terms_of("boats boats"), 10) == lexical.search(terms_of("boat"), 10)


def test_equal_scores_come_in_corpus_order(tmp_path: Path) -> None:
    found = build(tmp_path, ["same words"] * 20, ["a.md"] * 20).search(["word"], 20)
    assert [row for row, _ in found] == list(range(20))


def test_no_more_is_returned_than_was_asked_for_and_it_is_the_best(lexical: Lexical) -> None:
    everything = lexical.search(terms_of("boats in the harbour"), 10)
    assert len(everything) > 2
    assert lexical.search(terms_of("boats in the harbour"), 2) == everything[:2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Harbour", "HARBOUR"),
        ("café", "cafe"),
        ("CAFÉ", "cafe"),
        ("keeper’s", "keeper's"),
        ("moorings", "mooring"),
        ("Straße", "strasse"),
        ("on-line", "on line"),
    ],
)
def test_words_that_people_type_differently_are_the_same(one: str, other: str) -> None:
    assert terms_of(one) == terms_of(other) != []


def test_a_text_is_found_by_words_without_their_accents(lexical: Lexical) -> None:
    assert [row for row, _ in lexical.search(terms_of("CAFE of the keepers"), 10)] == [3]


def test_every_script_has_terms() -> None:
    assert terms_of("港口有灯塔") == list("港口有灯塔")
    assert terms_of("маяк горит") == ["маяк", "горит"]
    assert terms_of("منارة الميناء") == ["منارة", "الميناء"]
    assert terms_of("灯台のライト") == ["灯", "台", "のライト"]


def test_words_that_only_say_how_something_is_asked_find_nothing(lexical: Lexical) -> None:
    assert terms_of("What is it, and how do I get to be there?") == []
    assert lexical.search([], 10) == []


def test_an_unknown_word_finds_nothing(lexical: Lexical) -> None:
    assert lexical.search(terms_of("submarine"), 10) == []


@pytest.mark.parametrize(
    ("documents", "rows"),
    [
        (None, [4, 0]),
        (["harbour.md"], [4, 0]),
        (["birds.html", "harbour.md"], [4, 0]),
        (["birds.html"], []),
        (["harbour"], []),
        (["Harbour.md"], []),
        ([], []),
    ],
)
def test_a_search_can_be_limited_to_documents_by_their_very_ids(
    lexical: Lexical, documents: list[str] | None, rows: list[int]
) -> None:
    assert [row for row, _ in lexical.search(terms_of("boats"), 10, documents)] == rows


def test_a_limited_search_scores_as_an_unlimited_one(lexical: Lexical) -> None:
    terms = terms_of("boats in the harbour")
    assert lexical.search(terms, 10, ["harbour.md"]) == lexical.search(terms, 10)


def test_a_rare_word_tells_more_than_a_common_one_and_an_unknown_one_most(lexical: Lexical) -> None:
    assert lexical.idf("puffin") == pytest.approx(math.log(1 + 4.5 / 1.5))
    assert lexical.idf("boat") == pytest.approx(math.log(1 + 3.5 / 2.5))
    assert lexical.idf("submarin") == pytest.approx(math.log(1 + 5.5 / 0.5))
    assert lexical.knows("puffin")
    assert not lexical.knows("submarin")


def test_an_empty_index_can_be_asked(tmp_path: Path) -> None:
    empty = build(tmp_path, [], [])
    assert len(empty) == 0
    assert empty.search(["boat"], 10) == []
    assert not empty.knows("boat")


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Lexical(tmp_path)
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_terms_that_are_terms_of_themselves_in_lower_case(text: str) -> None:
    assert all(term == term.lower() != "" for term in terms_of(text))


def test_words_keep_their_inner_hyphens_and_apostrophes() -> None:
    assert words_of("The keeper’s co-operative – isn't it 'open'?") == [
        "The", "keeper’s", "co-operative", "isn't", "it", "open",
    ]  # fmt: skip
