"""How sure: between 0 and 1, and less so the less the documents have to say."""

from __future__ import annotations

from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st

from bot.confidence import Signals, shipped_calibration, signals_of
from bot.engine import Bot
from bot.query import understand
from bot.search import search
from tests.conftest import REPOSITORY

unit = st.floats(0, 1)


@given(st.builds(Signals, unit, unit, unit, unit, unit, st.floats(0, 4), st.sampled_from([0.0, 1.0]), st.just(0.0)))
def test_confidence_is_a_probability_that_falls_when_what_is_asked_for_is_lacking(signals: Signals) -> None:
    calibration = shipped_calibration()
    sure = calibration.confidence(replace(signals, lacks_plain=0.0))
    lacking = calibration.confidence(replace(signals, lacks_plain=1.0))
    assert 0 <= lacking < sure <= 1


def test_the_thresholds_leave_room_between_not_found_and_answered() -> None:
    calibration = shipped_calibration()
    assert 0 < calibration.unsure_from < calibration.answered_from < 1


def test_every_weight_belongs_to_a_signal() -> None:
    calibration = shipped_calibration()
    names = set(Signals.__dataclass_fields__) | {"constant"}
    assert set(calibration.about) <= names and set(calibration.holds) <= names


def test_a_question_for_a_number_lacks_it_where_no_sentence_holds_one(shipped: Bot) -> None:
    def signals(question: str) -> dict[str, float]:
        query = understand(question, shipped.snapshot, shipped.encoder)
        return asdict(signals_of(query, search(query, shipped.snapshot, shipped.encoder), shipped.snapshot))

    held = signals("How many hotlines does INHOPE have?")
    lacking = signals("What is the phone number of INHOPE?")
    assert held["lacks_plain"] == 0 and held["sentence"] > 0
    assert lacking["lacks_plain"] == 1 and lacking["sentence"] == 0


def test_nothing_is_quoted_to_what_is_off_topic(shipped: Bot) -> None:
    """The questions that the weights were fitted on: a guard against slipping back, not a measure."""
    lines = (REPOSITORY / "tests" / "evaluation" / "off_topic.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if shipped.ask(line).status != "not_found"] == []
