"""What a reader of a saved web page may rely on: its words as the page shows them, without its machinery."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.frontmatter import source_record
from bot.documents.html import read_html
from tests.documents import pieces

PAGE = """\
<!doctype html><html lang="en-GB"><head>
<meta charset="utf-8"><title>Birds | Island</title>
<meta property="og:title" content="Birds of the island"><meta property="og:site_name" content="Island Society">
<link rel="canonical" href="https://island.example/birds"><style>p { color: red }</style>
</head><body>
<nav><a href="/">Home</a></nav>
<h1>Birds of <em>the</em> island</h1>
<script>track("visitor")</script><noscript>Switch scripts on</noscript>
<p>Puffins breed on the western&nbsp;cliffs<!-- no --> &amp; the pier.</p>
Loose words <b>count</b> too.
<p hidden>Not shown</p>
<ul><li>Gulls<ul><li>Herring gulls</li></ul></li><li><p>Terns</p><p>in summer</p></li></ul>
<ol><li>Look</li><li>Listen</li></ol>
<table><caption>Counts</caption><tr><th>Bird</th><th>Pairs</th></tr><tr><td>Puffin</td><td>310</td></tr></table>
<pre>one
  two</pre>
<form><label>Your bird</label><button>Send</button><select><option>Gull</option></select></form>
<template><p>Blank</p></template><svg><text>Chart</text></svg><iframe>frame</iframe>
</body></html>
"""


def test_a_page_becomes_blocks_that_say_what_a_reader_sees() -> None:
    assert pieces(read_html(PAGE)) == [
        ("h1", "Birds of the island"),
        ("paragraph", "Puffins breed on the western cliffs & the pier."),
        ("paragraph", "Loose words count too."),
        ("item", "Gulls"),
        ("item", "Herring gulls"),
        ("item", "Terns"),
        ("paragraph", "in summer"),
        ("item", "Look"),
        ("item", "Listen"),
        ("paragraph", "Counts"),
        ("row", "Bird | Pairs"),
        ("row", "Puffin | 310"),
        ("code", "one\n  two"),
        ("paragraph", "Your bird"),
    ]


def test_a_line_break_or_an_image_does_not_end_a_block() -> None:
    raw = '<h1>Birds<br>of it</h1><p>Puffins <img alt="(two)"> breed<br>here.</p><table><tr><td>a<br>b<td>c</table>'
    assert pieces(read_html(raw)) == [
        ("h1", "Birds of it"),
        ("paragraph", "Puffins (two) breed here."),
        ("row", "a b | c"),
    ]


def test_what_the_page_says_of_itself_is_its_source() -> None:
    source, _, notes = source_record(read_html(PAGE).details, "birds")
    assert (source.title, source.publisher, source.url, source.language) == (
        "Birds of the island",
        "Island Society",
        "https://island.example/birds",
        "en-GB",
    )
    assert notes == []


def test_a_page_cannot_plant_a_link_that_runs_code() -> None:
    content = read_html('<link rel="canonical" href="javascript:alert(1)"><title>Birds</title><p>Puffins</p>')
    source, _, notes = source_record(content.details, "birds")
    assert source.url is None
    assert len(notes) == 1 and notes[0].startswith("url left out")


@pytest.mark.parametrize(
    "tag", "script style noscript template svg math iframe object canvas select button dialog nav".split()
)
def test_the_machinery_of_a_page_is_not_text(tag: str) -> None:
    assert "secret" not in read_html(f"<p>before</p><{tag}>secret</{tag}><p>after</p>").text


def test_what_visitors_type_into_is_not_text() -> None:
    assert "draft" not in read_html("<p>Write to us</p><textarea>draft</textarea>").text


def test_a_numbered_list_keeps_its_numbers() -> None:
    assert read_html("<ol start=5><li>five<li>six</ol>").text == "5. five\n6. six"


@pytest.mark.parametrize("opening", ["<div>", "<b>", "<ul><li>", "<table><tr><td>", "<blockquote>"])
def test_a_page_nested_20_000_deep_is_read(opening: str) -> None:
    content = read_html(f"<p>before</p>{opening * (20_000 // opening.count('<'))}deep")
    assert [words for _, words in pieces(content)] == ["before", "deep"]


@pytest.mark.parametrize("raw", ["", " ", "<p></p>", "<html>", "<script>x</script>", "<!-- x"])
def test_a_page_without_words_has_no_blocks(raw: str) -> None:
    assert pieces(read_html(raw)) == []


TAGS = "p div h2 ul ol li table tr td pre b span section blockquote em br dl dt".split()


@settings(deadline=None)
@given(st.lists(st.sampled_from([*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), None]), max_size=30))
def test_no_word_is_lost_or_doubled_in_any_soup_of_tags(soup: list[str | None]) -> None:
    """The oracle: numbered words, which a browser may move (out of a table) and never drops."""
    raw = "".join(f" w{number} " if tag is None else tag for number, tag in enumerate(soup))
    read = " ".join(words for _, words in pieces(read_html(raw)))
    assert sorted(re.findall(r"w\d+", read)) == sorted(re.findall(r"w\d+", raw))


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_can_be_read(text: str) -> None:
    pieces(read_html(text))
