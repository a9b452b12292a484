"""The command line: what it prints, on which stream, and with which exit code."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from bot import __version__, cli
from bot.api.app import create_app
from bot.cli import app
from bot.confidence import shipped_calibration
from bot.conversation import converse
from bot.engine import Bot, open_bot
from bot.errors import SnapshotDamaged
from bot.model import find_model
from bot.settings import Settings, load_settings
from bot.types import Turn
from tests.conftest import FILES, write_files

QUESTION = "How fast may a boat go in the harbour?"
UNREADABLE = {"bad/broken.md": "---\ntitle: [\n---\n\nText.\n", "noise.txt": "a\0b"}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("SIGNPOST_")},
    "SIGNPOST_ENCODER_FOLDER": os.environ["SIGNPOST_ENCODER_FOLDER"],
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Run:
    code: int
    out: str
    err: str


def process(*arguments: object, cwd: Path, said: str | None = None) -> Run:
    """Run the command as a person does; starting takes seconds, so few tests do."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *map(str, arguments)],
        input=said, capture_output=True, encoding="utf-8", env=ENVIRONMENT, cwd=cwd, timeout=120,
    )  # fmt: skip
    return Run(done.returncode, done.stdout, done.stderr)


def run(*arguments: object, said: str | None = None) -> Run:
    """Run the command inside this process; what is said is what stands on its standard input."""
    result = CliRunner().invoke(app, list(map(str, arguments)), input=said)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


def flat(text: str) -> str:
    """Return a text without the line breaks that a narrow terminal brings."""
    return " ".join(text.split())


def assert_one_line(done: Run, code: int, text: str) -> None:
    assert (done.code, done.out) == (code, "")
    [line] = filter(None, done.err.splitlines())
    assert line.startswith("signpost: ")
    assert text in line


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of which two files cannot be read, and the index that ``built`` makes."""
    home = tmp_path_factory.mktemp("cli")
    write_files(home / "corpus", {**FILES, **UNREADABLE, "picture.png": "not a document"})
    return home


@pytest.fixture(scope="module")
def built(home: Path) -> Run:
    """What a person sees who builds the index for the first time, in the folder that holds the corpus."""
    return process("index", cwd=home)


@pytest.fixture(scope="module")
def copied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged model in another folder, with one more key in its settings: another encoder."""
    original, folder = find_model(load_settings()).folder, tmp_path_factory.mktemp("model")
    for path in original.rglob("*"):
        copy = folder / path.relative_to(original)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    settings = folder / "config.json"
    changed = json.dumps({**json.loads(settings.read_text(encoding="utf-8")), "note": "of another make"})
    settings.unlink()
    settings.write_text(changed, encoding="utf-8")
    return folder


# --- index ------------------------------------------------------------------------------------------------------------


def test_index_builds_from_what_can_be_read_and_says_what_cannot(built: Run, home: Path) -> None:
    assert built.code == 3
    assert built.out == "", "the report is for people, not for programs"
    assert "Traceback" not in built.err
    report = flat(built.err)
    for line in (
        "bad/broken.md failed front matter is not valid YAML",
        "birds.html read",
        "ferry.txt read",
        "harbour.md read",
        "noise.txt failed is not text: it holds NUL bytes",
        "picture.png skipped no reader for this kind of file",
    ):
        assert line in report
    assert re.search(r"built snapshot [0-9a-f]{12} in index: 3 documents, 5 passages, .*; 2 could not be read", report)
    assert (home / "index" / "current").is_file()


def test_index_lists_of_many_files_those_of_which_there_is_something_to_say(tmp_path: Path, copied: Path) -> None:
    many = {f"log/{number:02}.txt": f"Boat {number} came in late." for number in range(51)}
    files = write_files(tmp_path / "corpus", {**FILES, **many, "picture.png": "\x89PNG", "empty.md": " "})
    report = flat(run("index", "--corpus", files, "--index", copied).err)
    assert "picture.png skipped no reader for this kind of file" in report
    assert "empty.md skipped is empty" in report
    assert f"{len(FILES) + 51} others read" in report
    assert "log/00.txt" not in report


