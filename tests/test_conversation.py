"""A question is read with those before it where it leans on them, with nothing where it does not, and never unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.conversation import converse, in_context
from bot.engine import Bot
from bot.lexical import Terms, read_terms, terms_of, words_of
from bot.query import Query, understand
from bot.search import search
from bot.types import Answer, Turn

KENYA = "Is Kenya a member of WeProtect?"
TASKFORCE = "Who chairs the Global Taskforce on child sexual abuse online?"
TASKFORCE_WORDS = ("chairs", "Global", "Taskforce", "child", "sexual", "abuse", "online")


def ids(answer: Answer) -> list[str]:
    return [cited.hit.passage.id for cited in answer.passages]


def asked(bot: Bot, *questions: str) -> tuple[Turn, ...]:
    """The turns that asking makes, each with the passages that it showed."""
    return converse(questions, lambda question, turns: ids(bot.ask(question, turns=turns)))


def ask(bot: Bot, *questions: str) -> Answer:
    """Ask in a row; return the last answer."""
    return bot.ask(questions[-1], turns=asked(bot, *questions[:-1]))


def read(bot: Bot, question: str, *turns: Turn) -> Query:
    return in_context(question, turns, bot.snapshot, bot.encoder)


def alone(bot: Bot, question: str) -> Query:
    return understand(question, bot.snapshot, bot.encoder)


def every_passage(bot: Bot, document: str) -> tuple[str, ...]:
    return tuple(bot.snapshot.passages[row].id for row in bot.snapshot.rows[document])


# --- what leans on a question before it is read with it ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "question", "quoted", "borrowed"),
    [
        ("What is INHOPE?", "how many countries is it in?", "50 countries", ("INHOPE",)),
        ("What is INHOPE?", "what is their mission?", "INHOPE's mission is to support hotlines", ("INHOPE",)),
        ("What is INHOPE?", "how many hotlines?", "54 hotlines", ("INHOPE",)),
        (TASKFORCE, "How often does it meet?", "meets twice a year", TASKFORCE_WORDS),
        (TASKFORCE, "when was it launched?", "was launched in 2022", TASKFORCE_WORDS),
        ("What is the Digital Policy Lab?", "who belongs to its core group?", "senior representatives from the ministr",
         ("Digital", "Policy", "Lab")),
        ("What is the Model National Response?", "Whose framework is it?", "comes from the WeProtect Global Alliance",
         ("Model", "National", "Response")),
    ],
)  # fmt: skip
def test_a_question_that_leans_is_answered_about_what_came_before(
    shipped: Bot, before: str, question: str, quoted: str, borrowed: tuple[str, ...]
) -> None:
    answer = ask(shipped, before, question)
    assert answer.question == question
    assert answer.borrowed == borrowed
    assert answer.quote is not None and quoted in answer.quote.text
    assert answer.confidence > 0.45  # "what is their mission?" is given to be checked


@pytest.mark.parametrize("question", ["and who chairs it?", "who are its members?"])
def test_what_is_found_about_something_else_is_never_given_as_the_answer(shipped: Bot, question: str) -> None:
    answer = ask(shipped, "What is the Global Online Safety Regulators Network?", question)
    assert answer.borrowed == ("Global", "Online", "Safety", "Regulators", "Network")
    assert not answer.passages[0].hit.passage.document.startswith("global-online-safety-regulators")
    assert answer.status != "answered"
    assert answer.confidence < shipped.calibration.answered_from


@pytest.mark.parametrize(
    ("questions", "quoted", "note"),
    [
        ((KENYA, "what about India?"), "Member governments of the WeProtect Global Alliance", "India is not named"),
        ((KENYA, "what about India?", "And Uganda?"), "Uganda", "Uganda is named"),
        ((KENYA, "what about India?", "And Uganda?", "or zebra"), "Member governments of", "zebra is not named"),
        ((KENYA, "and india?"), "Member governments of", "india is not named"),
        ((KENYA, "How about Ugnada?"), "Uganda", "Uganda is named"),
        (("Is Kenia a member of WeProtect?", "And India?"), "Member governments of", "India is not named"),
    ],
)
def test_another_name_is_looked_for_where_the_name_before_it_was(
    shipped: Bot, questions: tuple[str, ...], quoted: str, note: str
) -> None:
    answer = ask(shipped, *questions)
    assert answer.borrowed == ("member", "WeProtect")
    assert answer.quote is not None and answer.quote.text.startswith(quoted)
    assert answer.notes == (f"{note} in this list.",)
    assert answer.question == questions[-1]


def test_another_name_is_no_such_question_once_something_else_was_asked(shipped: Bot) -> None:
    """Nor is what names no list, after an answer from elsewhere: what INHOPE's page was asked, another list must not
    answer."""
    for question in ("And India?", "Is Kenya in it?", "is kenya a member?"):
        assert ask(shipped, KENYA, "What is INHOPE?", question).notes == ()
        answer = ask(shipped, "What is INHOPE?", question)
        assert (answer.notes, answer.borrowed) == ((), ("INHOPE",))
    assert ask(shipped, "What is INHOPE?", "is Kenya a member of WeProtect?").notes == ("Kenya is named in this list.",)


def test_only_the_last_turns_lend_and_the_older_one_half(shipped: Bot) -> None:
    questions = ("What is the Digital Policy Lab?", "What is INHOPE?", "What is GIFCT?")
    query = read(shipped, "how many countries is it in?", *asked(shipped, *questions))
    assert query.borrowed == ("GIFCT", "INHOPE")
    assert query.lent == tuple(zip(read_terms(["GIFCT", "INHOPE"], shipped.encoder.pieces), (0.4, 0.2), strict=True))
    assert query.leans
    assert query.about == {"countri"}


def test_a_question_that_is_only_short_borrows_half_as_much_and_points_where_it_did(shipped: Bot) -> None:
    question = "mission of hotlines worldwide?"
    turns = asked(shipped, "What is GIFCT?", "What is INHOPE?")
    query = read(shipped, question, *turns)
    assert (query.borrowed, [weight for _, weight in query.lent], query.leans) == (
        ("INHOPE", "GIFCT"),
        [0.2, 0.1],
        False,
    )
    assert query.about == alone(shipped, question).about
    assert scored_passages(shipped, query) == pytest.approx(
        cosines(shipped, query, shipped.encoder.encode_question(question)[0]), abs=1e-4
    )


def test_a_question_that_leans_points_half_way_to_itself_with_what_it_borrows(shipped: Bot) -> None:
    query = read(shipped, "what is their mission?", *asked(shipped, "What is INHOPE?"))
    parts = [shipped.encoder.encode_question(text)[0] for text in (query.text, f"{query.text} INHOPE")]
    half_way = (parts[0] + parts[1]) / np.linalg.norm(parts[0] + parts[1])
    assert scored_passages(shipped, query) == pytest.approx(cosines(shipped, query, half_way), abs=1e-4)
    assert scored_passages(shipped, query) != pytest.approx(cosines(shipped, query, parts[0]), abs=1e-2)


def scored_passages(bot: Bot, query: Query) -> list[float]:
    return [hit.scores.passage for hit in search(query, bot.snapshot, bot.encoder)]


def cosines(bot: Bot, query: Query, vector: npt.NDArray[np.float32]) -> list[float]:
    """How near a vector is to each passage that a query finds."""
    hits = search(query, bot.snapshot, bot.encoder)
    rows = [bot.snapshot.passages.index(hit.passage) for hit in hits]
    return [float(cosine) for cosine in bot.snapshot.vectors.of(np.array(rows)) @ vector]


def test_lent_words_add_their_own_match_times_their_weight(shipped: Bot) -> None:
    query = read(shipped, "how many countries is it in?", *asked(shipped, "What is GIFCT?", "What is INHOPE?"))
    count = len(shipped.snapshot.passages)

    def shares(terms: Terms, lent: Sequence[tuple[Terms, float]] = ()) -> dict[int, float]:
        rows, found = shipped.snapshot.lexical.search(terms, count, lent=lent)
        return dict(zip(rows.tolist(), found.tolist(), strict=True))

    together = shares(query.terms, query.lent)
    parts = [(1.0, shares(query.terms)), *((weight, shares(terms)) for terms, weight in query.lent)]
    assert len(parts) == 3
    for hit in search(query, shipped.snapshot, shipped.encoder):
        assert hit.scores.lexical == pytest.approx(together[shipped.snapshot.passages.index(hit.passage)])
    assert set(together) == {row for _, found in parts for row in found}
    for row, share in together.items():
        assert share == pytest.approx(sum(weight * found.get(row, 0.0) for weight, found in parts), abs=1e-4)


# --- only what can be told is borrowed --------------------------------------------------------------------------------


def test_only_words_that_stand_in_a_passage_shown_are_borrowed(shipped: Bot) -> None:
    before = "Does GIFCT stand for terrorist zebras in Patagonia?"
    turn = Turn(before, every_passage(shipped, "gifct.md"))
    assert read(shipped, "how many countries is it in?", turn).borrowed == ("GIFCT", "terrorist")
    elsewhere = Turn(before, every_passage(shipped, "inhope.md"))
    assert read(shipped, "how many countries is it in?", elsewhere).borrowed == ()


def test_words_of_the_title_and_headings_of_a_passage_shown_count_as_shown(shipped: Bot) -> None:
    title = shipped.snapshot.documents["weprotect-member-governments.md"].source.title
    last = shipped.snapshot.passage(every_passage(shipped, "weprotect-member-governments.md")[-1])
    assert last is not None and "WeProtect" in title and "WeProtect" not in last.text
    assert read(shipped, "and why?", Turn("What is WeProtect?", (last.id,))).borrowed == ("WeProtect",)


def test_words_are_looked_for_in_the_first_five_passages_shown(shipped: Bot) -> None:
    others = [passage.id for passage in shipped.snapshot.passages if "INHOPE" not in passage.text][:5]
    inhope = every_passage(shipped, "inhope.md")[0]
    assert read(shipped, "and why?", Turn("What is INHOPE?", (*others[:4], inhope))).borrowed == ("INHOPE",)
    assert read(shipped, "and why?", Turn("What is INHOPE?", (*others, inhope))).borrowed == ()


def test_a_word_of_the_question_or_of_a_later_turn_is_not_borrowed_again(shipped: Bot) -> None:
    turns = asked(shipped, "What is INHOPE?", "How many hotlines does INHOPE have?")
    assert read(shipped, "and which countries is it in?", *turns).borrowed == ("hotlines", "INHOPE")
    assert read(shipped, "and is its hotline in a country?", *turns).borrowed == ("INHOPE",)


def test_mended_words_are_borrowed_as_they_were_searched_for(shipped: Bot) -> None:
    assert ask(shipped, "who chiars the taskforse?", "how often does it meet?").borrowed == ("chairs", "taskforce")


HOSTILE = (
    "", "#", "##", "x#1-2", "inhope.md", "inhope.md#", "#8-654", "inhope.md#0-1", "inhope.md#8-999999", "../..#0-1",
    "/etc/passwd#0-1", "INHOPE.MD#8-654", "inhope.md#8-654#8-654", "inhope.md#-8--654", "inhope.md\x00#8-654",
    "harbour.md#15-95", "\U0001f600#1-2", "inhope.md#" + "9" * 100_000, "x" * 1_000_000,
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:24])
def test_an_id_that_is_of_no_passage_here_lends_nothing(shipped: Bot, name: str) -> None:
    question = "how many countries is it in?"
    assert shipped.ask(question, turns=[Turn("What is INHOPE?", (name,) * 5)]) == shipped.ask(question)


def test_a_passage_of_another_snapshot_lends_nothing(shipped: Bot, bot: Bot) -> None:
    turns = asked(shipped, "What is INHOPE?")
    assert bot.ask("how many is it in?", turns=turns) == bot.ask("how many is it in?")
    assert bot.ask("who gives them out?", turns=asked(bot, "How many moorings are there?")).borrowed == ("moorings",)


@pytest.mark.parametrize("before", ["", "…", "?!", "the of it", "\x00", "And?", "what about", "x" * 1_000])
@pytest.mark.parametrize("question", ["how many countries is it in?", "what about India?", "And?"])
def test_a_turn_that_says_nothing_lends_nothing(shipped: Bot, before: str, question: str) -> None:
    turns = [Turn(before, every_passage(shipped, "inhope.md"))] * 20
    assert shipped.ask(question, turns=turns) == shipped.ask(question)


def test_a_turn_that_showed_nothing_lends_nothing(shipped: Bot) -> None:
    assert shipped.ask("what is it for?", turns=[Turn("What is INHOPE?")]) == shipped.ask("what is it for?")


# --- what stands on its own is answered as if it had been asked first -------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        "What is GIFCT?",
        "WHAT IS GIFCT?",
        "what is gifct",
        "What does INHOPE do?",
        "tell me about hotlines",
        "what are hotlines?",
        "what role do governments play protecting children",
        "why should online safety laws be harmonised between countries",
        "which countries harmonise the online safety laws that they have",
        "Is it possible to report content to a hotline anonymously?",
        "How often does the WeProtect taskforce meet?",
    ],
)
def test_a_question_that_names_what_it_is_about_borrows_nothing(shipped: Bot, question: str) -> None:
    expected = shipped.ask(question, explain=True)
    for before in (("What is INHOPE?",), (TASKFORCE,), (KENYA, "what about India?")):
        turns = asked(shipped, *before)
        assert shipped.ask(question, turns=turns, explain=True) == expected


#: The one of the documents' own questions that is short and has no word with a capital after the first: it may borrow.
SHORT = "Which international networks does eSafety work with?"


def test_strangers_before_a_question_change_nothing(shipped: Bot) -> None:
    """Every question of every document after those of every other document."""
    documents = [document for document in shipped.snapshot.documents.values() if document.questions]
    histories = {document.id: asked(shipped, *document.questions) for document in documents}
    assert sum(len(document.questions) for document in documents) * (len(documents) - 1) > 400
    for document in documents:
        for question in document.questions:
            expected = shipped.ask(question)
            for answer in (
                shipped.ask(question, turns=histories[other.id]) for other in documents if other != document
            ):
                if question != SHORT:
                    assert answer == expected
                else:
                    assert answer == expected or answer.borrowed
                    assert answer.passages[0].citation.document == document.id


# --- no memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("questions", [("What is INHOPE?", "how many countries is it in?"), (KENYA, "and india?")])
def test_without_turns_a_follow_up_is_answered_as_if_nothing_had_been_asked(
    shipped: Bot, questions: tuple[str, str]
) -> None:
    first = shipped.ask(questions[1], explain=True)
    together = ask(shipped, *questions)
    again = shipped.ask(questions[1], turns=(), explain=True)
    assert together.borrowed and not first.borrowed
    assert again == first


def test_converse_gives_each_question_the_turns_before_it() -> None:
    seen: list[tuple[str, tuple[Turn, ...]]] = []

    def shown(question: str, turns: tuple[Turn, ...]) -> Sequence[str]:
        seen.append((question, turns))
        return [f"{question}#{len(turns)}"]

    turns = converse(iter(["a", "b", "c"]), shown)
    assert turns == (Turn("a", ("a#0",)), Turn("b", ("b#1",)), Turn("c", ("c#2",)))
    assert seen == [("a", ()), ("b", turns[:1]), ("c", turns[:2])]
    assert converse([], shown) == ()
    assert len(seen) == 3


# --- whatever is said -------------------------------------------------------------------------------------------------

PHRASES = (
    "and", "or", "what about", "how about", "Is", "Kenya", "India", "Uganda", "zebra", "a member of", "WeProtect?",
    "INHOPE", "GIFCT", "it", "they", "that", "hotlines", "countries", "taskforse", "how many", "why", "eSafety", "?",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PHRASES), max_size=7).map(" ".join) | st.text(max_size=60)
IDS = st.lists(st.integers(0, 99) | st.text(max_size=12) | st.sampled_from(HOSTILE[:-2]), max_size=6)


def test_whatever_came_before_every_borrowed_word_was_said_and_is_new(shipped: Bot) -> None:
    passages = shipped.snapshot.passages

    @settings(max_examples=300, deadline=None)
    @given(question=TEXTS, said=st.lists(st.tuples(TEXTS, IDS), max_size=4))
    def holds(question: str, said: list[tuple[str, list[int | str]]]) -> None:
        turns = [
            Turn(text, tuple(passages[name % len(passages)].id if isinstance(name, int) else name for name in names))
            for text, names in said
        ]
        own = alone(shipped, question)
        query = read(shipped, question, *turns)
        if not query.borrowed:  # "and Kenya", then "what about Mali": the same words, put as the first one was
            same_words = set(query.terms.words) == set(own.terms.words)
            assert query in (own, replace(own, lookup=None)) or (query.lookup is not None and same_words)
            return
        words = {word for turn in turns for word in words_of(alone(shipped, turn.question).text)}
        assert set(query.borrowed) <= words
        assert len(set(query.borrowed)) == len(query.borrowed)
        for word in query.borrowed:
            assert set(terms_of(word)) - set(own.terms.words) - set(terms_of(question))
        if query.lookup is None:
            assert (query.text, query.terms, query.kind) == (own.text, own.terms, own.kind)
            assert {weight for _, weight in query.lent} <= ({0.4, 0.2} if query.leans else {0.2, 0.1})
        else:
            assert query.lent == ()

    holds()


def test_without_turns_a_question_is_only_itself(shipped: Bot) -> None:
    @settings(max_examples=100, deadline=None)
    @given(question=TEXTS)
    def holds(question: str) -> None:
        assert read(shipped, question) == alone(shipped, question)

    holds()


@pytest.mark.parametrize(
    "question",
    [
        "So what does GIFCT stand for?",
        "Okay, and who is eSafety's Commissioner?",
        "No, I mean how many members of the European Parliament are in the Intergroup on Children's Rights?",
        "Also, when was the Global Online Safety Regulators Network set up?",
        "Does GIFCT have its own hash database?",
    ],
)
def test_a_question_that_names_what_it_is_about_stands_alone_however_it_opens(shipped: Bot, question: str) -> None:
    turns = asked(shipped, "How many hotlines does INHOPE have?")
    assert shipped.ask(question, turns=turns) == shipped.ask(question)


@pytest.mark.parametrize("question", ["child helplines", "Who runs helplines?", "And how many employees?", "and when?"])
def test_borrowed_words_do_not_make_up_for_words_that_are_not_answered(shipped: Bot, question: str) -> None:
    answer = shipped.ask(question, turns=asked(shipped, "How many hotlines does INHOPE have?"))
    assert "INHOPE" in answer.borrowed
    assert answer.status != "answered"
