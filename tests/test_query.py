"""What a question is searched for, and that it is said."""

from __future__ import annotations

import pytest

from bot.engine import Bot
from bot.lexical import read_terms
from bot.query import _one_slip_away, understand
from bot.types import Correction


def corrected(bot: Bot, question: str) -> dict[str, str]:
    query = understand(question, bot.snapshot, bot.encoder)
    return {change.written: change.searched for change in query.corrections}


@pytest.mark.parametrize(
    ("question", "changes"),
    [
        ("who chiars the taskforse?", {"chiars": "chairs", "taskforse": "taskforce"}),
        ("did austrlia join the globl club", {"austrlia": "australia", "globl": "global"}),
        ("Wich governments chiar it?", {"Wich": "which", "chiar": "chair"}),  # no slip for "with" at the beginning
        ("Whare is the club?", {"Whare": "where"}),
        ("Wher is the club?", {"Wher": "where"}),  # not "when", which is as near
        ("Whos the chair? whats the club?", {}),
        ("a club wich it leads", {"wich": "with"}),
        ("What is online grooming?", {}),  # not a slip for growing
        ("Does offline abuse count?", {}),  # nor for online
        ("prosecutions and mailings", {}),
        ("What is their e-mail adress?", {}),  # one for address, which no document has, not for access
        ("What is the comission?", {}),  # nor for mission
        ("goverments with many membrs", {"goverments": "governments", "membrs": "members"}),
        ("Is Dominica a member? Is dominica?", {}),  # nor for the Dominican Republic
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


@pytest.mark.parametrize(
    ("question", "kind"),
    [("Whos in the club?", "name"), ("whats GIFCT", "definition"), ("wheres the club", "place")],
)
def test_what_lacks_only_its_apostrophe_is_read_as_if_it_had_it(shipped: Bot, question: str, kind: str) -> None:
    apostrophe = question.replace("s ", "'s ", 1)
    for one in (question, apostrophe):
        query = understand(one, shipped.snapshot, shipped.encoder)
        assert (query.text, query.kind) == (apostrophe, kind)


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("Wer leitet die globl taskforse?", "de"),
        ("¿Quién es el presdent de la taskforse?", "es"),
        ("Qui dirige la taskforse globl ?", "fr"),
        ("Кто входит в taskforse?", "ru"),
    ],
)
def test_the_words_of_a_foreign_question_are_not_mended(shipped: Bot, question: str, code: str) -> None:
    query = understand(question, shipped.snapshot, shipped.encoder)
    assert (query.foreign, query.corrections, query.text) == (code, (), question)


def test_an_encoder_that_knows_a_language_makes_it_no_foreign_one(shipped: Bot) -> None:
    question = "Wer leitet die globl taskforse?"
    for languages in ((), ("en", "de"), ("de",)):
        query = understand(question, shipped.snapshot, shipped.encoder, languages)
        assert query.foreign is None
        assert {change.written for change in query.corrections} >= {"globl", "taskforse"}
    assert understand("Who chairs it?", shipped.snapshot, shipped.encoder, ("de",)).foreign == "en"


@pytest.mark.parametrize(
    "question", ["who chiars the taskforse?", "taskforse", "GIFCT", "112", "Côte d'Ivoire member?"]
)
def test_english_and_what_does_not_tell_are_not_foreign(shipped: Bot, question: str) -> None:
    assert understand(question, shipped.snapshot, shipped.encoder).foreign is None


def test_a_foreign_question_is_answered_with_a_note_and_never_for_certain(shipped: Bot) -> None:
    answer = shipped.ask("Welche Länder sind in der WeProtect Global Alliance?")
    assert any("German" in note for note in answer.notes)
    assert answer.status != "answered"


def test_a_short_form_in_a_foreign_question_is_still_spelt_out(shipped: Bot) -> None:
    query = understand("Was ist das MNR?", shipped.snapshot, shipped.encoder)
    assert query.foreign == "de"
    assert query.expansions == (Correction("MNR", "Model National Response"),)


def test_a_query_is_matched_by_the_terms_of_its_mended_text(shipped: Bot) -> None:
    query = understand("who chiars the taskforse?", shipped.snapshot, shipped.encoder)
    assert query.text == "who chairs the taskforce?"
    assert query.terms == read_terms([query.text], shipped.encoder.pieces)[0]


@pytest.mark.parametrize(
    "text", ["31/02/2024", "99/99/2024", "1,000 co-operative 2024-02-30", "sıx boats", "fİfty-one"]
)
def test_no_date_or_number_is_too_odd_to_ask_for(shipped: Bot, text: str) -> None:
    assert shipped.ask(f"What happened on {text}?").question == f"What happened on {text}?"


def test_a_short_form_is_spelt_out_if_the_documents_explain_it(shipped: Bot) -> None:
    query = understand("what is the MNR", shipped.snapshot, shipped.encoder)
    assert query.expansions == (Correction("MNR", "Model National Response"),)
    assert query.text == "what is the Model National Response"
    assert shipped.ask("what is the MNR").passages[0].citation.document == "model-national-response.md"


def test_a_word_that_has_the_initials_of_a_name_by_chance_is_left_alone(shipped: Bot) -> None:
    for question in ("Does BMW fund the alliance?", "What did the SEC say?", "What is SWE?"):
        assert understand(question, shipped.snapshot, shipped.encoder).expansions == ()


def test_a_short_form_that_the_documents_use_is_left_alone(shipped: Bot) -> None:
    assert understand("What does GIFCT do?", shipped.snapshot, shipped.encoder).expansions == ()


def test_the_answer_says_what_was_searched_for_and_keeps_the_question(shipped: Bot) -> None:
    answer = shipped.ask("modle natinal reponse")
    assert answer.question == "modle natinal reponse"
    assert {change.searched for change in answer.corrections} == {"model", "national", "response"}
    assert answer.passages[0].citation.document == "model-national-response.md"


@pytest.mark.parametrize(
    "polite",
    [
        "Hello, {}",
        "Could you please tell me: {}",
        "quick question - {}",
        "Good afternoon. {}",
        "{} pls",
        "{} Thank you!",
    ],
)
def test_whoever_is_polite_gets_the_same_answer(shipped: Bot, polite: str) -> None:
    questions = [question for record in shipped.snapshot.documents.records for question in record.questions]
    for question in questions:
        plain, asked = shipped.ask(question), shipped.ask(polite.format(question))
        assert (asked.status, asked.quote, asked.passages) == (plain.status, plain.quote, plain.passages)
        assert asked.question == polite.format(question)


def test_one_slip_is_a_letter_too_many_too_few_or_wrong_or_two_that_changed_places() -> None:
    words = _one_slip_away("form")
    assert {"from", "fom", "forms", "foxrm", "fork", "ofrm", "frm"} <= words
    assert words.isdisjoint({"form", "fo", "reform", "mrof"})
