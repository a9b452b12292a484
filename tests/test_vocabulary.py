"""Short forms and words that a corpus teaches."""

from __future__ import annotations

import time

import pytest

from bot.folding import fold
from bot.vocabulary import Tally, Vocabulary, learn


def learnt(texts: list[str]) -> Vocabulary:
    tally = Tally()
    for text in texts:
        tally.add(learn(text))
    return tally.vocabulary()


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("The Harbour Safety Board (HSB) meets on Mondays.", "hsb", "Harbour Safety Board"),
        ("They asked the Board for Lights and Signals (BLS).", "bls", "Board for Lights and Signals"),
        ("the remotely operated vessel (ROV) sank", "rov", "remotely operated vessel"),
        ("Read the Model Harbour Response first.", "mhr", "Model Harbour Response"),
        ("It works against weather-related boat-based damage.", "wrbbd", "weather-related boat-based damage"),
        ("the Island Forum on Lights and Buoys", "ifl", "Island Forum on Lights"),
        ("The Board of the Harbour Rescue Service at Whitby", "hrs", "Harbour Rescue Service"),
    ],
)
def test_a_short_form_leads_to_what_it_stands_for(text: str, short: str, long: str) -> None:
    assert long in learnt([text]).short_forms[short]


def test_a_piece_cut_out_of_a_name_has_no_short_form() -> None:
    forms = learnt(
        ["Office on Theft and Damage of Lost Boats", "Safety at the World Harbour Forum of Whitby"]
    ).short_forms
    assert {"whf", "otdlb"} <= forms.keys()
    assert not {"dlb", "hfw"} & forms.keys()


def test_what_the_author_says_comes_before_what_initials_suggest() -> None:
    texts = ["Harbour Safety Board. " * 5, "the Help for Sailors Bureau (HSB)"]
    assert learnt(texts).short_forms["hsb"][0] == "Help for Sailors Bureau"


def test_words_in_brackets_that_do_not_spell_what_is_before_are_no_short_form() -> None:
    assert learnt(["Lights are switched on at dusk (UTC)."]).short_forms == {}


def test_words_are_folded_and_counted() -> None:
    words = learnt(["Café café CAFE", "buoys"]).words
    assert words == {"cafe": 3, "buoys": 1}


def test_words_are_those_of_the_text_and_not_their_other_forms() -> None:
    """They are what a misspelt word is mended to, so they must be words that a person could have meant."""
    words = learnt(["Twenty-one boats of the co-operative sailed on 4 March 2024."]).words
    assert words.keys() == {
        fold(word) for word in "twenty one boats of the co operative sailed on 4 March 2024".split()
    }


def test_the_same_texts_teach_the_same_in_any_order() -> None:
    texts = ["Harbour Safety Board", "High Speed Boats (HSB)", "Home Sailing Board"]
    assert learnt(texts) == learnt(texts[::-1])


def test_words_that_begin_with_a_letter_are_found_by_their_length() -> None:
    words = learnt(["boat boats buoy bay harbour"])
    assert words.beginning_with("b", 3, 4) == ["bay", "boat", "buoy"]
    assert words.beginning_with("b", 5, 9) == ["boats"]
    assert words.beginning_with("q", 1, 9) == []


def test_many_capitals_in_a_row_are_a_list_and_no_name() -> None:
    assert learnt(["Aa Bb Cc Dd " * 20]).short_forms == {}
    assert "abcd" in learnt(["Aa Bb Cc Dd"]).short_forms


@pytest.mark.parametrize(
    "piece", ["Tick ", "Tick-", "tick-", "A’", "tick-tock ", "Aa of the ", "(AB) ", "Tick of of of "]
)
def test_what_is_learnt_takes_time_in_proportion_to_the_text(piece: str) -> None:
    """All of a document is looked through at once, and nothing stops whoever writes one."""
    started = time.process_time()
    learn(piece * 100_000)
    assert time.process_time() - started < 10
