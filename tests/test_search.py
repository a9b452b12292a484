"""What a person may rely on when they search, checked against a plain scan with numpy."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pytest

from bot import search as parts
from bot.documents import read_corpus
from bot.engine import Bot
from bot.lexical import Lexical
from bot.passages import topic_text
from bot.publish import publish
from bot.query import understand
from bot.question import holds
from bot.search import search
from bot.snapshot import Snapshot, open_snapshot
from bot.types import Embeddings, Encoder, Filters, Hit
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


Given = ParamSpec("Given")
Made = TypeVar("Made")


def searched(bot: Bot, question: str, top_k: int = 5, filters: Filters | None = None) -> tuple[Hit, ...]:
    """What the search itself returns, where ``ask`` would have it read a few more than it shows."""
    query = understand(question, bot.snapshot, bot.encoder)
    return search(query, bot.snapshot, bot.encoder, top_k=top_k, filters=filters)


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
        assert hit.scores.passage == pytest.approx(whole, abs=5e-4)  # 16 bits on disk
        assert hit.scores.sentence == pytest.approx(sentences.max(), abs=4e-3)  # 8 bits on disk


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


def test_equal_scores_stand_in_corpus_order(tmp_path: Path, words: Encoder) -> None:
    names = [f"{letter}.md" for letter in "dbfaec"]
    ends = ["red lamp", "old mast", "tall tower", "grey fog", "deep bell", "long rope"]
    twins = bot_of(
        tmp_path, {n: note(f"The beacon stands there {end}.") for n, end in zip(names, ends, strict=True)}, words
    )
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


@pytest.fixture
def long_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes any corpus for one of which the lexical search takes long."""
    monkeypatch.setattr(parts, "_LONG_SEARCH", 1)


@pytest.mark.parametrize("filters", [None, Filters(publisher=("Bird Club",))])
def test_a_long_lexical_search_finds_the_same(
    sea: Bot, filters: Filters | None, request: pytest.FixtureRequest
) -> None:
    questions = [*QUESTIONS, "zzz", ""]
    alone = [searched(sea, question, 20, filters) for question in questions]
    request.getfixturevalue("long_search")
    with ThreadPoolExecutor(8) as pool:
        beside = list(pool.map(lambda question: searched(sea, question, 20, filters), questions * 8))
    assert beside == alone * 8