def test_index_without_a_change_builds_nothing(island: Settings) -> None:
    done = run("index", "--corpus", island.corpus, "--index", island.index)
    assert (done.code, done.out) == (0, "")
    assert "up to date: snapshot" in done.err


def test_index_builds_the_index_that_is_asked_for_and_doctor_shows_it(tmp_path: Path, copied: Path) -> None:
    folders = ("--corpus", write_files(tmp_path / "corpus", FILES), "--index", copied)
    assert "exact search" in run("doctor", *folders).out
    before = confidence(copied)
    in_cells = run("index", *folders, "--index-factory", "IVF4,SQ8")
    assert (in_cells.code, in_cells.out) == (0, "")
    assert "built snapshot" in in_cells.err
    assert "up to date: snapshot" in run("index", *folders, "--index-factory", "IVF4,SQ8").err
    shown = run("doctor", *folders)
    assert (shown.code, faults(shown)) == (0, [])
    assert re.search(r"\(in use\): 3 documents, 5 passages, .*IVF4,SQ8, \d+ cells looked into, finds 1\.000", shown.out)
    assert confidence(copied) == pytest.approx(before)
    assert "built snapshot" in run("index", *folders).err
    assert re.search(r"\(in use\): .*, exact search, .* every byte as published", run("doctor", *folders).out)


def test_index_names_an_index_that_faiss_cannot_build_in_one_line(tmp_path: Path, copied: Path) -> None:
    corpus = write_files(tmp_path / "corpus", FILES)
    before = contents(copied)
    for factory in ("Nope", "IVF99,SQ8", "IDMap,Flat", "HNSW0"):
        done = run("index", "--corpus", corpus, "--index", copied, "--index-factory", factory)
        assert_one_line(done, 1, f"FAISS cannot build an index '{factory}' of 5 passages")
    assert contents(copied) == before
    assert run("ask", QUESTION, "--index", copied).code == 0


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_index_without_a_corpus_is_a_fault_in_one_line(tmp_path: Path) -> None:
    done = run("index", "--corpus", tmp_path / "none", "--index", tmp_path / "index")
    assert_one_line(done, 1, "does not exist")
    assert not (tmp_path / "index").exists()


def test_index_names_a_folder_with_brackets(tmp_path: Path, island: Settings) -> None:
    folder = tmp_path / "index[old]"
    assert f"in {folder}: 3 documents" in run("index", "--corpus", island.corpus, "--index", folder).err


# --- ask --------------------------------------------------------------------------------------------------------------


def test_ask_json_is_the_very_reply_of_the_api(built: Run, home: Path) -> None:
    done = process("ask", QUESTION, "--json", cwd=home)
    assert done.code == 0
    assert done.out.endswith("}\n")
    reply = json.loads(done.out.split("\n")[-2])
    settings = load_settings(corpus=home / "corpus", index=home / "index")
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        expected = client.post("/v1/ask", json={"question": QUESTION}).json()
    assert reply.pop("took_ms") >= 0
    assert expected.pop("took_ms") >= 0
    assert reply == expected
    assert reply["answer"]["text"] == "Boats may go at most 5 knots inside the harbour."


def test_ask_json_is_one_object_with_and_without_an_answer(island: Settings) -> None:
    for question, status in ((QUESTION, "answered"), ("Did Zelda win the zorbing championship?", "not_found")):
        done = run("ask", question, "--json", "--explain", "--top-k", 2, "--index", island.index)
        assert done.code == 0
        [line] = done.out.removesuffix("\n").split("\n")
        reply = json.loads(line)
        assert (reply["status"], len(reply["passages"])) == (status, 2)
        assert reply["passages"][0]["scores"]["lexical"] >= 0


def test_ask_shows_a_person_the_quote_and_its_source(island: Settings) -> None:
    done = run("ask", QUESTION, "--index", island.index)
    assert done.code == 0
    shown = flat(done.out)
    assert shown.startswith("Answer (confidence 0.")
    for part in (
        "“Boats may go at most 5 knots inside the harbour.”",
        "1. Harbour rules harbour.md#15-95",
        "Port Office · 3 February 2025 · https://port.example/rules",
        "Lights are switched on at dusk.",
        "5. ",
    ):
        assert part in shown
    assert "Why" not in shown and "words that matched" not in shown and "lexical" not in shown
    assert "\x1b" not in done.out, "colours are for terminals"


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_what_cannot_be_written_is_a_fault_in_one_line(tmp_path: Path, island: Settings, json: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "bot", "ask", QUESTION, "--index", str(island.index), *json]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT, cwd=tmp_path, check=False
        )
    assert_one_line(Run(done.returncode, "", done.stderr), 1, "No space left on device")


