"""How sure: between 0 and 1, and less so the less the documents have to say."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.confidence import JUDGED, WEIGHED, Calibration, Signals, judge, shipped_calibration, signals_of
from bot.documents import read_corpus
from bot.engine import Bot, build_index, open_bot
from bot.lexical import terms_of
from bot.passages import context_of
from bot.publish import publish
from bot.query import understand
from bot.search import search
from bot.settings import load_settings
from bot.snapshot import open_snapshot
from bot.types import Encoder
from tests.conftest import FILES, REPOSITORY, write_files

unit = st.floats(0, 1)
SIGNALS = tuple(Signals.__dataclass_fields__)
some_signals = st.builds(Signals, **{**dict.fromkeys(SIGNALS, unit), "likeness": st.floats(0, 0.7)})
SHIPPED = shipped_calibration()
NEAR_MISSES = (REPOSITORY / "tests" / "evaluation" / "near_misses.txt").read_text(encoding="utf-8").splitlines()

#: A list that a question may ask about, of names in alphabetical order.
MEMBERS = {
    "members.md": "# Members of the harbour league\n\n"
    + "".join(
        f"- {name}\n"
        for name in "Austria Belgium Cyprus Denmark Estonia Finland Greece Hungary Iceland Latvia Malta Norway Poland "
        "Romania".split()
    )
}


def signals_to(bot: Bot, question: str) -> Signals:
    query = understand(question, bot.snapshot, bot.encoder)
    hits = search(query, bot.snapshot, bot.encoder, top_k=JUDGED)
    return signals_of(query, hits, bot.snapshot)


# --- the model --------------------------------------------------------------------------------------------------------


@given(some_signals.filter(lambda signals: signals.likeness > 0.1))
def test_confidence_is_a_probability_that_falls_when_what_is_asked_for_is_lacking(signals: Signals) -> None:
    sure = SHIPPED.confidence(replace(signals, lacks_kind=0.0))
    lacking = SHIPPED.confidence(replace(signals, lacks_kind=1.0))
    assert 0 <= lacking < sure <= 1


@pytest.mark.parametrize("likeness", [0.0, 0.14, 0.35, 0.5, 0.7])
def test_whatever_the_corpus_what_is_nearer_is_surer(likeness: float) -> None:
    """And what the marked sentence is nearer to, and of which the passage holds more of what is asked."""
    middling = Signals(**{**dict.fromkeys(SIGNALS, 0.4), "likeness": likeness})
    for names in (["passage"], ["sentence", "beyond"], ["asked_covered"]):
        low, high = (SHIPPED.confidence(replace(middling, **dict.fromkeys(names, value))) for value in (0.2, 0.6))
        assert low < high, names


def evidence(calibration: Calibration, signals: Signals) -> float:
    """What the logistic function is taken of."""
    values = {**{name: getattr(signals, name) for name in WEIGHED[:-1]}, "constant": 1.0}
    mixed, alike = (
        math.fsum(weights[name] * values[name] for name in WEIGHED)
        for weights in (calibration.mixed, calibration.alike)
    )
    return mixed + signals.likeness * (alike - mixed)


@given(some_signals)
def test_confidence_is_the_logistic_function_of_the_weighted_signals(signals: Signals) -> None:
    assert math.isclose(SHIPPED.confidence(signals), (1 + math.tanh(evidence(SHIPPED, signals) / 2)) / 2, abs_tol=1e-12)


@given(some_signals)
def test_where_passages_are_mixed_only_the_one_set_of_weights_counts_and_where_alike_only_the_other(
    signals: Signals,
) -> None:
    nothing = dict.fromkeys(WEIGHED, 0.0)
    for likeness, one_set in ((0.0, replace(SHIPPED, alike=nothing)), (1.0, replace(SHIPPED, mixed=nothing))):
        there = replace(signals, likeness=likeness)
        assert one_set.confidence(there) == pytest.approx(SHIPPED.confidence(there))


@pytest.mark.parametrize("size", [1e2, 1e4, 1e300, -1e2, -1e4, -1e300])
def test_extreme_signals_do_not_overflow(size: float) -> None:
    for name in WEIGHED[:-1]:
        signals = Signals(**{**dict.fromkeys(SIGNALS, 0.0), name: size})
        exponent = size * SHIPPED.mixed[name] + SHIPPED.mixed["constant"]
        assert SHIPPED.confidence(signals) == pytest.approx((1 + math.tanh(exponent / 2)) / 2, abs=1e-9)


def test_every_weight_belongs_to_a_signal() -> None:
    for weights in (SHIPPED.mixed, SHIPPED.alike):
        assert set(weights) == {*Signals.__dataclass_fields__, "constant"} - {"likeness"}
        assert all(math.isfinite(weight) for weight in weights.values())


def test_the_thresholds_leave_room_between_not_found_and_answered() -> None:
    assert 0 < SHIPPED.unsure_from < SHIPPED.answered_from < 1


@pytest.mark.parametrize("low, high", [(0.35, 0.5), (0.1, 0.9), (0.5, 0.5), (0.001, 1.0)])
def test_the_status_changes_at_each_threshold_and_not_before(low: float, high: float) -> None:
    calibration = replace(SHIPPED, unsure_from=low, answered_from=high)
    assert calibration.status(high) == "answered"
    assert calibration.status(1.0) == "answered"
    if low < high:
        assert calibration.status(low) == "unsure"
        assert calibration.status(math.nextafter(high, 0)) == "unsure"
    if low > 0:
        assert calibration.status(math.nextafter(low, 0)) == "not_found"
        assert calibration.status(0.0) == "not_found"


@pytest.mark.parametrize("low, high", [(-0.1, 0.5), (0.6, 0.5), (0.4, 1.1), (math.nan, 0.5), (0.3, math.nan)])
def test_thresholds_out_of_range_or_crossed_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="two thresholds between 0 and 1"):
        replace(SHIPPED, unsure_from=low, answered_from=high)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {name: 1.0 for name in WEIGHED[:-1]},
        {**SHIPPED.mixed, "bm25": 1.0},
        {**SHIPPED.mixed, "likeness": 1.0},
        *({**SHIPPED.mixed, "margin": wrong} for wrong in (math.nan, math.inf, -math.inf)),
    ],
    ids=["none", "no constant", "one more", "likeness", "NaN", "infinite", "minus infinite"],
)
def test_weights_that_are_not_one_number_for_each_signal_are_refused(weights: dict[str, float]) -> None:
    for mixed, alike in ((weights, SHIPPED.alike), (SHIPPED.mixed, weights)):
        with pytest.raises(ValueError, match="a weight for each signal"):
            Calibration(mixed, alike, 0.35, 0.5)


# --- the signals ------------------------------------------------------------------------------------------------------

#: Questions with their content words, and whether what they plainly ask for is in the marked sentence.
QUESTIONS: dict[str, tuple[set[str], bool | None]] = {
    "How many moorings are there for visitors?": ({"moorings", "visitors"}, True),
    "How many of the 42 moorings are free?": ({"42", "moorings", "free"}, False),
    "What does a return ticket cost?": ({"return", "ticket", "cost"}, True),
    "Which puffins breed on the cliffs?": ({"puffins", "breed", "cliffs"}, None),
    "Does the ferry sail in winter?": ({"ferry", "sail", "winter"}, None),
    "In which year do puffins breed on the cliffs?": ({"year", "puffins", "breed", "cliffs"}, False),
}  # fmt: skip


#: The word of a question that its answer is, where one says so.
FOCUS = {
    "How many moorings are there for visitors?": "moorings",
    "How many of the 42 moorings are free?": "42",
    "What does a return ticket cost?": "return",
    "Which puffins breed on the cliffs?": "puffins",
    "In which year do puffins breed on the cliffs?": "puffins",
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, words: Encoder) -> Bot:
    """The same documents, indexed with the encoder that counts words."""
    home = tmp_path_factory.mktemp("counted")
    documents = read_corpus(write_files(home / "corpus", FILES)).documents
    name = publish(documents, words, home / "index", aim=160)
    return Bot(words, open_snapshot(home / "index", name, words, aim=160))


@pytest.fixture(params=["model", "words"])
def either(request: pytest.FixtureRequest, bot: Bot) -> Bot:
    counted: Bot = request.getfixturevalue("counted")
    return bot if request.param == "model" else counted


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_signal_is_what_plain_arithmetic_says(either: Bot, question: str) -> None:
    """Recomputed from the texts alone: words counted by hand, vectors of the encoder, idf of Lucene."""
    asked_words, holds = QUESTIONS[question]
    passages, documents = either.snapshot.passages, either.snapshot.documents
    contexts = [context_of(documents[passage.document].source.title, passage.headings) for passage in passages]
    held = [set(terms_of(context + passage.text)) for context, passage in zip(contexts, passages, strict=True)]

    def idf(term: str) -> float:
        count = sum(term in terms for terms in held)
        return math.log(1 + (len(passages) - count + 0.5) / (count + 0.5))

    asked = {term for word in asked_words for term in terms_of(word)}
    whole = sum(map(idf, asked))
    answer = either.ask(question, top_k=20)
    hits = [cited.hit for cited in answer.passages]
    first = hits[0]
    vector = either.encoder.encode_question(question)[0]
    texts = [contexts[passages.index(hit.passage)] + hit.passage.text for hit in hits[:6]]
    marked = first.passage.sentence_text(first.best_sentence)
    topic = set(terms_of(contexts[passages.index(first.passage)]))
    said = topic | set(terms_of(first.passage.text))
    about = asked - topic - {"year"}  # what kind of thing is asked for, not what about
    lacking = about - set(terms_of(first.passage.text))
    others = [hit.scores.total for hit in hits[1:6]]

    signals = signals_to(either, question)
    assert signals.passage == pytest.approx(max(either.encoder.encode_passages(texts) @ vector), abs=0.01)
    assert signals.around == first.scores.around_passage
    of_marked = float(either.encoder.encode_passages([marked])[0] @ vector)
    assert signals.sentence == pytest.approx(min(of_marked, 0.6), abs=0.01)
    assert signals.beyond == first.scores.beyond
    assert signals.likeness == min(either.snapshot.likeness, 0.7)
    assert signals.margin == pytest.approx(first.scores.total - sum(others) / len(others))
    assert signals.covered == pytest.approx(sum(map(idf, asked & said)) / whole)
    assert signals.asked_covered == pytest.approx(
        1 - sum(map(idf, lacking)) / sum(map(idf, about)) if about else 1.0, abs=1e-9
    )
    assert (signals.asked_missing == 0) == (not lacking)
    assert signals.lacks_kind == float(holds is False)
    first_asked = FOCUS.get(question)
    in_sight = topic | set(terms_of(marked))
    assert signals.lacks_focus == float(first_asked is not None and not set(terms_of(first_asked)) & in_sight)


def test_what_is_lacking_counts_in_words_as_rare_as_any(bot: Bot) -> None:
    """The words "zorbing" and "Zelda" stand nowhere: each counts one."""
    assert signals_to(bot, "Which puffins breed on the cliffs?").asked_missing == 0
    assert signals_to(bot, "Which puffins breed zorbing on the cliffs?").asked_missing == pytest.approx(1)
    assert signals_to(bot, "Which puffins breed Zelda zorbing on the cliffs?").asked_missing == pytest.approx(2)


@pytest.mark.parametrize(
    ("question", "lacks"),
    [
        ("How many moorings are there for visitors?", 0),
        ("How many of the 42 moorings for visitors are free?", 1),
        ("How many of the forty-two moorings for visitors are free?", 1),
        ("How many pairs did the lighthouse keeper count in 2023?", 0),
        ("How many of the 310 pairs that the lighthouse keeper counted in 2023 have chicks?", 1),
        ("Who is the harbour master?", 0),  # a name is not plain to tell
        ("Where do puffins breed?", 0),
    ],
)
def test_a_number_of_the_question_is_not_the_number_it_asks_for(bot: Bot, question: str, lacks: float) -> None:
    assert signals_to(bot, question).lacks_kind == lacks


@pytest.mark.parametrize(("asked", "lacks"), [("boats", 0), ("rules", 0), ("signs", 1)])
def test_what_the_answer_is_stands_in_the_marked_sentence_or_in_the_title(bot: Bot, asked: str, lacks: float) -> None:
    """ "Boats may go at most 5 knots inside the harbour", under "Harbour rules"."""
    assert signals_to(bot, f"Which {asked} may go at most 5 knots inside the harbour?").lacks_focus == lacks


def test_a_question_for_a_number_lacks_it_where_no_sentence_holds_one(shipped: Bot) -> None:
    assert signals_to(shipped, "How many hotlines does INHOPE have?").lacks_kind == 0
    assert signals_to(shipped, "What is the phone number of INHOPE?").lacks_kind == 1


def test_a_question_for_countries_wants_the_name_of_one(shipped: Bot) -> None:
    observers = "Which countries are observers in the Global Online Safety Regulators Network?"
    assert signals_to(shipped, observers).lacks_kind == 1  # "was set up in 2022" names none
    assert signals_to(shipped, "Which country joined the Global Partnership in March 2022?").lacks_kind == 0


def test_a_list_is_read_with_the_sentence_that_introduces_it(tmp_path: Path) -> None:
    text = "# Boats\n\nThe following countries sent boats to the harbour:\n\n- Norway\n- Iceland\n"
    settings = load_settings(corpus=write_files(tmp_path / "corpus", {"boats.md": text}), index=tmp_path / "index")
    build_index(settings)
    boats = open_bot(settings)
    question = "Which countries sent boats to the harbour?"
    query = understand(question, boats.snapshot, boats.encoder)
    first = search(query, boats.snapshot, boats.encoder)[0]
    assert first.passage.sentence_text(first.best_sentence).endswith(":")
    assert signals_of(query, [first], boats.snapshot).lacks_kind == 0


# --- the verdict ------------------------------------------------------------------------------------------------------


def test_without_hits_there_is_no_answer(bot: Bot) -> None:
    query = understand("How fast may a boat go?", bot.snapshot, bot.encoder)
    verdict = judge(query, (), bot.snapshot, SHIPPED)
    assert (verdict.status, verdict.confidence, verdict.signals) == ("not_found", 0.0, None)


def test_the_confidence_does_not_depend_on_how_many_passages_are_shown(shipped: Bot) -> None:
    def told(question: str) -> set[float]:
        return {shipped.ask(question, top_k=top_k).confidence for top_k in (1, 3, 5, 20)}

    assert [question for question in NEAR_MISSES if len(told(question)) > 1] == []


def test_a_foreign_question_is_never_answered_however_sure(shipped: Bot) -> None:
    sure = replace(SHIPPED, mixed={**SHIPPED.mixed, "constant": 60.0}, alike={**SHIPPED.alike, "constant": 60.0})
    for question, language in (
        ("Wie viele Hotlines hat INHOPE?", "de"),
        ("كم عدد الخطوط الساخنة في INHOPE؟", "ar"),
        ("INHOPEには何か国が参加していますか", "ja"),
    ):
        query = understand(question, shipped.snapshot, shipped.encoder)
        hits = search(query, shipped.snapshot, shipped.encoder, top_k=JUDGED)
        assert query.foreign == language
        for calibration in (SHIPPED, sure):
            verdict = judge(query, hits, shipped.snapshot, calibration)
            assert verdict.status != "answered"
            assert verdict.confidence < calibration.answered_from
        english = judge(replace(query, foreign=None), hits, shipped.snapshot, sure)
        assert english.status == "answered"


def test_a_foreign_question_that_a_list_is_looked_through_for_is_not_answered_either(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", {**FILES, **MEMBERS}), index=tmp_path / "index")
    build_index(settings)
    members = open_bot(settings)
    english = members.ask("Is Greece a member of the harbour league?")
    assert (english.status, english.notes) == ("answered", ("Greece is named in this list.",))
    spanish = members.ask("Hay Greece members?")
    assert "Spanish" in " ".join(spanish.notes)
    assert spanish.status != "answered"


@pytest.mark.parametrize(
    ("question", "answered"),
    [
        ("When did Australia join the Global Partnership for Action on Gender-Based Online Harassment?", True),
        ("When did Canada join the Global Partnership for Action on Gender-Based Online Harassment?", False),
        ("What did the Australian commissioner launch in 2022?", True),
        ("What did the Global Taskforce launch in 2019?", False),
        ("Is it true that Canada was asked?", True),  # what is so or not may be told of all
        ("Is Ofcom part of the Global Online Safety Regulators Network?", False),  # but not of whom nobody knows
        ("Was the Model National Response devised by Rolls?", False),
        ("Can NGOs and companies work with INHOPE by SMS?", True),  # short forms have other names
    ],
)
def test_what_is_said_of_another_country_or_year_is_no_answer(shipped: Bot, question: str, answered: bool) -> None:
    sure = replace(SHIPPED, mixed={**SHIPPED.mixed, "constant": 60.0}, alike={**SHIPPED.alike, "constant": 60.0})
    query = understand(question, shipped.snapshot, shipped.encoder)
    verdict = judge(query, search(query, shipped.snapshot, shipped.encoder, top_k=JUDGED), shipped.snapshot, sure)
    assert verdict.status == ("answered" if answered else "unsure")


def test_what_is_unsure_at_most_stays_below_the_threshold_whatever_it_is() -> None:
    for low, high in ((0.35, 0.5), (0.5, 0.5), (0.495, 0.5), (0.01, 0.01), (0.2, 1.0)):
        calibration = replace(SHIPPED, unsure_from=low, answered_from=high)
        for confidence in (0.0, low, high, 1.0):
            most = calibration.unsure_at_most(confidence)
            assert most <= confidence
            assert calibration.status(most) in (calibration.status(confidence), "unsure" if low < high else "not_found")
            assert calibration.status(most) != "answered"


def long_question(count: int) -> str:
    words = (
        "neighbour bought purple elephants yesterday painted toenails glittering strawberry varnish driving tractor "
        "Patagonia grandmother umbrella raincoat rubber boots yoga aubergine tomatoes basil garlic parmesan"
    ).split()
    return f"Why did my {' '.join(words[:count])}?"


@pytest.mark.parametrize("count", [4, 8, 12, 16, 24])
def test_a_long_question_about_something_else_is_not_found_either(bot: Bot, count: int) -> None:
    assert bot.ask(long_question(count)).status == "not_found"


def test_nothing_is_quoted_to_what_is_off_topic(shipped: Bot) -> None:
    """The questions that the weights were fitted on: a guard against slipping back, not a measure."""
    lines = (REPOSITORY / "tests" / "evaluation" / "off_topic.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if shipped.ask(line).status != "not_found"] == []


def test_signals_are_told_with_the_verdict_and_are_those_of_the_hits(bot: Bot) -> None:
    question = "How fast may a boat go in the harbour?"
    query = understand(question, bot.snapshot, bot.encoder)
    verdict = judge(query, search(query, bot.snapshot, bot.encoder, top_k=JUDGED), bot.snapshot, SHIPPED)
    assert verdict.signals is not None
    assert asdict(verdict.signals) == asdict(signals_to(bot, question))
    assert verdict.confidence == bot.ask(question).confidence