def noting(begun: threading.Event, call: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function that says first that it has begun."""

    def noted(*given: Given.args, **named: Given.kwargs) -> Made:
        begun.set()
        return call(*given, **named)

    return noted


class Waiting:
    """An encoder that does not encode a question before a lexical search has begun."""

    def __init__(self, encoder: Encoder, begun: threading.Event) -> None:
        self._encoder, self._begun = encoder, begun

    def encode_question(self, text: str) -> Embeddings:
        assert self._begun.wait(10)
        return self._encoder.encode_question(text)


@pytest.mark.usefixtures("long_search")
def test_a_long_lexical_search_goes_on_while_the_question_is_encoded(sea: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    monkeypatch.setattr(Lexical, "search", noting(begun, Lexical.search))
    query = understand(QUESTIONS[0], sea.snapshot, sea.encoder)
    hits = search(query, sea.snapshot, cast("Encoder", Waiting(sea.encoder, begun)))
    assert hits == searched(sea, QUESTIONS[0])


@pytest.mark.usefixtures("long_search")
def test_what_goes_wrong_in_a_long_lexical_search_is_not_lost(sea: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    query = understand(QUESTIONS[0], sea.snapshot, sea.encoder)
    monkeypatch.setattr(sea.snapshot.lexical, "_starts", [])
    with pytest.raises(IndexError):
        search(query, sea.snapshot, sea.encoder)


@pytest.mark.usefixtures("long_search")
def test_a_process_that_parts_from_one_that_has_searched_can_search(sea: Bot) -> None:
    """A service opens its snapshot, and tries its starter questions, before its workers part."""
    before = searched(sea, QUESTIONS[0])
    assert before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if len(searched(sea, QUESTIONS[0])) == len(before) else 1)
    assert os.waitpid(child, 0)[1] == 0


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


def test_a_filter_that_names_nothing_costs_nothing(sea: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sea.ask(QUESTIONS[0])
    monkeypatch.delattr(Filters, "admit")
    assert sea.ask(QUESTIONS[0], filters=Filters()) == expected


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


# --- the score --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, words: Encoder) -> Bot:
    """Documents of 1, 2, 3, 7, 1 and 4 passages, each of two random sentences, some with a number."""
    random = np.random.default_rng(11)
    files = {}
    for name, count in zip("abcdef", (1, 2, 3, 7, 1, 4), strict=True):
        texts = []
        for _ in range(count):
            first, second = (" ".join(random.choice(VOCABULARY, 6)).capitalize() for _ in range(2))
            texts.append(
                f"{first} {random.integers(100, 999)}. {second}." if random.random() < 0.5 else f"{first}. {second}."
            )
        files[f"{name}.md"] = note("\n\n".join(f"## {name}{number}\n\n{text}" for number, text in enumerate(texts)))
    return bot_of(tmp_path_factory.mktemp("archive"), files, words)


def test_the_weights_of_the_scores_add_up_to_one() -> None:
    assert sum(weights()) == pytest.approx(1)
    assert min(*weights(), parts.KIND_WEIGHT) > 0


def weights() -> tuple[float, ...]:
    return (
        parts.PASSAGE_WEIGHT,
        parts.SENTENCE_WEIGHT,
        parts.LEXICAL_WEIGHT,
        parts.AROUND_PASSAGE_WEIGHT,
        parts.AROUND_LEXICAL_WEIGHT,
    )


def near(snapshot: Snapshot, row: int) -> list[int]:
    """The passages of the same document at most two away, the passage itself among them."""
    document = snapshot.passages[row].document
    return [other for other in range(18) if abs(other - row) <= 2 and snapshot.passages[other].document == document]


def around(
    snapshot: Snapshot, row: int, cosines: npt.NDArray[np.float64], lexical: dict[int, float]
) -> tuple[float, float]:
    others = near(snapshot, row)
    return float(np.mean([cosines[other] for other in others])), fmean(lexical.get(other, 0.0) for other in others)


@pytest.mark.parametrize("question", [*QUESTIONS, "How many gulls sail the tide?", "island"])
def test_every_score_is_the_weighted_sum_of_its_parts(archive: Bot, question: str) -> None:
    snapshot, encoder = archive.snapshot, archive.encoder
    vector = encoder.encode_question(question)[0].astype(np.float64)
    query = understand(question, snapshot, encoder)
    rows, shares = snapshot.lexical.search(query.terms, 1_000)
    lexical = dict(zip(rows.tolist(), shares.tolist(), strict=True))
    cosines = snapshot.vectors.of(slice(None)).astype(np.float64) @ vector
    places = {passage: row for row, passage in enumerate(snapshot.passages)}
    found = searched(archive, question, 100)
    assert sorted(places[hit.passage] for hit in found) == list(range(18))  # the first and the last of all among them
    for hit in found:
        row = places[hit.passage]
        means = [around(snapshot, other, cosines, lexical) for other in near(snapshot, row)]
        sentences = encoder.encode_passages(
            [hit.passage.sentence_text(number) for number in range(len(hit.passage.sentences))]
        ).astype(np.float64)
        expected = (
            cosines[row],
            max(sentences @ vector),
            lexical.get(row, 0.0),
            *max(means, key=lambda both: float(np.dot(both, weights()[3:]))),  # all of the archive are candidates
        )
        scores = hit.scores
        own = (scores.passage, scores.sentence, scores.lexical, scores.around_passage, scores.around_lexical)
        assert own == pytest.approx(expected, abs=4e-3)  # the sentences are in 8 bits on disk
        assert scores.marked == pytest.approx((sentences @ vector)[hit.best_sentence], abs=4e-3)
        document = snapshot.documents[hit.passage.document]
        topic = encoder.encode_passages([topic_text(document, hit.passage, encoder)])[0].astype(np.float64)
        beyond = vector - (vector @ topic) * topic
        assert scores.beyond == pytest.approx((sentences @ beyond)[hit.best_sentence], abs=6e-3)
        marked = hit.passage.sentence_text(hit.best_sentence)
        bonus = parts.KIND_WEIGHT if query.kind == "number" and holds(marked, "number") else 0
        assert scores.bonus == pytest.approx(bonus if found.index(hit) < 10 else scores.bonus)
        assert scores.total == pytest.approx(np.dot(weights(), own) + scores.bonus, abs=1e-6)
    if query.kind == "number":
        assert {hit.scores.bonus for hit in found} == {0.0, parts.KIND_WEIGHT}


def test_a_passage_gains_by_what_stands_around_it_in_its_document_only(tmp_path: Path, words: Encoder) -> None:
    sections = {"a": "The beacon glows.", "b": "Nets dry slowly.", "c": "Kelp drifts past.", "d": "Oars are long."}
    sections |= {"e": "Rain falls here.", "f": "Salt is cheap."}
    together = note("\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items()))
    alone = {f"{name}.md": note(f"## {name}\n\n{text}") for name, text in sections.items()}
    together_by_text, alone_by_text = (
        {hit.passage.text: hit.scores for hit in hits(bot_of(tmp_path / name, files, words), "Where is the beacon?", 9)}
        for name, files in (("together", {"all.md": together}), ("alone", alone))
    )
    beacon, near, nearer, far, _, farther = sections.values()
    assert together_by_text.keys() == alone_by_text.keys() == set(sections.values())
    for text in (near, nearer):
        assert together_by_text[text].around_lexical > 0 == alone_by_text[text].around_lexical
    assert together_by_text[far].around_lexical > 0  # three passages away, but one from those that are two away
    assert together_by_text[farther].around_lexical == 0
    assert together_by_text[beacon].around_lexical < together_by_text[beacon].lexical
    for scores in alone_by_text.values():
        assert scores.around_lexical == pytest.approx(scores.lexical)
        assert scores.around_passage == pytest.approx(scores.passage)


# --- what is said twice -----------------------------------------------------------------------------------------------

ALARM = "In an emergency call 112 at once."
LONG_ALARM = (
    "In an emergency at sea the skipper first puts on a life jacket, then sends the position of the boat by radio on "
    "the channel that every harbour of the island listens to, and only after that begins to look for the cause."
)
OTHERS = {
    "exit.txt": "The emergency exit of the hall leads to the pier.",
    "rain.txt": "It rains a lot on the island.",
    "tea.txt": "Tea is served at four.",
}


def documents_of(hit: Hit) -> list[str]:
    return [hit.passage.document, *(passage.document for passage in hit.elsewhere)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ALARM, ALARM),
        (ALARM, ALARM.upper()),
        (LONG_ALARM, LONG_ALARM.replace("radio", "phone")),
        (LONG_ALARM, LONG_ALARM.replace(",", ";")),
        (ALARM, f"## Alarm\n\n{ALARM}"),
    ],
)
def test_what_two_files_say_alike_is_one_hit_that_names_the_other_place(
    tmp_path: Path, words: Encoder, one: str, other: str
) -> None:
    copies = bot_of(tmp_path, OTHERS | {"fire.md": one, "flood.md": other}, words)
    first, *rest = hits(copies, "What comes first in an emergency, to call 112 or to send the position?")
    assert sorted(documents_of(first)) == ["fire.md", "flood.md"]
    assert all(hit.elsewhere == () for hit in rest)
    assert {hit.passage.document for hit in rest} <= OTHERS.keys()


def test_a_copy_that_has_the_sentence_more_that_is_asked_for_stands_for_itself(tmp_path: Path, words: Encoder) -> None:
    same = f"{ALARM} Whoever hears the alarm comes to the pier. Bring a torch and a rope, and wait there for the pilot."
    files = {"fire.md": note(f"## Pipes, pipes\n\n{same}"), "flood.md": f"{same} Pipes stay out."}
    copies = bot_of(tmp_path, OTHERS | files, words)
    lacking, telling = hits(copies, "What about pipes?")[:2]
    assert (lacking.passage.document, telling.passage.document) == ("fire.md", "flood.md")
    assert telling.passage.sentence_text(telling.best_sentence) == "Pipes stay out."
    assert sorted(documents_of(hits(copies, "Who comes to the pier?")[0])) == sorted(files)


def test_what_one_document_says_twice_is_one_hit_that_names_both_places(tmp_path: Path, words: Encoder) -> None:
    twice = bot_of(tmp_path, OTHERS | {"a.md": note(f"## Fire\n\n{ALARM}\n\n## Flood\n\n{ALARM}")}, words)
    first = hits(twice, "What do I call in an emergency?")[0]
    [other] = first.elsewhere
    assert first.passage.document == other.document == "a.md"
    assert first.passage.text == other.text == ALARM
    assert {first.passage.headings[-1], other.headings[-1]} == {"Fire", "Flood"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A return ticket costs 12 euros on weekdays.", "A return ticket costs 14 euros on weekdays."),
        ("Boats may moor at the north pier.", "Boats may not moor at the north pier."),
        ("Puffins breed on the western cliffs.", "On the western cliffs puffins breed."),
        (LONG_ALARM, LONG_ALARM.replace("skipper", "captain").replace("radio", "phone").replace("island", "coast")),
        (LONG_ALARM, LONG_ALARM.partition(" on the channel")[0] + " tells the coast guard where the boat lies."),
        ("Boats", "Boats may go at most 5 knots."),
    ],
)
def test_what_says_something_else_in_like_words_stays_a_hit_of_its_own(
    tmp_path: Path, words: Encoder, one: str, other: str
) -> None:
    two = bot_of(tmp_path, {"one.txt": one, "two.txt": other}, words)
    found = hits(two, one)
    assert [hit.elsewhere for hit in found] == [(), ()]
    assert {hit.passage.text for hit in found} == {one, other}


def test_other_places_stand_in_the_order_of_their_scores(tmp_path: Path, words: Encoder) -> None:
    titles = {"a.md": "Tea", "b.md": "Call in an emergency", "c.md": "Emergency"}
    files = {name: note(ALARM).replace("Notes", title) for name, title in titles.items()}
    [found] = hits(bot_of(tmp_path, files, words), "What do I call in an emergency?")
    assert documents_of(found) == ["b.md", "c.md", "a.md"]


@pytest.mark.parametrize("name", ["fire.txt", "flood.txt"])
def test_a_filter_finds_a_copy_and_names_no_place_that_it_keeps_out(tmp_path: Path, words: Encoder, name: str) -> None:
    copies = bot_of(tmp_path, OTHERS | {"fire.txt": ALARM, "flood.txt": ALARM}, words)
    [found] = hits(copies, "What do I call in an emergency?", filters=Filters(document=(name,)))
    assert documents_of(found) == [name]


def test_copies_take_one_place_so_that_others_have_room(tmp_path: Path, words: Encoder) -> None:
    copies = bot_of(tmp_path, OTHERS | {f"copy{number}.txt": ALARM for number in range(6)}, words)
    found = hits(copies, "What do I call in an emergency?", 3)
    assert len(found) == 3
    assert len(found[0].elsewhere) == 5
    assert {hit.passage.document for hit in found[1:]} <= OTHERS.keys()


def test_many_copies_do_not_crowd_out_what_else_there_is(tmp_path: Path, words: Encoder) -> None:
    """Thirty pages with one footer, say."""
    copies = bot_of(tmp_path, OTHERS | {f"copy{number:02}.txt": ALARM for number in range(30)}, words)
    found = hits(copies, "What do I call in an emergency?", 4)
    assert len(found) == 4
    assert len(found[0].elsewhere) == 29


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_passage_is_a_hit_or_stands_elsewhere_once(tmp_path: Path, words: Encoder, question: str) -> None:
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(VOCABULARY, 7)) for _ in range(8)]
    some = bot_of(tmp_path, {f"{number:02}.txt": texts[random.integers(8)] for number in range(30)}, words)
    found = hits(some, question, 100)
    assert sorted(name for hit in found for name in documents_of(hit)) == [f"{number:02}.txt" for number in range(30)]
    assert len({hit.passage.text for hit in found}) == len(found)
    assert all(hit.passage.text == other.text for hit in found for other in hit.elsewhere)


# --- one document does not take all the places ------------------------------------------------------------------------

COLOURS = "red green blue white black grey pink brown gold teal lime navy".split()
SIZES = "old new tall short thin wide flat round dim bright hot cold".split()


def beacons(
    home: Path, words: Encoder, parts: int, others: int, other: str = "The beacon on the cliff {} boats."
) -> Bot:
    """A long document about a beacon, and others of a passage each."""
    sections = [
        f"## Beacon on the cliff {number}\n\nThe beacon on the cliff is {colour} and {size}."
        for number, colour, size in zip(range(parts), COLOURS, SIZES, strict=False)
    ]
    verbs = ["warns many small", "helps some large", "guides several fishing"]
    files = {"long.md": note("\n\n".join(sections))}
    files |= {f"other{number}.md": note(other.format(verb)) for number, verb in enumerate(verbs[:others])}
    files |= {"tea.md": note("Tea is served at four."), "net.md": note("Nets dry on the quay.")}
    return bot_of(home, files, words)


BEACON = "Which beacon stands on the cliff?"


def test_one_document_takes_two_of_five_places_while_three_others_answer_too(tmp_path: Path, words: Encoder) -> None:
    bot = beacons(tmp_path, words, 5, 3)
    every = searched(bot, BEACON, 100)
    best = sorted(every, key=lambda hit: -hit.scores.total)
    assert [hit.passage.document for hit in best[:5]] == ["long.md"] * 5  # or the test would prove nothing
    assert all(hit.scores.total > 0.7 * best[0].scores.total for hit in best[:8])
    found = searched(bot, BEACON)
    assert [hit.passage.document for hit in found[:2]] == ["long.md"] * 2
    assert sorted(hit.passage.document for hit in found[2:]) == ["other0.md", "other1.md", "other2.md"]
    assert found[:2] == tuple(best[:2])
    assert found[2:] == tuple(best[5:8])  # each group in its own order


def test_beyond_the_first_five_places_passages_stand_in_their_own_order(tmp_path: Path, words: Encoder) -> None:
    every = searched(beacons(tmp_path, words, 5, 3), BEACON, 100)
    assert len(every) == 10
    assert sum(hit.passage.document == "long.md" for hit in every[:5]) == 2
    assert list(every[5:]) == sorted(every[5:], key=lambda hit: -hit.scores.total)


def test_room_for_others_is_made_alike_however_many_are_shown(tmp_path: Path, words: Encoder) -> None:
    bot = beacons(tmp_path, words, 5, 3)
    every = searched(bot, BEACON, 100)
    for top_k in range(1, 11):
        assert searched(bot, BEACON, top_k) == every[:top_k]


@pytest.mark.parametrize("others", [0, 1, 2])
def test_one_document_may_take_more_places_where_fewer_others_answer(
    tmp_path: Path, words: Encoder, others: int
) -> None:
    found = searched(beacons(tmp_path, words, 5, others), BEACON)
    assert [hit.passage.document for hit in found] == ["long.md"] * 5


def test_others_that_answer_much_worse_take_no_places(tmp_path: Path, words: Encoder) -> None:
    found = searched(beacons(tmp_path, words, 5, 3, "Cliff birds {} eggs."), BEACON)
    assert [hit.passage.document for hit in found] == ["long.md"] * 5


def test_a_filter_for_one_document_gives_it_all_places(tmp_path: Path, words: Encoder) -> None:
    found = searched(beacons(tmp_path, words, 5, 3), BEACON, filters=Filters(document=("long.md",)))
    assert [hit.passage.document for hit in found] == ["long.md"] * 5


def test_a_long_document_leaves_room_for_others_among_the_best_ten(tmp_path: Path, words: Encoder) -> None:
    found = searched(beacons(tmp_path, words, 7, 3), BEACON)
    assert sum(hit.passage.document == "long.md" for hit in found) == 2
    assert {hit.passage.document for hit in found} == {"long.md", "other0.md", "other1.md", "other2.md"}


# --- what is marked ---------------------------------------------------------------------------------------------------

SAID = {
    "lamps.md": """# Lamp shop

**Q: Can I return a lamp?**
A: Within 30 days, in its unopened box.

**Q: Do you ship to Switzerland?**
A: No, only inside the European Union.
""",
    "repairs.md": """# Repairs

Do you mend clocks? Bring them to the counter. What do clocks cost? Clocks that you mend yourself cost half.
""",
    "printers.md": """# Printers

Are there printers in the office? Yes. They stand on the second floor. Ask Mo for paper.
""",
    "rooms.md": """# Rooms of the house

| Room | Floor | Projector |
|---|---|---|
| Birch | 3 | yes |
| Oak | 1 | no |
""",
    "party.md": """# Summer party

Hello everybody,

this year we celebrate on the meadow by the river on 12 July.

Bring a cake if you can bake one.

Best wishes
""",
    "boats.md": """# Hiring rowing boats

The hire of rowing boats is about hiring rowing boats. Children under twelve go with an adult.
""",
    "guild.md": """# Harbour Guild

The Harbour Guild brings together skippers, fishers and rowers. The Harbour Guild is a club with 80 members. The
Harbour Guild works for safe moorings.

## History

In 1901 skippers founded the Harbour Guild.
""",
}


@pytest.fixture(scope="module")
def notices(tmp_path_factory: pytest.TempPathFactory, words: Encoder) -> Bot:
    return bot_of(tmp_path_factory.mktemp("notices"), SAID, words)


@pytest.mark.parametrize(
    ("question", "marked"),
    [
        ("Can I return a lamp?", "A: Within 30 days, in its unopened box."),
        ("Do you ship to Switzerland?", "A: No, only inside the European Union."),
        ("Do you mend clocks?", "Bring them to the counter."),
        ("Are there printers in the office?", "They stand on the second floor."),
        ("Which rooms have a projector?", "Room: Birch | Floor: 3 | Projector: yes"),
        ("Which floor is which room on?", "Room: Birch | Floor: 3 | Projector: yes"),
        ("When is the summer party?", "this year we celebrate on the meadow by the river on 12 July."),
        ("What is the Harbour Guild?", "The Harbour Guild is a club with 80 members."),
        ("tell me about the harbour guild", "The Harbour Guild is a club with 80 members."),
    ],
)
def test_a_question_a_yes_a_header_and_a_greeting_are_not_marked(notices: Bot, question: str, marked: str) -> None:
    hit = hits(notices, question)[0]
    told = hit.passage.sentence_text(hit.best_sentence)
    assert told == marked or (told.startswith("Room: ") and marked.startswith("Room: "))


@pytest.mark.parametrize(
    ("headings", "near", "told", "question"),
    [
        (
            ("Pilots", "Pilots and who chairs them"),
            "The board of pilots has a person at its head.",
            "Ann Lee chairs the meetings.",
            "Who chairs the board of pilots?",
        ),
        (
            ("Notes", "Boats"),
            "Children may row on the pond in summer.",
            "Of the boats the blue ones by the wall are theirs.",
            "Which boats may children row?",
        ),
    ],
)
def test_what_is_asked_for_is_told_by_the_sentence_that_has_the_word(
    tmp_path: Path, model: Encoder, headings: tuple[str, str], near: str, told: str, question: str
) -> None:
    """However near another is; not where the heading has the word, as then all are about it."""
    for heading, number in zip(headings, (1, 0), strict=True):
        bot = bot_of(tmp_path / heading, {"notes.md": f"# {heading}\n\n{near} {told}\n"}, model)
        [hit] = hits(bot, question)
        assert hit.best_sentence == number


def test_a_sentence_that_names_the_topic_once_more_is_not_marked_for_it(notices: Bot) -> None:
    """It is the nearer, but not to what is asked of the topic."""
    question = "Hiring rowing boats: may children go?"
    hit = hits(notices, question)[0]
    vector = notices.encoder.encode_question(question)[0]
    naming, answering = notices.encoder.encode_passages([hit.passage.sentence_text(number) for number in (0, 1)])
    assert naming @ vector > answering @ vector + 0.2
    assert hit.best_sentence == 1


def test_what_answers_a_question_of_the_document_is_as_near_as_that(notices: Bot) -> None:
    hit = hits(notices, "Can I return a lamp?")[0]
    vector = notices.encoder.encode_question("Can I return a lamp?")[0]
    asked = notices.encoder.encode_passages(["**Q: Can I return a lamp?**".strip("*")])[0]
    assert hit.scores.marked == pytest.approx(float(asked @ vector), abs=0.02)