def test_a_terminal_that_cannot_show_quotation_marks_shows_the_rest(tmp_path: Path, island: Settings) -> None:
    command = [sys.executable, "-m", "bot", "ask", QUESTION, "--index", str(island.index)]
    plain = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, encoding="ascii", env=plain, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?Boats may go at most 5 knots inside the harbour.?" in flat(done.stdout)


def test_ask_explain_shows_scores_words_and_reasons(island: Settings) -> None:
    shown = flat(run("ask", QUESTION, "--index", island.index, "--explain", "--top-k", 2).out)
    explanation = open_bot(island).ask(QUESTION, top_k=2, explain=True).explanation
    assert explanation is not None
    assert re.search(r" score \d\.\d{3}: passage -?\d\.\d{3}, sentence -?\d\.\d{3}, lexical \d\.\d{3}", shown)
    assert shown.count("words that matched: ") == 2
    assert f"words that matched: {', '.join(explanation.matched[0])} " in shown
    assert " Why - The confidence 0." in shown
    for reason in explanation.reasons:
        assert f"- {reason}" in shown
    for name, value in explanation.signals.items():
        assert f"{name} {value:.3f}" in shown


def test_ask_names_the_other_places_that_say_the_same(tmp_path: Path) -> None:
    said = "Boats may go at most 5 knots inside the harbour. Lights are switched on at dusk."
    files = {**FILES, "leaflet.md": f"---\ntitle: Leaflet [2024]\n---\n\n{said}\n"}
    index = tmp_path / "index"
    assert run("index", "--corpus", write_files(tmp_path / "corpus", files), "--index", index).code == 0
    first = json.loads(run("ask", QUESTION, "--index", index, "--json").out)["passages"][0]
    [other] = first["elsewhere"]
    done = run("ask", QUESTION, "--index", index)
    assert f"Also in: {other['title']} {other['document']}#{other['start']}-{other['end']}" in flat(done.out)
    assert done.out.count("Also in: ") == 1


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele moorings gibt es?", "German"),
        ("كم عدد moorings للزوار؟", "Arabic"),
        ("moorings はいくつ", "Japanese"),
    ],
)
def test_ask_says_which_language_it_does_not_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, island: Settings, question: str, language: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = flat(run("ask", question, "--index", island.index, "--explain").out)
    assert not shown.startswith("Answer")
    assert f"seems to be in {language}, which this search does not understand" in shown
    assert "setting `languages`" in shown and "setting `model`" in shown
    Path("signpost.toml").write_text("languages = []\n", encoding="utf-8")
    assert language not in run("ask", question, "--index", island.index, "--explain").out


def test_ask_says_when_there_is_no_answer_and_helps_on(island: Settings) -> None:
    done = run("ask", "Did Zelda win the zorbing championship?", "--index", island.index, "--top-k", 1)
    assert done.code == 0, "not to know is no fault"
    shown = flat(done.out)
    assert shown.startswith("These documents do not seem to answer this")
    assert "zorbing" in shown
    assert "“" not in shown
    assert f"- {QUESTION}" in shown
    assert "2. " not in shown


@pytest.mark.parametrize(
    ("question", "reason"),
    [("", "at least one letter or number"), ("?!", "at least one letter or number"), ("x" * 1_001, "1,000 characters")],
)
def test_ask_refuses_what_is_no_question_in_one_line(island: Settings, question: str, reason: str) -> None:
    done = run("ask", question, "--index", island.index)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("signpost: ")
    assert reason in done.err.splitlines()[-1]


@pytest.mark.parametrize("command", [("ask", QUESTION), ("ask", QUESTION, "--json")])
def test_without_an_index_one_line_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert_one_line(run(*command, "--index", tmp_path / "none"), 1, "run `signpost index` first")


