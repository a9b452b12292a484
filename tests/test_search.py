"""What a person may rely on when they search, checked against a plain scan with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bot.documents import read_corpus
from bot.engine import Bot
from bot.snapshot import open_snapshot, publish
from bot.types import Encoder, Filters, Hit
from tests.conftest import write_files

VOCABULARY = """anchor beacon cliff dune ebb ferry gull harbour island jetty kelp lantern mast net oar pier quay reef
    sail tide""".split()
QUESTIONS = ("beacon on the cliff", "oar and mast", "kelp kelp lantern", "the tide", "nothing that anybody wrote")
#: By the last digit of a file's name.
PUBLISHERS = ("Port Office", "Bird Club", "Ferry Company")
LANGUAGES = ("en", "sv")


def bot_of(home: Path, files: Mapping[str, str], words: Encoder) -> Bot:
    documents = read_corpus(write_files(home / "corpus", files)).documents
    name = publish(documents, words, home / "index", aim=160)
    return Bot(words, open_snapshot(home / "index", name, words, aim=160))


def hits(bot: Bot, question: str, top_k: int = 5, filters: Filters | None = None) -> list[Hit]:
    return [cited.hit for cited in bot.ask(question, top_k=top_k, filters=filters).passages]


def note(text: str, publisher: str = "Port Office", language: str = "en") -> str:
    return f"---\ntitle: Notes\npublisher: {publisher}\nlanguage: {language}\n---\n\n{text}\n"


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory, words: Encoder) -> Bot:
    """150 passages of two random sentences each, no heading, all with the same title."""
    random = np.random.default_rng(7)
    files = {}
    for number in range(150):
        first, second = (" ".join(random.choice(VOCABULARY, 7)).capitalize() + "." for _ in range(2))
        files[f"{number:03}.md"] = note(
            f"{first} {second}", PUBLISHERS[number % 10 % len(PUBLISHERS)], LANGUAGES[number % 10 % len(LANGUAGES)]
        )
    return bot_of(tmp_path_factory.mktemp("sea"), files, words)


@pytest.mark.parametrize("top_k", [10, 150])
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_cosines_of_a_hit_equal_a_plain_scan(sea: Bot, words: Encoder, question: str, top_k: int) -> None:
    found = hits(sea, question, top_k)
    assert len(found) == top_k
    vector = words.encode_question(question)[0]
    for hit in found:
        passage = hit.passage
        sentences = words.encode_passages([part + "." for part in passage.text.removesuffix(".").split(". ")]) @ vector
        whole = words.encode_passages(["Notes " + passage.text])[0] @ vector  # read with its title before it
        assert hit.scores.passage == pytest.approx(whole, abs=1e-5)
        assert hit.scores.sentence == pytest.approx(sentences.max(), abs=2e-3)  # float16 on disk


def test_a_passage_asked_for_in_its_own_words_comes_first(sea: Bot) -> None:
    for passage in sea.snapshot.passages[::10]:
        assert hits(sea, passage.text)[0].passage == passage


def test_asking_for_more_than_there_is_gives_every_passage_once(sea: Bot) -> None:
    found = hits(sea, "beacon on the cliff", 1_000)
    assert sorted(hit.passage.id for hit in found) == sorted(passage.id for passage in sea.snapshot.passages)


def test_asking_a_small_corpus_for_more_than_it_has_gives_fewer_hits(tmp_path: Path, words: Encoder) -> None:
    small = bot_of(tmp_path, {"a.txt": "The pier is long and old.", "b.txt": "The reef is flat and wide."}, words)
    for top_k, expected in ((1, 1), (2, 2), (3, 2), (20, 2), (500, 2)):
        found = hits(small, "How old is the pier?", top_k)
        assert [hit.passage.document for hit in found] == ["a.txt", "b.txt"][:expected]


def test_an_empty_snapshot_answers_with_nothing(tmp_path: Path, words: Encoder) -> None:
    empty = Bot(words, open_snapshot(tmp_path, publish((), words, tmp_path, aim=160), words, aim=160))
    for filters in (None, Filters(language=("en",))):
        answer = empty.ask("anything", filters=filters)
        assert (answer.status, answer.quote, answer.passages) == ("not_found", None, ())


def test_the_same_words_in_two_files_are_two_sources(tmp_path: Path, words: Encoder) -> None:
    alarm = "In an emergency call 112 at once."
    copies = bot_of(tmp_path, {"fire.txt": alarm, "flood.txt": alarm, "rain.txt": "It rains a lot."}, words)
    found = hits(copies, "What do I call in an emergency?")
    assert sorted(hit.passage.document for hit in found[:2]) == ["fire.txt", "flood.txt"]
    assert found[0].passage.text == found[1].passage.text == alarm


def test_equal_scores_stand_in_corpus_order(tmp_path: Path, words: Encoder) -> None:
    names = [f"{letter}.md" for letter in "dbfaec"]
    twins = bot_of(tmp_path, dict.fromkeys(names, note("The beacon stands on the cliff.")), words)
    found = hits(twins, "Where is the beacon?", 6)
    assert len({hit.scores.total for hit in found}) == 1
    assert [hit.passage.document for hit in found] == sorted(names)


@pytest.mark.parametrize("question", QUESTIONS)
def test_hits_are_ordered_by_their_total(sea: Bot, question: str) -> None:
    found = hits(sea, question, 150)
    place = {passage: number for number, passage in enumerate(sea.snapshot.passages)}
    assert found == sorted(found, key=lambda hit: (-hit.scores.total, place[hit.passage]))


def test_fewer_hits_are_the_first_of_more(sea: Bot) -> None:
    for question in QUESTIONS:
        assert hits(sea, question, 3) == hits(sea, question, 20)[:3]


def test_a_search_changes_nothing_for_the_next(sea: Bot) -> None:
    first = sea.ask(QUESTIONS[0])
    sea.ask(QUESTIONS[1], top_k=150, filters=Filters(publisher=("Bird Club",)))
    assert sea.ask(QUESTIONS[0]) == first


def test_threads_that_share_a_snapshot_do_not_disturb_each_other(sea: Bot) -> None:
    questions = QUESTIONS * 20
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(sea.ask, questions))
    assert together == [sea.ask(question) for question in questions]


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(publisher=("Bird Club",)),
        Filters(publisher=("Bird Club", "Port Office")),
        Filters(language=("sv",)),
        Filters(document=("007.md", "149.md", "nowhere.md")),
        Filters(publisher=("Bird Club",), language=("sv",), document=("000.md", "001.md", "004.md")),
    ],
)
def test_a_filter_returns_all_that_it_admits_and_nothing_else(sea: Bot, filters: Filters) -> None:
    admitted = [
        name
        for number in range(150)
        for name in [f"{number:03}.md"]
        if PUBLISHERS[number % 10 % 3] in (filters.publisher or PUBLISHERS)
        and LANGUAGES[number % 10 % 2] in (filters.language or LANGUAGES)
        and name in (filters.document or [name])
    ]
    assert admitted
    found = hits(sea, "beacon on the cliff", 150, filters)
    assert sorted(hit.passage.document for hit in found) == admitted


def test_a_filter_finds_what_ranks_last_without_it(sea: Bot) -> None:
    last = hits(sea, "beacon on the cliff", 150)[-1]
    assert hits(sea, "beacon on the cliff", 5, Filters(document=(last.passage.document,))) == [last]


@pytest.mark.parametrize(
    "filters",
    [
        Filters(publisher=("Nobody",)),
        Filters(document=("000",)),
        Filters(language=("fr",)),
        Filters(publisher=("port office",)),
        Filters(publisher=("",)),
        Filters(document=("001.md",), publisher=("Port Office",)),  # each exists, but not together
    ],
)
def test_a_filter_that_admits_nothing_finds_nothing(sea: Bot, filters: Filters) -> None:
    answer = sea.ask("beacon on the cliff", filters=filters)
    assert (answer.status, answer.quote, answer.passages) == ("not_found", None, ())
