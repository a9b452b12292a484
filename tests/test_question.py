"""What a question asks for, told by its words, and which sentences hold such a thing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.lexical import terms_of
from bot.question import (
    Kind,
    asks_for,
    asks_whether,
    core_of,
    focus_of,
    holds,
    holds_besides,
    is_question,
    without_politeness,
)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many moorings are there?", "number"),
        ("how MUCH is a return ticket", "sum"),
        ("What is the number of moorings?", "number"),
        ("What percentage of boats is wooden?", "number"),
        ("When did the harbour open?", "date"),
        ("In what year did the harbour open?", "date"),
        ("Which day is the market held on?", "time"),
        ("when does the bath open in summer", "time"),
        ("From what time may I moor?", "time"),
        ("until when", "time"),
        ("What may I carry when sailing alone?", None),
        ("How old must a skipper be?", "duration"),
        ("how long may I moor", "duration"),
        ("how far out may I row", "measure"),
        ("How deep is the harbour?", "measure"),
        ("what is the water temperature", "measure"),
        ("How big is the harbour?", "number"),
        ("How long ago was the pier built?", "date"),
        ("max length of a boat in the harbour", "measure"),
        ("What is the phone number of the harbour office?", "contact"),
        ("harbour office e-mail", "contact"),
        ("May I use my own phone on board?", None),
        ("I lost the phone with the tickets. What now?", None),
        ("How do I turn off e-mail reminders?", None),
        ("is the shuttle boat free", "sum"),
        ("How recently was the lamp cleaned?", "date"),
        ("How often does the ferry sail?", "frequency"),
        ("How many times a week does the ferry sail?", "frequency"),
        ("How many meetings per year are there?", "frequency"),
        ("Which countries sent boats?", "country"),
        ("In what Nordic country was the ferry built?", "country"),
        ("Which country's flag does it fly?", None),
        ("Which country code do I dial?", None),
        ("Which country is larger, Norway or Iceland?", None),
        ("Which United Nations convention is it?", None),
        ("Can I moor here no matter which country I come from?", None),
        ("What is a mooring?", "definition"),
        ("what's the Harbour Guild", "definition"),
        ("Tell me more about moorings", "definition"),
        ("define mooring", "definition"),
        ("What does mooring mean?", "definition"),
        ("What is the purpose of the pier?", "reason"),
        ("What does a mooring cost?", "sum"),
        ("cost of a mooring", "sum"),
        ("price for visitors", "sum"),
        ("What have they built?", None),
        ("Who gives out the moorings?", "name"),
        ("Whose boat is this?", "name"),
        ("To whom do I report a light that is out?", "name"),
        ("Which government department runs the harbour?", "name"),
        ("Which organizations count the birds?", "name"),
        ("Why are the lights on at dusk?", "reason"),
        ("What is the purpose of the lighthouse?", "reason"),
        ("What is the bell for what reason rung?", "reason"),
        ("What is the harbour?", "definition"),
        ("Where do puffins breed?", "place"),
        ("Tell me about the ferry", "definition"),
        ("In the harbour, which countries have boats?", "country"),
        ("I have read about the harbour. Who runs it?", "name"),
        ("When a boat is stolen, who can I turn to?", "name"),
        ("How many moorings are there? Thank you!", "number"),
        ("when the new harbour was opened", "date"),
        ("Is the whole island shown somewhere?", None),  # no "who", no "some ... how"
        ("", None),
    ],
)
def test_a_question_asks_for_one_kind_of_thing_or_none_that_its_words_tell(question: str, kind: Kind | None) -> None:
    assert asks_for(question) == kind


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("There are 42 moorings.", "number"),
        ("Twelve boats lie at the pier.", "number"),
        ("Over a hundred boats came.", "number"),
        ("One boat lies at the pier.", "number"),
        ("It is 3 metres deep.", "measure"),
        ("Boats of up to 9.5m may come in.", "measure"),
        ("The pier stands half a mile off.", "measure"),
        ("In summer the water has 18 °C.", "measure"),
        ("Keep to five knots.", "measure"),
        ("It opened in 1987.", "date"),
        ("It opened on 3 March.", "date"),
        ("It opened on March 3.", "date"),
        ("Last updated: 04/03/2024", "date"),
        ("It opened on the 12th.", "date"),
        ("It opens at 9:30.", "time"),
        ("It opens at 9 am.", "time"),
        ("On Wednesdays the market is held.", "time"),
        ("It is closed in winter.", "time"),
        ("Answers come within five working days.", "time"),
        ("Fees are due on the last day of the month.", "time"),
        ("It sails twice a day.", "frequency"),
        ("The crossing takes forty minutes.", "duration"),
        ("You may stay for a week.", "duration"),
        ("It is a 20-year-old boat.", "duration"),
        ("The pier has a length of 40 m.", "duration"),
        ("The board meets annually.", "frequency"),
        ("The members meet three times in summer.", "frequency"),
        ("There is a weekly market.", "frequency"),
        ("The ferry was built in Norway.", "country"),
        ("Iceland and the UK sent boats.", "country"),
        ("It was built in the U.S.", "country"),
        ("The harbour master, Ida Brandt, gives them out.", "name"),
        ("It is run by the Port Office.", "name"),
        ("Ida Brandt gives them out.", "name"),
        ("Boats go slowly because the pier is old.", "reason"),
        ("Its mission is a safe harbour.", "reason"),
        ("It was founded to protect puffins.", "reason"),
    ],
)
def test_a_sentence_that_holds_what_is_asked_for_is_recognised(sentence: str, kind: Kind) -> None:
    assert holds(sentence, kind)


@pytest.mark.parametrize("number", ["01786 555 0142", "+44 1786 555014", "0800-555", "(020) 7946 0958"])
def test_a_telephone_number_is_no_number_of_things(number: str) -> None:
    assert not holds(f"Call {number}.", "number")
    assert holds(f"Call {number} for one of the 5 moorings.", "number")


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Which companies paid for the pier?", "companies"),
        ("What boats lie there?", "boats"),
        ("Who chairs the harbour board?", "chairs"),
        ("who is the head of the harbour office", "head"),
        ("How many puffins are there?", "puffins"),
        ("And in which towns are there piers?", "towns"),
        ("What is the main aim of the board?", "board"),  # the words before it say what kind of thing, not what about
        ("What types of fish are sold?", "fish"),
        ("Which body runs the pier?", "runs"),  # the body is named, not called one
        ("Whose boat is this?", None),  # the answer is its owner, no boat
        ("When was the pier built?", None),
        ("Is there a list of which boats are in?", None),
        ("What is it?", None),
        ("who", None),
        ("", None),
    ],
)
def test_what_the_answer_is_or_does_is_the_first_word_that_says_what_about(question: str, word: str | None) -> None:
    assert focus_of(question) == frozenset(terms_of(word or ""))


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Boats help one another.", "number"),
        ("The harbour closes at 17:00.", "measure"),
        ("Boats lie three deep.", "measure"),
        ("The 12 moorings are full.", "measure"),
        ("There are 12 programmes with 3 parameters.", "measure"),
        ("It is a true story.", "measure"),
        ("The crossing costs 40 euros.", "duration"),
        ("It opened in 2014, together with 3 shops.", "duration"),
        ("It is one of the oldest harbours.", "number"),
        ("Someone often listens.", "number"),  # "one", "ten" within words
        ("Boats lie at the pier.", "number"),
        ("The harbour opened in May, together with the market.", "country"),
        ("Through the harbour, eSafety sends boats to the European Parliament.", "country"),
        ("There are 42 moorings.", "date"),
        ("You may go in.", "date"),
        ("In March the lamp is cleaned.", "date"),  # a month, but which?
        ("The number is 0800 1111.", "date"),
        ("Boats lie at the pier.", "time"),
        ("There are 42 moorings.", "time"),
        ("Everybody may come.", "frequency"),
        ("It sails from the pier.", "frequency"),
        ("Boats lie at the pier.", "name"),
        ("Puffins breed on the cliffs.", "name"),
        ("Boats lie at the pier.", "reason"),
    ],
)
def test_a_sentence_without_it_is_not(sentence: str, kind: Kind) -> None:
    assert not holds(sentence, kind)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["There are {} boats.", "{}", "Boats: {}."]))
def test_any_number_in_digits_is_a_number(number: int, sentence: str) -> None:
    assert holds(sentence.format(number), "number")


@settings(deadline=None)
@given(st.dates())
def test_any_date_written_out_with_its_month_is_a_date(day: object) -> None:
    assert holds(f"It opened on {day:%d %B}.", "date")
    assert holds(f"It opened on {day:%d.%m.%y}.", "date")


@pytest.mark.parametrize(
    ("question", "sentence", "does"),
    [
        ("Which new countries joined?", "New Zealand joined.", True),
        ("Which Arab countries are members?", "The United Arab Emirates are.", True),
        ("Which countries of the United Nations came?", "The United\nKingdom and the United States came.", True),
        ("Which countries in Africa came?", "South Africa came.", True),
        ("Which countries besides Norway came?", "Boats of Norway came.", False),
        ("Which countries came?", "Boats of the US came.", True),
        ("How many of the 42 boats came?", "Of the 42 boats some came.", False),
        ("How many of the 42 boats came?", "Of the 42 boats 7 came.", True),
    ],
)
def test_what_the_question_names_itself_is_not_what_it_asks_for(question: str, sentence: str, does: bool) -> None:
    kind = asks_for(question)
    assert kind is not None
    assert holds_besides(sentence, kind, frozenset(terms_of(question))) == does


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("Hello, which boats are in?", "which boats are in?"),
        ("Good morning! Could you please tell me when the ferry sails?", "when the ferry sails?"),
        ("quick question - who runs the harbour pls", "who runs the harbour"),
        ("Which boats are in? Thank you!", "Which boats are in?"),
        ("I would like to know if dogs may come.", "dogs may come."),
        ("Do you know whether dogs may come?", "dogs may come?"),
        ("Tell me about the ferry", "Tell me about the ferry"),
        ("Please, may I moor here?", "may I moor here?"),
        ("Hill farms near the harbour", "Hill farms near the harbour"),
        ("Hello!", "Hello!"),
        ("thank you", "thank you"),
        ("", ""),
    ],
)
def test_greetings_are_not_searched_for(question: str, left: str) -> None:
    assert without_politeness(question) == left


@given(question=st.text(max_size=80))
def test_what_asks_nothing_is_left_as_it_is_and_something_is_always_left(question: str) -> None:
    assert set(core_of(question)) <= set(question)
    assert any(map(str.isalnum, without_politeness(question))) or not any(map(str.isalnum, question))


@pytest.mark.parametrize(
    ("question", "does"),
    [
        ("Is the ferry in?", True),
        ("and has it sailed?", True),
        ("I read of the ferry. Isn't it new?", True),
        ("Which ferry is in?", False),
        ("When is it in?", False),
        ("ferry", False),
    ],
)
def test_what_is_answered_by_yes_or_no_is_told_from_what_is_not(question: str, does: bool) -> None:
    assert asks_whether(question) is does


def test_a_sentence_that_asks_is_recognised_in_quotes_and_bold_too() -> None:
    assert all(map(is_question, ("Who is it?", "“Who is it?”", "**Q: Who is it?**", "谁？", "(why?)")))
    assert not any(map(is_question, ("It is I.", "", "?!", "Who? Me.")))


@pytest.mark.parametrize(
    ("question", "sentence", "does"),
    [
        ("What is the Harbour Guild?", "The Harbour Guild is a club of skippers.", True),
        ("what is a mooring", "A mooring is where a boat is made fast.", True),
        ("What is the Guild?", "The Harbour Guild (HG), founded in 1901, is now the largest of its kind.", True),
        ("What does HG mean?", "HG stands for Harbour Guild.", True),
        ("What is the Harbour Guild?", "The Harbour Guild was set up in 1901.", False),
        ("What is the Harbour Guild?", "The pier is a work of the Harbour Guild.", False),
        ("What is the Harbour Guild?", "The Harbour Guild brings skippers together.", False),
        ("What is the Harbour Guild?", "A club of skippers.", False),
        ("What is it?", "It is a club of skippers.", False),
        ("What is the Harbour Guild?", f"The Harbour Guild, {'with many old boats ' * 6}, is a club.", False),
    ],
)
def test_a_definition_says_of_the_very_thing_what_it_is(question: str, sentence: str, does: bool) -> None:
    assert asks_for(question) == "definition"
    assert holds_besides(sentence, "definition", frozenset(terms_of(question))) == does