def test_a_model_that_is_not_there_is_a_fault_in_one_line(island: Settings) -> None:
    assert_one_line(run("ask", QUESTION, "--index", island.index, "--model", "no/such-model"), 1, "no/such-model")


# --- ask --chat -------------------------------------------------------------------------------------------------------

MOORINGS, WHO = "How many moorings are there for visitors?", "who gives them out?"
GREETING = "Ask in your own words. /alone asks the last question on its own, /new starts over, Ctrl-D ends."


def chat(settings: Settings, *lines: str, first: str | None = None) -> list[dict[str, object]]:
    """Enter some lines; return the replies, one of each line of standard output."""
    arguments = ["ask", *filter(None, [first]), "--chat", "--json", "--top-k", 3, "--index", settings.index]
    done = run(*arguments, said="".join(f"{line}\n" for line in lines))
    assert done.code == 0
    assert flat(done.err).startswith(GREETING)
    replies = [json.loads(line) for line in done.out.splitlines()]
    return [{name: value for name, value in reply.items() if name != "took_ms"} for reply in replies]


def test_chat_reads_a_question_with_those_before_it(island: Settings) -> None:
    before, reply = chat(island, MOORINGS, WHO)
    answer = open_bot(island).ask(WHO, turns=asked(island, MOORINGS), top_k=3)
    assert (before["borrowed"], reply["borrowed"]) == ([], ["moorings", "visitors"])
    assert answer.quote is not None
    assert reply["answer"] == {
        "text": "The harbour master, Ida Brandt, gives them out each morning.",
        "passage": answer.quote.passage, "start": answer.quote.start, "end": answer.quote.end,
    }  # fmt: skip
    assert reply["confidence"] == answer.confidence
    assert chat(island, WHO, first=MOORINGS) == [before, reply]


def asked(settings: Settings, *questions: str) -> tuple[Turn, ...]:
    bot = open_bot(settings)
    return converse(
        questions, lambda question, turns: [c.hit.passage.id for c in bot.ask(question, turns=turns, top_k=3).passages]
    )


def test_chat_goes_over_lines_without_anything_on_them(island: Settings) -> None:
    assert chat(island, "", MOORINGS, "   ", "\t", f"  {WHO} ", "") == chat(island, MOORINGS, WHO)
    assert chat(island, "", "/new", "/alone", "/new", "/alone") == []


def test_chat_alone_asks_the_last_question_as_if_it_were_the_first(island: Settings) -> None:
    [plain] = chat(island, WHO)
    before, together, alone, again, later = chat(island, MOORINGS, WHO, "/alone", "/alone", "and when?")
    assert together["borrowed"]
    assert alone == again == plain != together
    assert later == chat(island, WHO, "and when?")[1]
    assert chat(island, MOORINGS, "?!", "/alone")[1] == before, "what was refused was not asked"


def test_chat_new_forgets_what_was_asked(island: Settings) -> None:
    [plain] = chat(island, WHO)
    assert chat(island, MOORINGS, "/new", WHO)[1] == plain
    assert len(chat(island, MOORINGS, "/new", "/alone")) == 1


def test_chat_goes_on_after_a_question_that_is_refused(island: Settings) -> None:
    long = "x" * 1_001
    assert chat(island, MOORINGS, "?!", long, WHO, first="…") == chat(island, MOORINGS, WHO)
    done = run("ask", "--chat", "--index", island.index, said=f"?!\n{long}\n")
    assert (done.code, done.out) == (0, "")
    assert flat(done.err).removeprefix(GREETING).split(" a question has ") == [
        " ask a question with at least one letter or number", "at most 1,000 characters, this one has 1,001",
    ]  # fmt: skip


def test_chat_shows_a_person_what_was_borrowed(built: Run, home: Path) -> None:
    assert built.code == 3
    done = process("ask", MOORINGS, "--chat", "--top-k", 1, cwd=home, said=f"{WHO}\n/alone")
    assert done.code == 0
    assert flat(done.err) == GREETING
    assert done.out.count("Read together with what you asked before: moorings, visitors.") == 1
    assert done.out.count("Ida Brandt") >= 2
    assert "> " not in done.out, "nobody is asked for the next line where nobody sits"


