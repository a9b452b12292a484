"""Whatever the pages and the widget say is said in the reader's language, by tables that agree with one another."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from jinja2 import nodes as jinja
from selectolax.lexbor import LexborHTMLParser, LexborNode

from bot.api.app import create_app
from bot.engine import Bot, open_bot
from bot.settings import Settings, load_settings
from bot.types import Status
from bot.widget.words import LANGUAGES, chosen_language, words
from tests.api.test_errors import Broken
from tests.conftest import FILES

FOLDER = Path(str(files("bot.widget")))
SCRIPT = (FOLDER / "signpost-chat.js").read_text(encoding="utf-8")
EN = json.loads((FOLDER / "strings" / "en.json").read_text(encoding="utf-8"))

#: What only the pages say.
PAGES = ("page_", "viewer_", "error_")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


# --- the tables -------------------------------------------------------------------------------------------------------


def test_there_is_a_table_for_each_language() -> None:
    assert {path.stem for path in (FOLDER / "strings").iterdir()} == set(LANGUAGES)
    assert LANGUAGES[0] == "en", "what is taken when no other is asked for"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_table_says_all_that_the_english_one_says(language: str) -> None:
    text = (FOLDER / "strings" / f"{language}.json").read_text(encoding="utf-8")
    pairs: list[tuple[str, str]] = json.loads(text, object_pairs_hook=list)
    assert [key for key, _ in pairs] == list(EN), "the same keys, each once, in the same order"
    for key, value in pairs:
        assert isinstance(value, str)
        assert value == value.strip() != "", key
        assert placeholders(value) == placeholders(EN[key]), key
        assert not re.search(r"[<>&\n]", value), key
    assert dict(pairs) == words(language)
    assert (words(language)["lang"], words(language)["dir"]) == (language, "rtl" if language == "ar" else "ltr")


def test_the_words_are_calm_and_the_advice_is_short() -> None:
    for language in LANGUAGES:
        assert [value for value in words(language).values() if re.search(r"[!¡]", value)] == []
        signs = {
            sign for value in words(language).values() for sign in value if unicodedata.category(sign) in ("So", "Sk")
        }
        assert signs == set(), "no emoji"
        assert 0 < len(words(language)["privacy"].split()) <= 20


def grade(text: str) -> float:
    """Return the school year that a text asks for (Flesch-Kincaid), syllables estimated from groups of vowels."""

    def syllables(word: str) -> int:
        heard = re.sub(r"(?:[^laeiouy]es|[^lt]ed|[^l]e)$", lambda silent: silent[0][0], word) if len(word) > 3 else word
        return max(1, len(re.findall(r"[aeiouy]+", heard)))

    read = re.findall(r"[a-z]+", text.lower())
    sentences = [one for one in re.split(r"[.?:](?:\s|$)", text) if re.search(r"\w", one)]
    return 0.39 * len(read) / len(sentences) + 11.8 * sum(map(syllables, read)) / len(read) - 15.59


def test_the_estimate_of_syllables_is_of_use() -> None:
    assert grade("The cat sat on the mat.") == pytest.approx(0.39 * 6 + 11.8 * 6 / 6 - 15.59)
    assert grade("These used words. Documents answer questions.") == pytest.approx(0.39 * 3 + 11.8 * 10 / 6 - 15.59)
    assert grade("The organisation's documentation necessitates considerable interpretation.") > 20


def test_the_english_words_are_easy_to_read() -> None:
    said = {key: re.sub(r"\{\w+\}", "x", value) for key, value in EN.items() if key not in ("lang", "dir")}
    assert grade(" ".join(value.rstrip(".:?") + "." for value in said.values())) <= 6
    assert {key: value for key, value in said.items() if len(value.split()) >= 5 and grade(value) > 6} == {}


def english_of_the_script() -> dict[str, str]:
    block = re.search(r"const EN = \{\n(.*?)\n\};", SCRIPT, re.DOTALL)
    assert block is not None
    found = {}
    for text in block[1].splitlines():
        entry = re.fullmatch(r'  (\w+): ("(?:[^"\\]|\\.)*"),', text)
        assert entry is not None, text
        assert entry[1] not in found
        found[entry[1]] = json.loads(entry[2])
    return found


def test_the_widget_says_the_same_in_english_before_it_has_fetched_a_table() -> None:
    assert english_of_the_script() == {key: value for key, value in EN.items() if not key.startswith(PAGES)}


def test_the_widget_s_button_says_the_same_in_each_language_before_it_has_fetched_a_table() -> None:
    block = re.search(r"const OPEN = (\{.*?\});", SCRIPT)
    assert block is not None
    known = json.loads(re.sub(r"(\w+):", r'"\1":', block[1]))
    assert known == {language: words(language)["open"] for language in LANGUAGES if language != "en"}


def test_the_widget_says_only_what_is_in_its_table_and_all_of_it() -> None:
    said = re.sub(r"const EN = \{.*?\n\};", "", SCRIPT, flags=re.DOTALL)
    keys = set(english_of_the_script())
    assert set(re.findall(r"#say\(\"(\w+)\"", said)) <= keys
    assert {key for key in keys - {"dir"} if not re.search(rf'\b{key}:|["\']{key}["\']', said)} == set()


def said_by_templates() -> Iterator[tuple[str, set[str]]]:
    """Every word that a template may say, with the names of what it puts into it."""
    for path in sorted((FOLDER / "templates").iterdir()):
        for call in Environment().parse(path.read_text(encoding="utf-8")).find_all(jinja.Call):
            if isinstance(call.node, jinja.Name) and call.node.name == "say":
                [key] = call.args
                found = {const.value for const in [key, *key.find_all(jinja.Const)] if isinstance(const, jinja.Const)}
                if isinstance(key, jinja.Getattr):
                    assert key.attr == "status", "the only word that is not spelt out"
                    found = set(get_args(Status))
                for word in found:
                    if isinstance(word, str):
                        yield word, {details.key for details in call.kwargs}


def test_every_word_that_a_page_says_is_in_the_tables_and_every_word_of_the_pages_is_said() -> None:
    said = list(said_by_templates())
    assert len(said) > 40
    for word, details in said:
        assert placeholders(EN[word]) == details, word
    assert {key for key in EN if key.startswith(PAGES)} <= {word for word, _ in said}


# --- which language ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"), ("*", "en"), ("de", "de"), ("DE", "de"), ("de-AT", "de"), ("de-CH-1996", "de"), ("ar-EG", "ar"),
        ("fr, de", "fr"), ("de, fr", "de"), ("fr;q=0.3, de;q=0.7", "de"), ("fr;q=0.3,de;q=0.7,es", "es"),
        ("fr ; q=0.3 ,\tde ; q=0.7", "de"), ("nl, es;q=0.1", "es"), ("zh-Hant-TW, fr-CA;q=0.5, en;q=0.4", "fr"),
        ("en;q=0.5, ar", "ar"), ("en-GB,en;q=0.9,de;q=0.8", "en"), ("de;q=0.001", "de"), ("de;q=1.000", "de"),
        ("de;q=0", "en"), ("de;q=0.000, fr;q=0.001", "fr"), ("de;q=0, de-AT;q=0.2", "de"),
        ("de;q=0.2, de;q=0.9, fr;q=0.5", "de"), ("de;q=0.9, de;q=0.2, fr;q=0.5", "de"),
        ("de;q=1.5", "en"), ("de;q=-1", "en"), ("de;q=nan", "en"), ("de;q=inf", "en"), ("de;q=x, fr;q=0.1", "fr"),
        ("deu", "en"), ("d", "en"), ("-de", "en"), (",,de,,", "de"), (";q=1, es", "es"),
        ("de;q=0.5;q=0.9, fr;q=0.1", "fr"),
        ("*;q=1, es;q=0.5", "es"), ("../de", "en"), ("<b>", "en"), ("\x00", "en"), ("de;Q=0.5", "de"),
        ("de;q=" + "9" * 1_000, "en"), ("," * 100_000, "en"), ("de" * 100_000, "en"), ("fr," * 100_000, "fr"),
        ("nl;q=0.9," * 100_000, "en"), ("de;" * 100_000, "en"), ("-" * 100_000, "en"),
    ],
)  # fmt: skip
def test_the_language_that_is_wanted_most_is_taken(accepted: str, language: str) -> None:
    assert chosen_language(accepted) == language


@settings(deadline=None, max_examples=300)
@given(
    st.text()
    | st.lists(st.sampled_from([*"deraf,;=q-*.01 \t", "de", ";q=", "nan", "1e9", "\u0663", "\ud800"])).map("".join)
)
def test_any_header_at_all_leads_to_a_language_of_ours(accepted: str) -> None:
    assert chosen_language(accepted) in LANGUAGES


_RANGES = st.tuples(
    st.sampled_from([*LANGUAGES, "nl", "zh"]), st.sampled_from(["", "-AT", "-Latn-XX"]), st.integers(0, 1_000)
)


@settings(deadline=None)
@given(st.lists(_RANGES, max_size=10))
def test_the_weights_decide_and_then_the_order(wanted: list[tuple[str, str, int]]) -> None:
    accepted = ", ".join(f"{language}{region};q={weight / 1_000:.3f}" for language, region, weight in wanted)
    ours = [(weight, language) for language, _, weight in wanted if language in LANGUAGES and weight]
    best = max((weight for weight, _ in ours), default=0)
    assert chosen_language(accepted) == next((language for weight, language in ours if weight == best), "en")


# --- the pages --------------------------------------------------------------------------------------------------------

#: Found, found with doubts, not found, misspelt, in another language: what the small corpus makes of them.
QUESTIONS = (
    "How fast may a boat go in the harbour?",
    "What did the keeper count?",
    "Did Zelda win the zorbing championship in Patagonia?",
    "How many morings are there for visiters?",
    "Wie viele Liegeplätze gibt es für Besucher im Hafen?",
)

FOLLOW_UP = "who gives them out?"

#: What stands on the pages and is none of our words: what the documents say of themselves, and the questions.
RECORDS = (
    *("Harbour rules", "Port Office", "https://port.example/rules", "Birds of the island", "Island ferry"),
    *("Moorings", "Tickets", "3 February 2025", "2025-02-03", *QUESTIONS, FOLLOW_UP),
)

#: Texts of documents and of the person, and what is said of one question in English only, and says so.
FOREIGN = '[lang="en"], blockquote, .document > div, textarea[name=question], input[type=hidden]'


@pytest.fixture(scope="module")
def pages(bot: Bot, island: Settings, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """Every kind of page in every language."""
    nothing = load_settings(index=tmp_path_factory.mktemp("nothing") / "index")
    found: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    with (
        TestClient(create_app(lambda: bot, island)) as client,
        TestClient(create_app(lambda: open_bot(nothing), nothing)) as unready,
        TestClient(create_app(lambda: Broken(bot.encoder, bot.snapshot), island)) as broken,
    ):
        for language, kinds in found.items():
            for one in (client, unready, broken):
                one.headers = {"accept": "text/html", "accept-language": f"{language}-XX, xx;q=0.5"}
            kinds["start"] = client.get("/").text
            for question in QUESTIONS:
                kinds[question] = client.post("/", data={"question": question}).text
            turns = '[{"question": "How many moorings are there for visitors?", "passages": ["harbour.md#107-278"]}]'
            kinds["follow-up"] = client.post("/", data={"question": FOLLOW_UP, "turns": turns}).text
            kinds["refused"] = client.post("/", data={"question": "?!"}).text
            kinds["too long"] = client.post("/", data={"question": "boat " * 300}).text
            for document in FILES:
                kinds[document] = client.get(f"/documents/{document}").text
            kinds["cited"] = client.get("/documents/harbour.md?passage=107-200&also=15-95,210-278").text
            kinds["missing"] = client.get("/nowhere").text
            kinds["no document"] = client.get("/documents/nowhere").text
            kinds["method"] = client.put("/").text
            kinds["too large"] = client.post("/", data={"question": "boat " * 20_000}).text
            kinds["unready"] = unready.get("/").text
            kinds["crash"] = broken.post("/", data={"question": "How fast?"}).text
    return found


def said_on(html: str) -> Iterator[str]:
    """Every text of a page that is ours to say, seen or read out; not what documents say."""
    tree = LexborHTMLParser(html)
    for node in tree.css(FOREIGN):
        if node.tag != "html":
            node.decompose()
    root: LexborNode | None = tree.root
    assert root is not None
    for node in root.traverse(include_text=True):
        if node.tag == "-text":
            yield node.text_content or ""
        for name in ("title", "alt", "placeholder", "aria-label", "data-cite", "value", "content"):
            if node.tag not in ("-text", "meta"):
                yield node.attributes.get(name) or ""


def left_over(text: str, table: Mapping[str, str]) -> str:
    """Return what a text says that is neither a record nor from the table."""
    for record in sorted(RECORDS, key=len, reverse=True):
        text = text.replace(record, " ")
    for pattern in patterns(table["lang"]):
        text = re.sub(pattern, " ", text)
    return "".join(re.findall(r"[^\W\d_]+\s*", text.replace("Signpost", " ")))


@cache
def patterns(language: str) -> list[str]:
    """What matches a word of a table with its details filled in, the longest first."""
    details = {"n": r"\d+", "date": r"\s+", "id": "[0-9a-f]{16}", "name": "Signpost"}  # a date is a record
    table = {key: value for key, value in words(language).items() if key not in ("lang", "dir")}
    return [
        "".join(
            re.escape(part) + (details.get(name, "[^“”„«»{}]+?") if name else "")
            for part, name, _, _ in Formatter().parse(entry)
        )
        for entry in sorted(table.values(), key=len, reverse=True)
    ]


KINDS = [
    *("start", *QUESTIONS, "refused", "too long", *FILES, "cited"),
    *("missing", "no document", "method", "too large", "unready", "crash"),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_speaks_the_reader_s_language_alone(
    pages: Mapping[str, Mapping[str, str]], kind: str, language: str
) -> None:
    page = pages[language][kind]
    html = LexborHTMLParser(page).css_first("html")
    assert html is not None
    assert (html.attributes["lang"], html.attributes["dir"]) == (language, words(language)["dir"])
    assert [rest for text in said_on(page) if (rest := left_over(text, words(language)))] == []


def test_the_pages_that_are_looked_at_show_nearly_all_there_is(pages: Mapping[str, Mapping[str, str]]) -> None:
    shown = " ".join(text for page in pages["de"].values() for text in said_on(page))
    unseen = {word for word, _ in said_by_templates() if re.split(r"\{\w+\}", words("de")[word])[0] not in shown}
    rest = {
        "viewer_published",
        "viewer_retrieved",
        "viewer_licence",
        "viewer_restated",
        "viewer_changed",
        "published",
        "page",
        "also",
    }
    assert unseen <= {"lang", "dir", *rest}


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_english_is_marked_as_such_where_a_page_has_no_other_words(
    pages: Mapping[str, Mapping[str, str]], language: str
) -> None:
    def english(kind: str, selector: str) -> str:
        [node] = LexborHTMLParser(pages[language][kind]).css(selector)
        return node.text()

    assert "at least one letter or number" in english("refused", '[role=alert] > span[lang="en"]')
    assert "1,000 characters" in english("too long", '[role=alert] > span[lang="en"]')
    assert "seems to be in German" in english(QUESTIONS[4], 'p.asked[lang="en"]')
    assert "no index has been built" in english("unready", 'p[lang="en"]')
    assert english("harbour.md", 'h1[lang="en"]') == "Harbour rules"
