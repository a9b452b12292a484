"""Why an answer is as it is: true words, true numbers, plain sentences."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest

from bot.confidence import JUDGED, signals_of
from bot.engine import Bot
from bot.query import understand
from bot.search import search
from bot.types import Explanation, Filters

ANSWERED = "How many moorings are there for visitors?"
QUESTIONS = (
    ANSWERED,
    "How fast may a boat go in the harbour?",
    "How many of the 42 moorings are free?",
    "Which bird breeds on a western cliff?",
    "Do child passengers travel free?",
    "Did Zelda win the zorbing championship?",
    "Wie viele moorings gibt es für visitors?",
)


def explained(bot: Bot, question: str, top_k: int = 5) -> Explanation:
    found = bot.ask(question, top_k=top_k, explain=True).explanation
    assert found is not None
    return found


@pytest.mark.parametrize("question", QUESTIONS)
def test_there_is_an_explanation_only_when_asked_for_and_it_changes_nothing(bot: Bot, question: str) -> None:
    plain = bot.ask(question)
    assert plain.explanation is None
    assert replace(bot.ask(question, explain=True), explanation=None) == plain


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("top_k", [1, 3, 20])
def test_matched_words_are_words_of_the_question_that_stand_in_the_passage(bot: Bot, question: str, top_k: int) -> None:
    passages = bot.ask(question, top_k=top_k).passages
    matched = explained(bot, question, top_k).matched
    assert len(matched) == len(passages)
    written = re.findall(r"\w+", question)
    for words, cited in zip(matched, passages, strict=True):
        text = " ".join([*cited.citation.headings, cited.hit.passage.text]).casefold()
        held = re.findall(r"\w+", text)
        assert len(set(words)) == len(words)
        for word in words:
            assert word in written
            assert any(other.startswith(word.casefold()[:4]) for other in held), (word, text)
        for word in set(written) - set(words):  # and no word of any weight is left out
            assert len(word) < 4 or word.casefold() not in held or word in {"there", "many", "does", "with"}


def test_matched_words_may_stand_in_another_form(bot: Bot) -> None:
    assert explained(bot, "Which bird breeds on a western cliff?").matched[0] == ("bird", "breeds", "western", "cliff")
    assert explained(bot, "How many of the forty-two moorings are free?").matched[0] == ("forty-two", "moorings")


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_signals_are_those_of_the_hits_whatever_is_shown(bot: Bot, question: str) -> None:
    query = understand(question, bot.snapshot, bot.encoder)
    signals = signals_of(query, search(query, bot.snapshot, bot.encoder, top_k=JUDGED), bot.snapshot)
    for top_k in (1, 5):
        assert explained(bot, question, top_k).signals == asdict(signals)


@pytest.mark.parametrize("low, high", [(0.35, 0.5), (0.21, 0.999), (0.998, 0.9991), (0.001, 0.001)])
def test_the_first_reason_names_the_thresholds_that_are_in_use(bot: Bot, low: float, high: float) -> None:
    other = replace(bot, calibration=replace(bot.calibration, unsure_from=low, answered_from=high))
    answer = other.ask(ANSWERED, explain=True)
    assert answer.explanation is not None
    first = answer.explanation.reasons[0]
    assert f"{answer.confidence:.3f}" in first
    named = {
        "answered": f"at least {high}: the quote is given as the answer",
        "unsure": f"between {low} and {high}: the quote is given with a request to check it",
        "not_found": f"below {low}: nothing is quoted",
    }
    assert named[answer.status] in first


@pytest.mark.parametrize("question", QUESTIONS)
def test_reasons_are_sentences_without_the_names_of_signals(bot: Bot, question: str) -> None:
    found = explained(bot, question)
    assert len(found.reasons) >= 3
    for reason in found.reasons:
        assert re.fullmatch(r"[A-Z][^\n]*\.", reason), reason
        assert not any(name in reason for name in found.signals if "_" in name)


def test_reasons_say_what_is_lacking(bot: Bot) -> None:
    reasons = explained(bot, "How many of the 42 moorings are free?").reasons
    assert "The passage does not say anything with: free." in reasons
    assert "The question asks for a number; the marked sentence lacks such a thing." in reasons
    assert not any(reason.startswith("No document uses") for reason in reasons)
    reasons = explained(bot, "Did Zelda win the zorbing championship?").reasons
    assert "No document uses: Zelda, win, zorbing, championship." in reasons
    assert not any("does not say" in reason or "No document" in reason for reason in explained(bot, ANSWERED).reasons)


def test_reasons_say_how_near_and_how_much(bot: Bot) -> None:
    found = explained(bot, ANSWERED)
    assert f"cosine {found.signals['passage']:.2f}" in found.reasons[1]
    assert "near to" in found.reasons[1]
    assert "most of what the question says (100%)" in found.reasons[2]
    found = explained(bot, "Did Zelda win the zorbing championship?")
    assert "far from" in found.reasons[1]
    assert "none of what the question says (0%)" in found.reasons[2]


def test_where_nothing_may_be_searched_it_says_so(bot: Bot) -> None:
    found = bot.ask(ANSWERED, filters=Filters(document=("none",)), explain=True).explanation
    assert found == Explanation((), {}, ("No passage could be searched.",))


def test_where_a_list_was_looked_through_it_says_so(shipped: Bot) -> None:
    answer = shipped.ask("Is Kenya a member of the WeProtect Global Alliance?", explain=True)
    assert answer.explanation is not None
    assert answer.explanation.signals == {}
    assert answer.explanation.reasons == (
        "The question asks whether a name stands in a list; the list was looked through.",
    )
    assert "Kenya" in answer.explanation.matched[0]


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele Hotlines hat INHOPE?", "German"),
        ("كم عدد الخطوط الساخنة في INHOPE؟", "Arabic"),
        ("INHOPEには何か国が参加していますか", "Japanese"),
    ],
)
def test_a_foreign_question_names_the_settings_that_help(shipped: Bot, question: str, language: str) -> None:
    [reason] = [reason for reason in explained(shipped, question).reasons if language in reason]
    assert "`languages`" in reason
    assert "`model`" in reason
    for languages in ((), ("de", "ar", "ja")):
        reasons = explained(replace(shipped, languages=languages), question).reasons
        assert not any("seems to be in" in reason or "languages" in reason for reason in reasons)
