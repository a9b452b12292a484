"""The documents that Signpost ships: each says where it comes from, and answers what it says it answers."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from bot.engine import Bot
from tests.conftest import REPOSITORY

CORPUS = sorted(path for path in (REPOSITORY / "corpus").iterdir() if path.is_file())


def front_matter(path: Path) -> dict[str, object]:
    opening, details, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    assert opening == ""
    loaded = yaml.safe_load(details)
    assert isinstance(loaded, dict)
    return loaded


def questions_of(path: Path) -> list[str]:
    stated = front_matter(path)["questions"]
    assert isinstance(stated, list)
    return stated


def test_every_document_is_read(shipped: Bot) -> None:
    assert list(shipped.snapshot.documents) == [path.name for path in CORPUS]
    assert len(CORPUS) >= 13


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_document_says_where_it_comes_from(path: Path) -> None:
    stated = front_matter(path)
    for key in ("title", "publisher"):
        assert isinstance(stated[key], str)
        assert stated[key]
    address = urlsplit(str(stated["url"]))
    assert (address.scheme, bool(address.hostname)) == ("https", True)
    assert stated["language"] == "en"
    assert stated["verbatim"] is False, "the documents restate their sources in other words"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_no_date_can_be_misread(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b\d{1,2}\s?[./-]\s?\d{1,2}\s?[./-]\s?\d{2,4}\b", text)
    for key in ("published", "updated", "retrieved"):
        assert isinstance(front_matter(path).get(key, date.min), date)


@pytest.mark.parametrize(
    ("path", "question"),
    [pytest.param(path, question, id=question) for path in CORPUS for question in questions_of(path)],
)
def test_a_document_answers_its_own_questions(shipped: Bot, path: Path, question: str) -> None:
    answer = shipped.ask(question)
    assert (answer.status, answer.passages[0].citation.document) == ("answered", path.name)


def test_every_document_has_a_question_of_its_own() -> None:
    questions = [question for path in CORPUS for question in questions_of(path)]
    assert all(questions_of(path) for path in CORPUS)
    assert len(set(questions)) == len(questions)