def test_chat_without_an_index_is_a_fault_in_one_line(tmp_path: Path) -> None:
    assert_one_line(run("ask", "--chat", "--index", tmp_path / "none", said="a\n"), 1, "run `signpost index` first")


def test_ask_without_a_question_says_what_to_do(tmp_path: Path) -> None:
    done = run("ask", "--index", tmp_path / "none")
    assert (done.code, done.out) == (2, "")
    assert "ask something, or use --chat" in flat(done.err)


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "two", "questions"],
        ["ask", QUESTION, "--top-k", "0"],
        ["ask", QUESTION, "--top-k", "many"],
        ["ask", QUESTION, "--colour"],
        ["serve", "--port", "http"],
        ["answer", QUESTION],
        [],
    ],
    ids=lambda arguments: " ".join(arguments[:3]) or "nothing",
)
def test_wrong_usage_has_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_a_wrong_setting_is_wrong_usage_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, island: Settings
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("signpost.toml").write_text('pasage_tokens = 100\nport = "x"\n', encoding="utf-8")
    for command in (("index",), ("ask", QUESTION), ("serve",), ("doctor",)):
        done = run(*command, "--index", island.index)
        assert_one_line(done, 2, "pasage_tokens")
        assert "port" in done.err


def test_version_and_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--version") == Run(0, f"{__version__}\n", "")
    for command in ("index", "ask", "serve", "eval", "calibrate", "doctor"):
        assert command in run("--help").out
        assert run(command, "--help").code == 0


# --- calibrate --------------------------------------------------------------------------------------------------------

ANSWERABLE = (
    "How many moorings are there for visitors?",
    "What does a return ticket cost?",
    "Where do puffins breed?",
    "When do puffins breed?",
    "Who gives out the moorings?",
    "Where do large boats lie?",
    "Do children under six pay?",
    "How often does the ferry sail in winter?",
)
OTHERS = (
    "Who won the cricket yesterday?",
    "Will it rain in Lisbon tomorrow?",
    "What is the phone number of the harbour master?",
    "How do I bake sourdough bread?",
    "Tell me a joke",
    "Which team leads the football league?",
    "How much does a mooring cost?",
    "When was the lighthouse built?",
)


