"""That people spell one thing in many ways and still find it; nothing here may change what is quoted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents import read_corpus
from bot.engine import Bot
from bot.folding import fold, with_other_forms
from bot.lexical import Lexical, build_lexical, read_terms, terms_of
from bot.publish import publish
from bot.snapshot import open_snapshot
from bot.types import Encoder
from tests.conftest import entries, write_files

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen""".split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
MONTHS = """January February March April May June July August September October November December""".split()

#: What the rules look for, and letters that fold into it.
PARTS = [
    *"0 4 12 31 99 1000 2024 2099 1500 , . - / ' ’ ‑ _ one twenty march sept Mar. of st th s S a é ß".split(),
    *(" ", "\n", "\u00a0", "\u202f", "٣", "²", "ſ", "K", "\u0301", "\x00", "\U0001f6a2"),
]
any_text = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PARTS), max_size=25).map("".join))


def in_words(number: int, between: str) -> str:
    if number < 20:
        return ONES[number]
    return TENS[number // 10] + (between + ONES[number % 10] if number % 10 else "")


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("CAFÉ", "cafe"),
        ("Türkiye", "turkiye"),
        ("Straße", "strasse"),
        ("Côte d’Ivoire", "cote d’ivoire"),
        ("ﬁnn", "finn"),
        ("İstanbul", "istanbul"),
        ("Ελλάδα", "ελλαδα"),
        ("Signpost™", "signposttm"),
        ("№ 4", "no 4"),
        ("", ""),
    ],
)
def test_text_is_folded_to_small_letters_without_accents(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(any_text)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["-", " "])
@pytest.mark.parametrize("written", [str.lower, str.upper, str.title])
def test_numbers_in_words_become_digits(between: str, written: Callable[[str], str]) -> None:
    for number in range(2, 100):
        assert with_other_forms(f"has {written(in_words(number, between))} boats").strip() == f"has {number} boats"
        assert with_other_forms(written(in_words(number, between))) == str(number)


@given(st.integers(1_000, 10**12), st.sampled_from([",", "\u00a0", "\u202f"]))
def test_thousands_are_joined(number: int, mark: str) -> None:
    assert with_other_forms("has " + f"{number:,}".replace(",", mark) + " boats").strip() == f"has {number} boats"


@pytest.mark.parametrize(
    "text",
    [
        "one boat", "weight", "tent", "height", "often", "fourth", "sixty's", "1,00", "1,0000", "1000,5", "12 , 345",
        "1.000", "a1,000", "ten_boats",
    ],
)  # fmt: skip
def test_what_is_no_number_or_another_stays(text: str) -> None:
    start = text.replace("sixty", "60")
    assert with_other_forms(text).startswith(start)


@pytest.mark.parametrize(
    "text", ["fıve boats", "FİVE BOATS", "sıx", "nİne", "fıfty-one", "ſix", "four or fıve", "six, FİFTY-ONE"]
)
def test_letters_that_only_look_like_those_of_a_number_word_do_no_harm(text: str) -> None:
    """``re.IGNORECASE`` takes i for its Turkish sisters, and s for the long one."""
    with_other_forms(text)
    assert terms_of(text)


# --- dates ------------------------------------------------------------------------------------------------------------


def day_terms(text: str) -> set[str]:
    """The terms that name a whole day, whatever they look like: digits with letters that are no ordinal."""
    return {
        term for term in terms_of(text)
        if re.search(r"\d", term) and re.search(r"[a-z]", term) and not re.fullmatch(r"\d+(?:st|nd|rd|th)", term)
    }  # fmt: skip


@settings(deadline=None)
@given(st.dates(date(1500, 1, 1), date(2099, 12, 31)))
def test_every_way_to_write_a_day_names_the_same_day_and_month(day: date) -> None:
    month, year = MONTHS[day.month - 1], day.year
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day.day if day.day < 20 else day.day % 10, "th")
    [term] = day_terms(f"{day.day} {month} {year}")
    for written in (
        f"{year}-{day.month:02}-{day.day:02}",
        f"{year}-{day.month}-{day.day}",
        f"{day.day}{ending} of {month} {year}",
        f"{day.day}{ending} {month.upper()}, {year}",
        f"{month} {day.day}, {year}",
        f"{month.lower()} {day.day}{ending} {year}",
        f"{month[:3]}. {day.day}, {year}",
        f"{day.day} {month[:3]} {year}",
    ):
        assert day_terms(written) == {term}, written
        assert set(terms_of(month)) <= set(terms_of(written))
    for numeric in (f"{day.day:02}{mark}{day.month:02}{mark}{year}" for mark in "/.-"):
        assert term in day_terms(numeric)
        assert len(day_terms(numeric)) == (2 if day.day <= 12 and day.day != day.month else 1)


@given(st.dates(date(1500, 1, 1), date(2099, 12, 31)), st.dates(date(1500, 1, 1), date(2099, 12, 31)))
def test_two_days_are_the_same_only_if_they_are(one: date, other: date) -> None:
    assert (day_terms(f"{one:%Y-%m-%d}") == day_terms(f"{other:%Y-%m-%d}")) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "31/02/2024", "99/99/2024", "00/00/2024", "0/1/2024", "2024-02-30", "2024-13-13", "2023-02-29",
        "31 February 2024", "0 March 2024", "99 May 2024", "April 31, 2024", "29 Feb 2023",
    ],
)  # fmt: skip
def test_a_day_that_does_not_exist_is_none(text: str) -> None:
    assert day_terms(text) == set()
    assert "2024" in terms_of(text) or "2023" in terms_of(text)


