"""The bot as a whole: what it answers, what it declines, and how it keeps serving."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bot.engine import Bot, build_index, open_bot
from bot.errors import EmptyQuestion, QuestionTooLong, SnapshotDamaged, SnapshotMismatch, SnapshotMissing
from bot.settings import Settings, load_settings
from bot.snapshot import current_id
from bot.types import Progress
from bot.vectors import IndexChoice
from tests.conftest import FILES, REPOSITORY, write_files

WEATHER = (
    "Will it rain in Lisbon tomorrow?",
    "How warm is it outside today?",
    "Is a storm coming this weekend?",
    "When does the sun set tonight?",
    "How much snow fell in the mountains?",
)
SPORT = (
    "Who won the cricket yesterday?",
    "Which team leads the football league?",
    "How many medals did the swimmers take?",
    "Who scored the winning penalty?",
    "What is the world record for the marathon?",
)
SMALL_TALK = (
    "Hello, how are you?",
    "Good morning!",
    "Tell me a joke",
    "Thank you, you were very helpful",
    "What is your favourite colour?",
    "Do you like music?",
    "Sing me a song",
    "What should I cook for dinner tonight?",
    "How do I bake sourdough bread?",
    "Can you recommend a good restaurant?",
)

#: Our own wording, and the one document that says it.
FACTS = {
    "In which year was the regulators' network for online safety created?": (
        "global-online-safety-regulators-network.md"
    ),
    "How many countries have a hotline that belongs to INHOPE?": "inhope.md",
    "Which body is the chair of the taskforce against child sexual abuse online?": (
        "global-taskforce-on-child-sexual-abuse-online.md"
    ),
    "How many MEPs belong to the intergroup on children's rights?": (
        "european-parliament-intergroup-childrens-rights.md"
    ),
    "Since when has Australia been in the partnership on gender-based online harassment?": (
        "global-partnership-gender-based-online-harassment.md"
    ),
    "What does GIFCT want to counter?": "gifct.md",
    "What can governments do with the Model National Response?": "model-national-response.md",
    "What does the World Economic Forum's digital safety coalition want to speed up?": (
        "wef-global-coalition-for-digital-safety.md"
    ),
    "Does the eSafety Commissioner sit on the board of the WeProtect Global Alliance?": "weprotect-global-alliance.md",
    "How many names are on WeProtect's list of member governments?": "weprotect-member-governments.md",
    "What does the UN Special Rapporteur say about offences that cross borders?": (
        "governments-and-online-child-protection.md"
    ),
    "Which harms does the Digital Policy Lab look at?": "isd-digital-policy-lab.md",
}


@pytest.mark.parametrize("question", ["", "   ", "\n\t", "?!…", "—", "\u200b\u202e\ufeff", "\ud800", "😀"])
def test_a_question_without_letters_or_numbers_is_refused(bot: Bot, question: str) -> None:
    with pytest.raises(EmptyQuestion, match="at least one letter or number"):
        bot.ask(question)


@pytest.mark.parametrize("question", ["x" * 1_001, "boat " * 201, " " * 1_001, "ß" * 100_000])
def test_a_question_beyond_1000_characters_is_refused_without_repeating_it(bot: Bot, question: str) -> None:
    with pytest.raises(QuestionTooLong, match=f"1,000 characters, this one has {len(question):,}") as refusal:
        bot.ask(question)
    assert question not in str(refusal.value)


def test_a_question_of_1000_characters_is_answered(bot: Bot) -> None:
    question = "How fast may a boat go in the harbour?".ljust(1_000, "?")
    assert bot.ask(question).passages


@pytest.mark.parametrize("question", [*WEATHER, *SPORT, *SMALL_TALK])
def test_what_the_documents_are_not_about_is_not_found(shipped: Bot, question: str) -> None:
    assert shipped.ask(question).status == "not_found"


@pytest.mark.parametrize(("question", "document"), FACTS.items())
def test_a_fact_is_found_in_other_words(shipped: Bot, question: str, document: str) -> None:
    """It may be asked to be checked: few of the question's words stand in the passage. And where what is asked for has
    another name there ("MEPs", "harms"), it may be too unsure to be quoted."""
    answer = shipped.ask(question)
    assert answer.status in ("answered", "unsure") or "MEPs" in question or "harms" in question
    assert answer.passages[0].citation.document == document


@pytest.mark.parametrize("question", ["Is the red dinghy half price on Mondays?", "Red dinghy half price on Mondays"])
def test_a_sentence_that_says_what_is_asked_is_the_answer(tmp_path: Path, question: str) -> None:
    files = {**FILES, "dinghy.txt": "The red dinghy is half price on Mondays."}
    settings = load_settings(corpus=write_files(tmp_path / "corpus", files), index=tmp_path / "index")
    build_index(settings)
    answer = open_bot(settings).ask(question)
    assert (answer.status, answer.passages[0].citation.document) == ("answered", "dinghy.txt")


def test_the_starters_are_answered(shipped: Bot, bot: Bot) -> None:
    assert len(shipped.starters) == 4
    assert bot.starters == ("How fast may a boat go in the harbour?",)
    for asked in (shipped, bot):
        assert {asked.ask(starter).status for starter in asked.starters} == {"answered"}


def test_an_operators_starter_without_an_answer_is_not_offered(island: Settings) -> None:
    chosen = ("Who won the cricket yesterday?", "What does a return ticket cost?")
    assert open_bot(island.model_copy(update={"suggestions": chosen})).starters == chosen[1:]


def test_the_confidence_is_a_probability(shipped: Bot) -> None:
    for question in (*WEATHER, *FACTS, "a", "INHOPE " * 100):
        assert 0 <= shipped.ask(question).confidence <= 1


def test_asking_twice_gives_the_same_answer(shipped: Bot) -> None:
    first, second = list(FACTS)[:2]
    answer = shipped.ask(first)
    shipped.ask(second, top_k=20)
    assert shipped.ask(first) == answer


def test_threads_may_share_a_bot(bot: Bot) -> None:
    questions = ["How fast may a boat go?", "What does a ticket cost for a child?", "Where do puffins breed? " * 9] * 6
    alone = [bot.ask(question) for question in questions]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(bot.ask, questions))
    for one, other in zip(alone, together, strict=True):
        assert [cited.hit.passage for cited in one.passages] == [cited.hit.passage for cited in other.passages]
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


def test_the_list_of_member_governments_has_103_entries(shipped: Bot) -> None:
    name = "weprotect-member-governments.md"
    document = shipped.snapshot.documents[name]
    entries = [document.text[block.start : block.end] for block in document.blocks if block.kind == "item"]
    lines = (REPOSITORY / "corpus" / name).read_text(encoding="utf-8").splitlines()
    body = lines[lines.index("---", 1) + 1 :]
    assert entries == [line.removeprefix("- ") for line in body if line.startswith("- ")]
    assert len(entries) == len(set(entries)) == 103
    assert (entries[0], entries[-1]) == ("Albania", "Zimbabwe")


# --- building ---------------------------------------------------------------------------------------------------------


def settings_of(home: Path) -> Settings:
    return load_settings(corpus=write_files(home / "corpus", FILES), index=home / "index")


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_build_without_a_change_leaves_the_snapshot_as_it_is(island: Settings) -> None:
    before = state_of(island.index)
    report = build_index(island)
    assert (report.built, report.snapshot) == (False, current_id(island.index))
    assert (report.documents, report.passages, report.complete, report.unanswered) == (3, 5, True, ())
    assert [(file.path, file.outcome) for file in report.files] == [(name, "read") for name in sorted(FILES)]
    assert state_of(island.index) == before


def test_whatever_changes_the_vectors_makes_a_new_snapshot(tmp_path: Path) -> None:
    """A document, the length of passages, and what the encoder is told, one after the other."""
    settings = settings_of(tmp_path)
    snapshots = [build_index(settings).snapshot]
    ferry = settings.corpus / "ferry.txt"
    ferry.write_text(FILES["ferry.txt"].replace("12 euros", "15 euros"), encoding="utf-8")
    changes: tuple[dict[str, object], ...] = ({}, {"passage_tokens": 64}, {"passage_prefix": "passage: "})
    for change in changes:
        settings = settings.model_copy(update=change)
        if change:
            with pytest.raises(SnapshotMismatch, match="signpost index"):
                open_bot(settings)
        report = build_index(settings)
        assert report.built
        assert build_index(settings).built is False
        snapshots.append(report.snapshot)
        assert open_bot(settings).snapshot.id == report.snapshot
    assert len(set(snapshots)) == 4
    quote = open_bot(settings).ask("What does a return ticket cost?").quote
    assert quote is not None
    assert "15 euros" in quote.text


def test_only_changed_documents_are_encoded_again(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    build_index(settings)
    before = open_bot(settings).snapshot
    totals: list[int] = []
    ferry = settings.corpus / "ferry.txt"
    ferry.write_text(FILES["ferry.txt"].replace("12 euros", "15 euros"), encoding="utf-8")
    build_index(settings, counted(totals))
    after = open_bot(settings).snapshot
    changed = [passage for passage in after.passages if passage.document == "ferry.txt"]
    assert totals == [2 * len(changed) + sum(len(passage.sentences) for passage in changed)]
    for name in ("birds.html", "harbour.md"):
        rows, old = after.rows[name], before.rows[name]
        assert after.passages[rows.start : rows.stop] == before.passages[old.start : old.stop]
        assert np.array_equal(after.vectors.stored[rows.start : rows.stop], before.vectors.stored[old.start : old.stop])
    settings = settings.model_copy(update={"passage_tokens": 64})
    build_index(settings, counted(totals))
    manifest = open_bot(settings).snapshot.manifest
    assert totals[1:] == [2 * manifest.passages + manifest.sentences], "another splitter takes nothing over"


def counted(totals: list[int]) -> Callable[[int], Progress]:
    """Remember how many texts each build encodes."""

    def progress(total: int) -> Progress:
        totals.append(total)
        return lambda done: None

    return progress


def test_another_index_is_built_when_it_is_set_and_when_it_is_not_any_more(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    in_cells = settings.model_copy(update={"index_factory": "IVF4,SQ8"})
    build_index(settings)
    assert build_index(settings.model_copy(update={"index_factory": "Flat"})).built is False
    totals: list[int] = []
    report = build_index(in_cells, counted(totals))
    assert (report.built, build_index(in_cells).built) == (True, False)
    bot = open_bot(in_cells)
    assert (bot.snapshot.id, bot.snapshot.manifest.choice.factory) == (report.snapshot, "IVF4,SQ8")
    assert bot.ask("Where do puffins breed?").status == "answered"
    assert build_index(settings, counted(totals)).built
    assert open_bot(settings).snapshot.manifest.choice == IndexChoice("Flat")
    assert totals == [0, 0], "no document has changed"


def test_a_document_that_is_gone_is_no_longer_quoted(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    build_index(settings)
    (settings.corpus / "ferry.txt").unlink()
    assert build_index(settings).built
    bot = open_bot(settings)
    assert set(bot.snapshot.documents) == {"birds.html", "harbour.md"}
    passages = bot.ask("What does a return ticket for the ferry cost?", top_k=20).passages
    assert {cited.citation.document for cited in passages} == {"birds.html", "harbour.md"}


def test_a_starter_without_an_answer_is_reported(tmp_path: Path) -> None:
    question = "Who won the cricket yesterday?"
    report = build_index(settings_of(tmp_path).model_copy(update={"suggestions": (question,)}))
    assert report.unanswered == (question,)


def test_without_a_snapshot_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissing, match="run `signpost index` first"):
        open_bot(load_settings(index=tmp_path))


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str, str]:
    """Settings of an index with two snapshots, and their ids: the older, and the newer that is in use."""
    settings = settings_of(tmp_path_factory.mktemp("two"))
    older = build_index(settings).snapshot
    (settings.corpus / "birds.html").unlink()
    return settings, older, build_index(settings).snapshot


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["manifest.json", "passages.faiss", "texts.bin", "sentences.npy", "lexical/meta.json"])
def test_when_the_newest_snapshot_is_damaged_the_one_before_serves(
    two: tuple[Settings, str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    settings, older, newer = two
    assert open_bot(settings).snapshot.id == newer
    copy = settings.model_copy(update={"index": Path(shutil.copytree(settings.index, tmp_path / "index"))})
    flip_a_byte(copy.index / "snapshots" / newer / file)

    bot = open_bot(copy)
    assert bot.snapshot.id == older
    assert bot.ask("Where do puffins breed?").status == "answered"
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert newer[:12] in record.getMessage()
    assert "damaged" in record.getMessage()


def test_building_again_mends_a_damaged_snapshot(two: tuple[Settings, str, str], tmp_path: Path) -> None:
    settings, _, newer = two
    copy = settings.model_copy(update={"index": Path(shutil.copytree(settings.index, tmp_path / "index"))})
    flip_a_byte(copy.index / "snapshots" / newer / "documents.json")
    report = build_index(copy)
    assert report.built
    assert open_bot(copy).snapshot.id == report.snapshot


@pytest.mark.parametrize("content", [b"", b"nonsense", b"../../etc", b"\xff\xfe"])
def test_when_the_pointer_is_damaged_the_newest_snapshot_serves(
    two: tuple[Settings, str, str], tmp_path: Path, content: bytes
) -> None:
    settings, _, newer = two
    copy = settings.model_copy(update={"index": Path(shutil.copytree(settings.index, tmp_path / "index"))})
    (copy.index / "current").write_bytes(content)
    assert open_bot(copy).snapshot.id == newer


def test_when_every_snapshot_is_damaged_nothing_is_answered(two: tuple[Settings, str, str], tmp_path: Path) -> None:
    settings, older, newer = two
    copy = settings.model_copy(update={"index": Path(shutil.copytree(settings.index, tmp_path / "index"))})
    flip_a_byte(copy.index / "snapshots" / newer / "passages.npy")
    shutil.rmtree(copy.index / "snapshots" / older / "lexical")
    with pytest.raises(SnapshotDamaged, match=f"{newer[:12]} is damaged: passages.npy"):
        open_bot(copy)