def labelled(path: Path, answerable: tuple[str, ...] = ANSWERABLE, others: tuple[str, ...] = OTHERS) -> Path:
    asked = [(question, True) for question in answerable] + [(question, False) for question in others]
    lines = (
        json.dumps({"id": str(number), "question": question, "answerable": can})
        for number, (question, can) in enumerate(asked)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def confidence(index: Path, question: str = QUESTION) -> float:
    done = run("ask", question, "--index", index, "--json")
    assert done.code == 0
    return float(json.loads(done.out)["confidence"])


@pytest.fixture
def copied(tmp_path: Path, island: Settings) -> Path:
    """An index of its own."""
    return Path(shutil.copytree(island.index, tmp_path / "index"))


def test_calibrate_keeps_what_is_better_and_ask_and_serve_use_it(
    tmp_path: Path, island: Settings, copied: Path
) -> None:
    """Labels that are the other way round, so that what is shipped could not be worse."""
    before = confidence(copied)
    path = labelled(tmp_path / "asked.jsonl", OTHERS, ANSWERABLE)
    done = run("calibrate", path, "--index", copied, "--json")
    assert done.code == 0
    figures = json.loads(done.out.splitlines()[-1])
    assert set(figures) == {
        "questions", "answerable", "kept", "log_loss", "expected_calibration_error", "auroc"
    }  # fmt: skip
    assert (figures["questions"], figures["answerable"], figures["kept"]) == (16, 8, True)
    assert figures["log_loss"][1] < figures["log_loss"][0]
    kept = copied / "calibration.json"
    own = json.loads(kept.read_text(encoding="utf-8"))
    after = confidence(copied)
    assert abs(after - before) > 0.001
    reply = json.loads(run("ask", QUESTION, "--index", copied, "--json", "--explain").out)
    signals = {**reply["explanation"]["signals"], "constant": 1.0}
    alike = signals["likeness"]
    both = ((own["mixed"], 1 - alike), (own["alike"], alike))
    exponent = sum(share * weight * signals[name] for weights, share in both for name, weight in weights.items())
    assert after == pytest.approx(1 / (1 + math.exp(-exponent)))
    settings = load_settings(corpus=island.corpus, index=copied)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        assert client.post("/v1/ask", json={"question": QUESTION}).json()["confidence"] == after

    again = run("calibrate", tmp_path / "asked.jsonl", "--index", copied)
    assert again.code == 0
    assert f"fitted to 16 questions are kept in {kept}." in flat(again.out)
    assert json.loads(kept.read_text(encoding="utf-8")) == own, "it starts from what is shipped"
    kept.unlink()
    assert confidence(copied) == before


def test_calibrate_keeps_nothing_that_is_no_better(tmp_path: Path, copied: Path) -> None:
    """Labels that nothing tells apart: every second question, whatever it asks."""
    every = (*ANSWERABLE, *OTHERS)
    path = labelled(tmp_path / "asked.jsonl", every[::2], every[1::2])
    done = run("calibrate", path, "--index", copied, "--json")
    assert done.code == 0
    figures = json.loads(done.out.splitlines()[-1])
    assert figures["kept"] == (figures["log_loss"][1] < figures["log_loss"][0])
    assert figures["kept"] == (copied / "calibration.json").exists()


@pytest.mark.parametrize("answerable, others, least", [(8, 4, 4), (4, 8, 4), (8, 0, 0), (1, 1, 1)])
def test_calibrate_refuses_too_few_questions_in_one_line(
    tmp_path: Path, copied: Path, answerable: int, others: int, least: int
) -> None:
    path = labelled(tmp_path / "asked.jsonl", ANSWERABLE[:answerable], OTHERS[:others])
    done = run("calibrate", path, "--index", copied, "--json")
    assert_one_line(done, 1, "at least 5 questions that the documents answer and 5 that they do not")
    assert done.err.rstrip().endswith(f"of one kind there are {least}")
    assert not (copied / "calibration.json").exists()


@pytest.mark.parametrize("content", [None, "", "no JSON\n", '{"id": 1, "question": "a"}\n'])
def test_calibrate_says_in_one_line_what_is_wrong_with_the_file(
    tmp_path: Path, copied: Path, content: str | None
) -> None:
    path = tmp_path / "asked.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert_one_line(run("calibrate", path, "--index", copied), 1, "asked.jsonl")
    assert run("calibrate").code == 2
    assert_one_line(run("calibrate", path, "--index", tmp_path / "none"), 1, "run `signpost index` first")


MIXED, ALIKE = dict(shipped_calibration().mixed), dict(shipped_calibration().alike)
GOOD = {"mixed": MIXED, "alike": ALIKE, "unsure_from": 0.2, "answered_from": 0.7}
DAMAGED: dict[str, str | None] = {
    "a folder": None,
    "no JSON": "weights = 1",
    "wrong keys": json.dumps({**GOOD, "alike": {"bm25": 1.0}}),
    "NaN": json.dumps({**GOOD, "mixed": {**MIXED, "margin": math.nan}}),
    "a huge number": json.dumps(GOOD).replace("0.7", "1e400"),
    "a huge weight": json.dumps({**GOOD, "alike": {**ALIKE, "constant": -1e300}}),
    "out of range": json.dumps({**GOOD, "answered_from": 7}),
    "crossed": json.dumps({**GOOD, "answered_from": 0.1}),
    "10 MB": "x" * 10_000_000,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_calibration_is_a_fault_in_one_line_until_it_is_removed(copied: Path, name: str) -> None:
    before, kept, content = confidence(copied), copied / "calibration.json", DAMAGED[name]
    if content is None:
        kept.mkdir()
    else:
        kept.write_text(content, encoding="utf-8")
    assert_one_line(run("ask", QUESTION, "--index", copied), 1, f"'{kept}' cannot be read: remove it")
    if content is None:
        kept.rmdir()
    else:
        kept.unlink()
    assert confidence(copied) == before


def test_a_damaged_calibration_can_be_made_anew_as_the_message_says(tmp_path: Path, copied: Path) -> None:
    (copied / "calibration.json").write_text("damaged", encoding="utf-8")
    assert "run `signpost calibrate`" in run("ask", QUESTION, "--index", copied).err
    assert run("calibrate", labelled(tmp_path / "asked.jsonl"), "--index", copied).code == 0
    assert confidence(copied) > 0


def test_a_damaged_calibration_is_not_served_with(island: Settings, copied: Path) -> None:
    (copied / "calibration.json").write_text("damaged", encoding="utf-8")
    settings = load_settings(corpus=island.corpus, index=copied)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        assert client.get("/health/ready").status_code == 503
        reply = client.post("/v1/ask", json={"question": QUESTION})
    assert reply.status_code == 503
    assert str(copied) not in reply.text


def test_doctor_finds_a_damaged_calibration(island: Settings, copied: Path) -> None:
    (copied / "calibration.json").write_text("damaged", encoding="utf-8")
    done = run("doctor", "--corpus", island.corpus, "--index", copied)
    [fault] = faults(done)
    assert "calibration.json" in fault


# --- another encoder --------------------------------------------------------------------------------------------------


def test_a_snapshot_of_another_encoder_is_refused_by_ask_and_rebuilt_by_index(
    tmp_path: Path, island: Settings, copied_model: Path
) -> None:
    index = shutil.copytree(island.index, tmp_path / "index")
    ask = ("ask", QUESTION, "--index", index, "--json")
    assert run(*ask).code == 0
    assert_one_line(run(*ask, "--model", copied_model), 1, "run `signpost index`")

    rebuilt = run("index", "--corpus", island.corpus, "--index", index, "--model", copied_model)
    assert rebuilt.code == 0
    assert "built snapshot" in rebuilt.err
    answered = run(*ask, "--model", copied_model)
    assert answered.code == 0
    assert json.loads(answered.out.splitlines()[-1])["status"] == "answered"
    assert_one_line(run(*ask), 1, "run `signpost index` to rebuild it")


# --- doctor -----------------------------------------------------------------------------------------------------------


def faults(done: Run) -> list[str]:
    assert "Traceback" not in done.out + done.err
    lines = done.out.splitlines()
    assert all(re.match("ok     |FAULT  ", line) for line in lines), "one line for each thing"
    return [line for line in lines if line.startswith("FAULT")]


def test_doctor_finds_nothing_wrong_with_a_sound_installation(island: Settings) -> None:
    done = run("doctor", "--corpus", island.corpus, "--index", island.index)
    assert (done.code, faults(done)) == (0, [])
    assert "3 documents, 5 passages" in done.out
    assert find_model(island).sha256 in done.out


def test_doctor_names_each_fault_in_a_line_and_repairs_nothing(tmp_path: Path, island: Settings) -> None:
    corpus = write_files(tmp_path / "corpus", {**FILES, **UNREADABLE})
    index = Path(shutil.copytree(island.index, tmp_path / "index"))
    damaged = next(index.glob("snapshots/*/sentences.npy"))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    done = run("doctor", "--corpus", corpus, "--index", index)
    assert done.code == 1
    found = faults(done)
    assert len(found) == 3
    for fault, reason in zip(found, ("bad/broken.md: front", "noise.txt: is not text", "sentences.npy"), strict=True):
        assert reason in fault
    assert damaged.read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "no/such-model"), "no/such-model"),
        (("--corpus", "nowhere"), "nowhere"),
        (("--index", "nowhere"), "run `signpost index` first"),
    ],
)
def test_doctor_goes_on_after_a_fault(island: Settings, arguments: tuple[str, str], reason: str) -> None:
    done = run("doctor", "--corpus", island.corpus, "--index", island.index, *arguments)
    [fault] = faults(done)
    assert done.code == 1
    assert reason in fault
    assert len(done.out.splitlines()) >= 10