@pytest.mark.parametrize(
    "text", ["4 March", "March 2024", "04/03/24", "1.2.3", "4/3/2024/5x", "14:03:2024", "maybe 4, 2024"]
)
def test_what_is_no_whole_date_is_left_alone(text: str) -> None:
    assert len(day_terms(text) - {"5x"}) == (2 if text.startswith("4/3/2024") else 0)


# --- hyphens and apostrophes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("co-operation", "cooperation"),
        ("on‑line", "online"),
        ("a well-to-do man", "welltodo"),
        ("O’Brien", "OBrien"),
        ("O'Brien's", "OBrien"),
        ("it isn't", "isnt"),
    ],
)
def test_a_hyphenated_word_is_also_read_in_one_piece(text: str, joined: str) -> None:
    assert with_other_forms(text) == f"{text} {joined}"


@pytest.mark.parametrize("text", ["the keeper's boat", "the KEEPER’S", "a - b", "-a-", "a--b", "a_b-_c", "'open'"])
def test_what_is_no_such_word_gets_no_other_form(text: str) -> None:
    assert with_other_forms(text).strip() == text


def test_another_form_is_added_once() -> None:
    assert with_other_forms("co-op co-op").split() == ["co-op", "co-op", "coop"]


# --- any text ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(any_text)
def test_any_text_has_other_forms_after_itself(text: str) -> None:
    found = with_other_forms(text)
    if not re.search(rf"\d|{'|'.join([*ONES[2:], *TENS[2:]])}", fold(text)):
        assert found == text or found.startswith(text + " ")


LONG = 200_000


@pytest.mark.parametrize(
    "unit",
    [
        "1", "a", "-", ",", "'", "1,", "111,", "1,1", "1-", "a-", "a-_", "1/", "1.", "1.1.", "2024-", "2024-1-", "1/1/",
        "twenty-", "twenty ", "4 March ", "Mar 4 ", "1 of ", "1st", "'s-", "é-", "a’", "20241/1/", "1\u00a0",
    ],
)  # fmt: skip
def test_long_runs_take_no_longer_than_they_are_long(unit: str) -> None:
    text = unit * (LONG // len(unit)) + "_"
    started = time.process_time()
    with_other_forms(text)
    assert time.process_time() - started < 2


@settings(deadline=None, max_examples=25)
@given(st.text("019 ,.-/'’_aé\u00a0", min_size=1, max_size=12))
def test_any_pattern_may_be_repeated_for_long(unit: str) -> None:
    started = time.process_time()
    with_other_forms(unit * (LONG // 4 // len(unit)))
    assert time.process_time() - started < 2


# --- searched for -----------------------------------------------------------------------------------------------------

#: What is asked; where it stands; what stands beside it and is nearly the same.
FORMS = [
    ("04/03/2024", "The pier opened on 4 March 2024.", "The pier opened on 5 March 2024."),
    ("2024-03-04", "The pier opened on 4 March 2024.", "The pier opened on 3 April 2024."),
    ("4 March 2024", "The pier opened on 04/03/2024.", "The pier opened on 05/03/2024."),
    ("4 March 2024", "The pier opened on 2024-03-04.", "The pier opened on 2024-04-03."),
    ("2024-03-04", "The pier opened on 04.03.2024.", "The pier opened on 04.02.2024."),
    ("04/03/2024", "The pier opened on 2024-03-04.", "The pier opened on 2024-03-05."),
    ("March 4th, 2024", "The pier opened on 4 Mar 2024.", "The pier opened on 4 May 2024."),
    ("4 boats", "There are four boats.", "There are five boats."),
    ("four boats", "There are 4 boats.", "There are 5 boats."),
    ("1000 boats", "There are 1,000 boats.", "There are 1,001 boats."),
    ("1,000 boats", "There are 1000 boats.", "There are 1001 boats."),
    ("21 boats", "There are twenty-one boats.", "There are twenty-two boats."),
    ("twenty-one boats", "There are 21 boats.", "There are 22 boats."),
    ("twenty one boats", "There are twenty-one boats.", "There are twenty boats."),
    ("co-operation", "The pier needs cooperation.", "The pier needs coordination."),
    ("cooperation", "The pier needs co-operation.", "The pier needs corporations."),
]


@pytest.mark.parametrize("other_first", [False, True])
@pytest.mark.parametrize(("asked", "text", "other"), FORMS)
def test_what_is_asked_in_one_form_is_found_in_another(
    tmp_path: Path, words: Encoder, asked: str, text: str, other: str, other_first: bool
) -> None:
    texts = [other, text] if other_first else [text, other]
    order = build_lexical(entries(["a.md", "b.md"], texts, words), tmp_path)
    rows, shares = Lexical(tmp_path, order).search(read_terms([asked], words.pieces)[0], 2)
    assert texts[rows[0]] == text
    assert len(rows) == 1 or shares[0] > shares[1]


def test_a_quote_keeps_the_form_in_which_it_was_written(tmp_path: Path, words: Encoder) -> None:
    text = "On 04/03/2024 the twenty-one co-operative Boats of O’Brien’s café paid 1,000 euros."
    documents = read_corpus(write_files(tmp_path / "corpus", {"a.txt": text})).documents
    name = publish(documents, words, tmp_path / "index", aim=160)
    bot = Bot(words, open_snapshot(tmp_path / "index", name, words, aim=160))
    for asked in ("4 March 2024", "21 cooperative boats", "OBriens cafe", "Who paid 1000 euros on 2024-03-04?"):
        [cited] = bot.ask(asked).passages
        assert cited.hit.passage.text == cited.hit.passage.sentence_text(cited.hit.best_sentence) == text
        assert bot.snapshot.documents["a.txt"].text[cited.citation.start : cited.citation.end] == text
