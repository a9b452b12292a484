"""What search by the very words rests on: BM25 as the books have it, over words folded as people type them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.lexical import READINGS, Lexical, Terms, build_lexical, read_terms, terms_of, words_of
from bot.types import Encoder
from tests.conftest import WordEncoder, entries

TEXTS = [
    "Boats may go at most 5 knots inside the harbour.",
    "There are 42 moorings for visitors; the harbour master gives out moorings.",
    "Puffins breed on the western cliffs.",
    "A café near the keeper’s house is open in summer.",
    "Boats, boats and boats.",
]
NAMES = ["harbour.md", "harbour.md", "birds.html", "town.md", "harbour.md"]

PIECES = WordEncoder().pieces


def build(folder: Path, texts: Sequence[str], names: Sequence[str], encoder: Encoder | None = None) -> Lexical:
    return Lexical(folder, build_lexical(entries(names, texts, encoder or WordEncoder()), folder))


def terms(text: str, encoder: Encoder | None = None) -> Terms:
    return read_terms([text], encoder.pieces if encoder else PIECES)[0]


def search(lexical: Lexical, asked: Terms | str, limit: int = 10, documents: Sequence[str] | None = None) -> list[int]:
    rows, shares = lexical.search(terms(asked) if isinstance(asked, str) else asked, limit, documents)
    assert len(rows) == len(shares)
    return [int(row) for row in rows]


def shares_of(lexical: Lexical, asked: Terms | str, documents: Sequence[str] | None = None) -> dict[int, float]:
    rows, shares = lexical.search(terms(asked) if isinstance(asked, str) else asked, 1_000, documents)
    return dict(zip(map(int, rows), map(float, shares), strict=True))


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> Lexical:
    return build(tmp_path_factory.mktemp("lexical"), TEXTS, NAMES)


def bm25(texts: Sequence[Sequence[str]], asked: Iterable[str], k1: float = 1.2, b: float = 0.75) -> dict[int, float]:
    """The oracle: BM25 with Lucene's idf, from its definition, over texts that are already words; as a share of what
    endless repeats of every word asked for would get."""
    mean = sum(map(len, texts)) / len(texts)
    wanted = set(asked)
    idf = {}
    for term in wanted:
        holding = sum(term in text for text in texts)
        idf[term] = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
    most = sum(idf.values()) * (k1 + 1)
    scores: dict[int, float] = {}
    for row, text in enumerate(texts):
        counts = Counter(text)
        for term in wanted & set(text):
            length = 1 - b + b * len(text) / mean
            reached = idf[term] * counts[term] * (k1 + 1) / (counts[term] + k1 * length)
            scores[row] = scores.get(row, 0) + reached / most
    return scores


def weighted(texts: Sequence[Terms], asked: Terms) -> dict[int, float]:
    """The oracle for the three readings together."""
    shares: defaultdict[int, float] = defaultdict(float)
    for reading, weight in (("words", 0.54), ("pieces", 0.31), ("pairs", 0.15)):
        assert READINGS[reading] == weight
        for row, share in bm25([getattr(text, reading) for text in texts], getattr(asked, reading)).items():
            shares[row] += weight * share
    return dict(shares)


# Made-up words that no stemmer changes. tantivy keeps lengths exactly only up to 40 words, so texts stay below.
made_up = st.sampled_from(["xab", "xac", "xad", "xaf", "xag", "xah"])
made_up_texts = st.lists(st.lists(made_up, min_size=1, max_size=39), min_size=1, max_size=12)


@settings(deadline=None, max_examples=20)
@given(made_up_texts, st.lists(made_up, min_size=1, max_size=4))
def test_shares_are_those_of_bm25(texts: list[list[str]], asked: list[str]) -> None:
    with TemporaryDirectory() as folder:
        built = build(Path(folder), [" ".join(text) for text in texts], ["a.md"] * len(texts))
        found = shares_of(built, " ".join(asked))
    expected = weighted([terms(" ".join(text)) for text in texts], terms(" ".join(asked)))
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(found) == sorted(found, key=lambda row: (-found[row], row))
    assert all(0 < share < 1 for share in found.values())


@pytest.mark.parametrize("reading", READINGS)
def test_each_reading_alone_is_a_share_of_what_it_can_reach(lexical: Lexical, reading: str) -> None:
    asked = terms("Do the boats in the harbour master moorings?")
    one = Terms(*(getattr(asked, name) if name == reading else () for name in ("words", "pieces", "pairs")))
    expected = bm25([getattr(terms(text), reading) for text in TEXTS], getattr(asked, reading))
    assert expected
    assert {row: share / READINGS[reading] for row, share in shares_of(lexical, one).items()} == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("question", ["How many moorings for boats are in the harbour?", "café", "What is 42?"])
def test_shares_of_real_sentences_are_those_of_bm25_over_their_terms(lexical: Lexical, question: str) -> None:
    expected = weighted([terms(text) for text in TEXTS], terms(question))
    assert expected
    assert shares_of(lexical, question) == pytest.approx(expected, rel=1e-5)


def test_the_pieces_of_the_real_model_are_scored_alike(tmp_path: Path, model: Encoder) -> None:
    asked = terms("How many moorigns does the harbourmaster have?", model)
    found = shares_of(build(tmp_path, TEXTS, NAMES, model), asked)
    assert found == pytest.approx(weighted([terms(text, model) for text in TEXTS], asked), rel=1e-5)


def test_lengths_of_long_texts_are_kept_nearly(tmp_path: Path) -> None:
    """tantivy keeps a length in one byte: up to 40 exactly, above it rounded down by at most an eighth."""
    texts = [" ".join(["xab"] * (1 + number % 3) + ["xac"] * (37 * number)) for number in range(1, 20)]
    found = shares_of(build(tmp_path, texts, ["a.md"] * len(texts)), "xab")
    assert found == pytest.approx(weighted([terms(text) for text in texts], terms("xab")), rel=0.125)


def test_a_share_nears_one_as_a_text_is_nothing_but_the_question(tmp_path: Path) -> None:
    asked = "xab xac xad"
    built = build(tmp_path, [" ".join([asked] * 200), *[f"{asked} " + "xaf " * 50_000] * 2], ["a.md"] * 3)
    assert 0.95 < shares_of(built, asked)[0] < 1


def test_a_long_question_weighs_no_more_than_a_short_one(lexical: Lexical) -> None:
    assert shares_of(lexical, "puffins breed")[2] > shares_of(lexical, "puffins breed near some lighthouse, too")[2]


def test_a_text_is_read_in_three_ways() -> None:
    found = terms("The Moorings, the moorings of CAFÉS")
    assert found.words == ("moor", "moor", "cafe")
    assert found.pieces == tuple(str(number) for [number] in PIECES(["moorings", "moorings", "cafes"]))
    assert found.pairs == ("moor_moor", "moor_cafe")


def test_texts_are_read_one_by_one() -> None:
    assert read_terms([], PIECES) == []
    assert read_terms(TEXTS, PIECES) == [terms(text) for text in TEXTS]


def test_more_texts_than_are_read_at_a_time_keep_their_rows(tmp_path: Path) -> None:
    texts = [f"xab x{number}y" for number in range(2_005)]
    built = build(tmp_path, texts, [f"{number}.md" for number in range(2_005)])
    for row in (0, 999, 1_000, 1_999, 2_000, 2_004):
        assert search(built, f"x{row}y") == [row]
        assert search(built, "xab", documents=[f"{row}.md"]) == [row]


def test_words_that_stand_side_by_side_count_more(tmp_path: Path) -> None:
    texts = ["the master saw a harbour", "the harbour master saw it", "a pier"]
    assert search(build(tmp_path, texts, ["a.md"] * 3), "harbour master") == [1, 0]


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        ("harbourmaster", 0),
        ("lighthousekeeper", 1),
        ("moorigns", 2),
        ("puffinry", 3),
        ("stormwarning", 4),
    ],
)
def test_a_word_that_is_misspelt_or_compounded_is_found_by_its_pieces(
    tmp_path: Path, model: Encoder, asked: str, row: int
) -> None:
    texts = [
        "The harbour master decides.",
        "The lighthouse keeper counts.",
        "There are moorings at the pier.",
        "Puffins breed in May.",
        "A storm warning is shown by a lantern.",
    ]
    built = build(tmp_path, texts, ["a.md"] * len(texts), model)
    question = terms(asked, model)
    assert search(built, question)[0] == row
    assert search(built, Terms(question.words, (), question.pairs)) == []


def test_a_word_asked_for_twice_counts_once(lexical: Lexical) -> None:
    once = Terms(("boat",), ("1",), ("boat_harbour",))
    twice = Terms(("boat", "boat"), ("1", "1"), ("boat_harbour", "boat_harbour"))
    assert shares_of(lexical, twice) == shares_of(lexical, once) != {}


def test_equal_scores_come_in_corpus_order(tmp_path: Path) -> None:
    assert search(build(tmp_path, ["same words"] * 20, ["a.md"] * 20), "word", 20) == list(range(20))


def test_no_more_is_returned_than_was_asked_for_and_it_is_the_best(lexical: Lexical) -> None:
    everything = search(lexical, "boats in the harbour")
    assert len(everything) > 2
    for limit in (1, 2, len(everything)):
        assert search(lexical, "boats in the harbour", limit) == everything[:limit]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Harbour", "HARBOUR"),
        ("café", "cafe"),
        ("CAFÉ", "cafe"),
        ("keeper’s", "keeper's"),
        ("moorings", "mooring"),
        ("Straße", "strasse"),
        ("twenty-one", "21"),
        ("seven", "7"),
        ("1,000", "1000"),
    ],
)
def test_words_that_people_type_differently_are_the_same(one: str, other: str) -> None:
    assert terms_of(one) == terms_of(other) != []


def test_a_hyphenated_word_is_its_parts_and_the_whole() -> None:
    assert set(terms_of("sea-bird")) == {*terms_of("sea bird"), *terms_of("seabird")}


def test_a_text_is_found_by_words_without_their_accents(lexical: Lexical) -> None:
    assert search(lexical, "CAFE of the keepers") == [3]


def test_every_script_has_terms() -> None:
    assert terms_of("港口有灯塔") == list("港口有灯塔")
    assert terms_of("маяк горит") == ["маяк", "горит"]
    assert terms_of("منارة الميناء") == ["منارة", "الميناء"]
    assert terms_of("灯台のライト") == ["灯", "台", "のライト"]


def test_words_that_only_say_how_something_is_asked_find_nothing(lexical: Lexical) -> None:
    assert terms("What is it, and how do I get to be there?") == Terms((), (), ())
    assert search(lexical, Terms((), (), ())) == []


def test_an_unknown_word_finds_nothing(lexical: Lexical) -> None:
    assert search(lexical, "submarine") == []


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
    assert search(lexical, "boats", documents=documents) == rows


def test_a_limited_search_scores_as_an_unlimited_one(lexical: Lexical) -> None:
    asked = "boats in the harbour, and a café"
    everywhere = shares_of(lexical, asked)
    limited = shares_of(lexical, asked, ["harbour.md"])
    assert limited == pytest.approx({row: share for row, share in everywhere.items() if row != 3})
    assert len(limited) == len(everywhere) - 1


def test_a_rare_word_tells_more_than_a_common_one_and_an_unknown_one_most(lexical: Lexical) -> None:
    assert lexical.idf("puffin") == pytest.approx(math.log(1 + 4.5 / 1.5))
    assert lexical.idf("boat") == pytest.approx(math.log(1 + 3.5 / 2.5))
    assert lexical.idf("submarin") == pytest.approx(math.log(1 + 5.5 / 0.5))
    assert lexical.idf("harbour_master", "pairs") == pytest.approx(math.log(1 + 4.5 / 1.5))
    assert lexical.knows("puffin")
    assert not lexical.knows("submarin")
    assert not lexical.knows("harbour_master")


def test_an_empty_index_can_be_asked(tmp_path: Path) -> None:
    empty = build(tmp_path, [], [])
    assert len(empty) == 0
    assert search(empty, "boat") == []
    assert not empty.knows("boat")


def test_a_passage_without_a_word_keeps_its_row(tmp_path: Path) -> None:
    built = build(tmp_path, ["★ ★", "boats", "", "more boats"], ["a.md"] * 4)
    assert len(built) == 4
    assert search(built, "boats") == [1, 3]


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Lexical(tmp_path, np.zeros(0, dtype=np.int32))
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.text(max_size=60))
@example("ᴠ")
def test_any_text_has_terms_that_are_whole_and_in_lower_case(text: str) -> None:
    found = terms(text)
    assert all(term == term.lower() != "" for term in found.words)
    assert all(len(term.split()) == 1 for term in (*found.words, *found.pieces, *found.pairs))
    assert len(found.pairs) == max(0, len(found.words) - 1)


def test_words_keep_their_inner_hyphens_and_apostrophes() -> None:
    assert words_of("The keeper’s co-operative – isn't it 'open'?") == [
        "The", "keeper’s", "co-operative", "isn't", "it", "open",
    ]  # fmt: skip


def test_where_terms_are_too_common_to_count_the_rarest_are_counted(
    lexical: Lexical, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = terms("How many boats at moorings in the harbour may visitors have, and is the café open in summer?")
    some = ["harbour.md", "town.md"]
    (rows, shares), within = lexical.search(asked, 10), lexical.search(asked, 10, some)
    monkeypatch.setattr("bot.lexical._COUNTED", 0)
    named, again = lexical.search(asked, 10)
    assert {"visitors", "café"} <= {word for row in named for word in words_of(TEXTS[row])}
    assert TEXTS.index("Boats, boats and boats.") in set(rows.tolist()) - set(named.tolist())
    whole = dict(zip(rows.tolist(), shares.tolist(), strict=True))
    assert all(0 < share <= whole[row] for row, share in zip(named.tolist(), again.tolist(), strict=True))
    assert sorted(again, reverse=True) == again.tolist()
    assert lexical.search(asked, 10, some)[0].tolist() == within[0].tolist(), "of few documents all can be counted"


def test_the_rows_are_those_of_the_order_that_is_given(tmp_path: Path) -> None:
    """And not tantivy's own, whose numbers may end the process."""
    order = build_lexical(entries(NAMES, TEXTS, WordEncoder()), tmp_path)
    assert search(Lexical(tmp_path, order), "puffins") == [2]
    assert search(Lexical(tmp_path, np.roll(order, 1)), "puffins") == [1]
    for wrong in (order[1:], order + 1, order * 0, order[None]):
        with pytest.raises(ValueError, match="order"):
            Lexical(tmp_path, wrong)


def test_passages_keep_their_rows_in_several_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tantivy puts the segments together as it likes; a small heap makes some."""
    monkeypatch.setattr("bot.lexical._WRITER_BYTES", 15_000_000)
    texts = [f"{' '.join(f'w{number}x{n}' for n in range(200))} own{number}" for number in range(1_500)]
    built = build(tmp_path, texts, ["a.md"] * len(texts))
    assert built._searcher.num_segments > 1
    for row in range(0, len(texts), 97):
        assert search(built, f"own{row}") == [row]