def test_doctor_notices_that_the_corpus_has_changed(tmp_path: Path, island: Settings) -> None:
    corpus = write_files(tmp_path / "corpus", {**FILES, "new.txt": "The lighthouse is white."})
    [fault] = faults(run("doctor", "--corpus", corpus, "--index", island.index))
    assert "the corpus has changed" in fault


def test_doctor_checks_the_bytes_even_if_the_model_is_missing(tmp_path: Path, island: Settings) -> None:
    index = Path(shutil.copytree(island.index, tmp_path / "index"))
    next(index.glob("snapshots/*/documents.json")).write_bytes(b"[]")
    done = run("doctor", "--corpus", island.corpus, "--index", index, "--model", "no/such-model")
    assert any("documents.json" in fault for fault in faults(done))


# --- serve ------------------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """A running service: its address, None if it ended before it listened, and all it wrote to standard error."""

    address: str | None
    log: list[str]
    process: subprocess.Popen[str]


@contextmanager
def serving(*arguments: object, cwd: Path) -> Iterator[Served]:
    command = [sys.executable, "-m", "bot", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT, cwd=cwd, start_new_session=True
    ) as service:
        watchdog = threading.Timer(120, service.kill)
        watchdog.start()
        assert service.stderr is not None
        served = Served(None, [], service)
        try:
            for line in service.stderr:
                served.log.append(line)
                found = re.search(r"Signpost: (http://\S+)/ ", line)
                if found:
                    served.address = found[1]
                    break
            yield served
        finally:
            if service.poll() is None:
                service.send_signal(signal.SIGTERM)
            served.log += service.stderr.readlines()
            service.wait()
            watchdog.cancel()


