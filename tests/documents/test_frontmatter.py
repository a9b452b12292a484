"""What an author may rely on when they say where a document comes from, or say it wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.frontmatter import is_web_address, source_record, split_front_matter
from bot.errors import DocumentError
from bot.types import Source

STATED = """\
title: "Harbour  rules"
publisher: Port Office
url: https://port.example/rules?page=2#moorings
published: 2024-12-31
updated: "2025-02-03"
retrieved: 2025-02-04
language: en-GB
verbatim: true
licence: CC BY 4.0
questions:
  - How fast may a boat go?
our_own_key: [kept, for, other, tools]
"""


def test_everything_that_is_stated_is_in_the_source() -> None:
    details, text = split_front_matter(f"---\n{STATED}---\n# Rules\n")
    assert text == "# Rules\n"
    assert source_record(details, "fallback") == (
        Source(
            title="Harbour rules",
            publisher="Port Office",
            url="https://port.example/rules?page=2#moorings",
            published=date(2024, 12, 31),
            updated=date(2025, 2, 3),
            retrieved=date(2025, 2, 4),
            language="en-GB",
            verbatim=True,
            licence="CC BY 4.0",
        ),
        ("How fast may a boat go?",),
        [],
    )


def test_what_is_not_stated_is_absent() -> None:
    assert source_record({"publisher": None}, "fallback") == (Source(title="fallback"), (), [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", ["a", "list"]),
        ("title", "x" * 301),
        ("publisher", ""),
        ("publisher", "\u200b"),
        ("url", "javascript:alert(1)"),
        ("url", "https://user:secret@port.example"),
        ("url", f"https://port.example/{'x' * 2_000}"),
        ("published", "last spring"),
        ("updated", 20250203),
        ("retrieved", True),
        ("language", "English, please"),
        ("verbatim", "perhaps"),
        ("licence", {"name": "CC"}),
        ("questions", "Just one?"),
        ("questions", ["Good?", ""]),
        ("questions", ["Why?"] * 21),
    ],
)
def test_a_wrong_value_costs_only_itself_and_is_noted(key: str, value: object) -> None:
    stated = yaml.safe_load(STATED)
    source, questions, notes = source_record(stated | {key: value}, "fallback")
    without, without_questions, _ = source_record({k: v for k, v in stated.items() if k != key}, "fallback")
    assert (source, questions) == (without, without_questions)
    assert len(notes) == 1 and notes[0].startswith(f"{key} left out: ")


@pytest.mark.parametrize("value", [0, 86_400, 1738540800, "86400", 1738540800.0])
def test_a_number_is_no_date(value: object) -> None:
    source, _, notes = source_record({"published": value}, "fallback")
    assert source.published is None
    assert len(notes) == 1


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "words",
        "--- words ---\n",
        "----\ntitle: x\n----\n",
        "words\n---\ntitle: x\n---\n",
        "---\ntitle: x\n",
        " ---\na: b\n---\n",
    ],
)
def test_text_without_front_matter_is_left_alone(raw: str) -> None:
    assert split_front_matter(raw) == ({}, raw)


@pytest.mark.parametrize("between", ["just words", "- a\n- b", "# Rules\n\nMoor at 9:30.", "*At dusk* moor."])
def test_text_between_two_rules_is_text(between: str) -> None:
    raw = f"---\n{between}\n---\nwords\n"
    assert split_front_matter(raw) == ({}, raw)


@pytest.mark.parametrize("raw", ["---\n---\nwords", "---\n# only a comment\n---\nwords", "---\r\n---\r\nwords"])
def test_front_matter_may_be_empty(raw: str) -> None:
    assert split_front_matter(raw) == ({}, "words")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("closing", ["---", "...", "--- "])
def test_front_matter_ends_where_yaml_does(end: str, closing: str) -> None:
    assert split_front_matter(f"\ufeff---{end}a: b{end}{closing}{end}words") == ({"a": "b"}, "words")


@pytest.mark.parametrize(
    ("front_matter", "reason"),
    [
        ("[a, b]", "not a list of `key: value`"),
        ("title: [", "not valid YAML"),
        ("\ttitle: x", "not valid YAML"),
        ("? [a]\n: b", "not valid YAML"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: &x [1]\nb: &y [*x, *x]\nc: [*y, *y]", "aliases"),
        (f"a: {'[' * 500}{']' * 500}", "not valid YAML"),
        (f"a: {'x' * 40_000}", "32,768"),
        ('a: !!int ""', "not valid YAML"),
        ("a: !!bool perhaps", "not valid YAML"),
        ("a: !!timestamp today", "not valid YAML"),
    ],
)
def test_what_is_no_plain_mapping_is_refused_with_the_reason(front_matter: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason) as caught:
        split_front_matter(f"---\n{front_matter}\n---\nwords")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        '!!python/object/apply:os.system ["touch {}"]',
        '!!python/object/new:subprocess.Popen [["touch", "{}"]]',
        "!!python/name:os.system",
        "!!python/module:antigravity",
    ],
)
def test_yaml_that_would_run_code_is_refused_and_nothing_runs(value: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    with pytest.raises(DocumentError, match="not valid YAML"):
        split_front_matter(f"---\ntitle: {value.format(planted)}\n---\nwords")
    assert not planted.exists()


plain_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)


@settings(deadline=None)
@given(st.dictionaries(st.text(), plain_values, max_size=5), st.text(st.characters(exclude_characters="\r")))
def test_any_plain_mapping_comes_back_as_it_was_written(details: dict[str, object], text: str) -> None:
    written = yaml.safe_dump(details, allow_unicode=False)
    assert split_front_matter(f"---\n{written}---\n{text}") == (details, text)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*Source.__slots__, "questions"]), plain_values))
def test_any_plain_values_give_a_source(details: dict[str, object]) -> None:
    source, _, notes = source_record(details, "fallback")
    assert source.title
    assert source.url is None or source.url.startswith(("http://", "https://"))
    assert len(notes) <= len(details)


@pytest.mark.parametrize(
    "url", ["https://port.example", "http://port.example:8080/a?b=c&d=%20#e", "HTTPS://bücher.example/ä"]
)
def test_a_web_address_may_be_linked(url: str) -> None:
    assert is_web_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "port.example",
        "//port.example",
        "https:///rules",
        "https://",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://port.example",
        "https://port.example@evil.example",
        "https://port.example/a b",
        "https://port.example/\njavascript:alert(1)",
        "https://port.example/\u202e",
        'https://port.example/"onclick="',
        "https://port.example/<b>",
        "https://[port.example",
        "\x00https://port.example",
    ],
)
def test_anything_else_is_never_linked(url: str) -> None:
    assert not is_web_address(url)


@pytest.mark.parametrize("day", ["2025-13-45", "2024-02-30", "03.11.2025"])
def test_a_day_that_there_is_not_costs_only_itself(day: str) -> None:
    details, text = split_front_matter(f"---\ntitle: Boats\nupdated: {day}\n---\nThey float.\n")
    source, _, notes = source_record(details, "fallback")
    assert (source.title, source.updated, text) == ("Boats", None, "They float.\n")
    assert len(notes) == 1 and notes[0].startswith("updated left out: ")


def test_whether_a_text_is_that_of_its_source_is_not_guessed() -> None:
    said = [source_record({"verbatim": value}, "fallback")[0].verbatim for value in (True, False, None)]
    assert said == [True, False, None]
