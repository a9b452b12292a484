"""What a question is searched for, and that it is said."""

from __future__ import annotations

import pytest

from bot.engine import Bot
from bot.query import understand
from bot.types import Correction


def corrected(bot: Bot, question: str) -> dict[str, str]:
    query = understand(question, bot.snapshot, bot.encoder)
    return {change.written: change.searched for change in query.corrections}


@pytest.mark.parametrize(
    ("question", "changes"),
    [
        ("who chiars the taskforse?", {"chiars": "chairs", "taskforse": "taskforce"}),
        ("did austrlia join the globl club", {"austrlia": "australia", "globl": "global"}),
        ("How many hotlines does INHOPE have?", {}),
        ("Is Chile a member?", {}),  # not a slip for China
        ("Is Iran a member?", {}),
        ("Will it rain in Brisbane tomorrow?", {}),
        ("xk", {}),
        ("12345 2O24", {}),
    ],
)  # fmt: skip
def test_misspelt_words_are_mended_and_no_others(shipped: Bot, question: str, changes: dict[str, str]) -> None:
    assert corrected(shipped, question) == changes


def test_a_short_form_is_spelt_out_if_the_documents_explain_it(shipped: Bot) -> None:
    query = understand("what is the MNR", shipped.snapshot, shipped.encoder)
    assert query.expansions == (Correction("MNR", "Model National Response"),)
    assert query.text == "what is the Model National Response"
    assert shipped.ask("what is the MNR").passages[0].citation.document == "model-national-response.md"


def test_a_short_form_that_the_documents_use_is_left_alone(shipped: Bot) -> None:
    assert understand("What does GIFCT do?", shipped.snapshot, shipped.encoder).expansions == ()


def test_the_answer_says_what_was_searched_for_and_keeps_the_question(shipped: Bot) -> None:
    answer = shipped.ask("modle natinal reponse")
    assert answer.question == "modle natinal reponse"
    assert {change.searched for change in answer.corrections} == {"model", "national", "response"}
    assert answer.passages[0].citation.document == "model-national-response.md"