def fetch(address: str | None, path: str, body: object = None) -> dict[str, object]:
    assert address is not None
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=90) as reply:
        loaded: dict[str, object] = json.load(reply)
        return loaded


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A service that was started without an index, asked a question, and stopped by SIGTERM."""
    home = tmp_path_factory.mktemp("serve")
    write_files(home / "corpus", FILES)
    with serving(cwd=home) as served:
        assert fetch(served.address, "/health/ready")["documents"] == 3
        assert fetch(served.address, "/v1/ask", {"question": QUESTION})["status"] == "answered"
    return served


def test_serve_builds_what_is_missing_then_answers(service: Served) -> None:
    log = "".join(service.log)
    assert "built snapshot" in log
    assert re.search(r"request=[0-9a-f]{16} POST /v1/ask status=200", log)
    assert "boat" not in log
    assert "Traceback" not in log


def test_serve_stops_on_sigterm_with_exit_code_0(service: Served) -> None:
    assert service.process.returncode == 0


def test_ctrl_c_twice_stops_as_once(tmp_path: Path, island: Settings) -> None:
    with serving("--corpus", island.corpus, "--index", island.index, cwd=tmp_path) as served:
        assert fetch(served.address, "/v1/ask", {"question": QUESTION})["status"] == "answered"
        for _ in range(2):
            os.killpg(served.process.pid, signal.SIGINT)  # a terminal tells all that it runs
            time.sleep(0.02)
        served.process.wait(20)
    assert served.process.returncode in (0, 130)
    assert "Traceback" not in "".join(served.log)


def test_serve_says_at_which_address_it_listens(service: Served) -> None:
    assert any(f"Signpost: {service.address}/" in line for line in service.log)


def test_serve_uses_the_newest_snapshot_if_the_pointer_is_damaged(tmp_path: Path, island: Settings) -> None:
    index = Path(shutil.copytree(island.index, tmp_path / "index"))
    (index / "current").write_bytes(b"nonsense")
    with serving("--corpus", island.corpus, "--index", index, cwd=tmp_path) as served:
        assert served.address is not None, "".join(served.log)
        assert fetch(served.address, "/health/ready")["status"] == "ready"


def test_a_worker_begun_again_opens_what_was_mended_since(bot: Bot) -> None:
    """Of several, each is told once why there is none; that holds while the same snapshot is in use."""
    in_use, tries = ["old"], []

    def opened() -> Bot:
        tries.append(in_use[0])
        if in_use == ["old"]:
            raise SnapshotDamaged("old", "it is cut")
        return bot

    with pytest.raises(SnapshotDamaged):
        cli._shared(opened, lambda: in_use[0])()
    assert tries == ["old"], "the reason is known"

    begun_again = cli._shared(opened, lambda: in_use[0])
    in_use[0] = "new"
    assert begun_again() is bot
    assert tries == ["old", "old", "new"]
