"""What an author of Markdown may rely on: every word is kept where a reader sees it, and nothing else is."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.markdown import read_markdown
from tests.documents import pieces

PAGE = """\
---
title: Harbour rules
---

# Harbour *rules*

Boats may go at **5 knots**, see [the map](https://port.example/map "Map")
or ask `Ida`; caf&eacute; \\*open\\*. ![a red buoy](buoy.png)<!-- not for readers -->

Moorings
--------

- North pier
- South pier
  in two rows
  1. first
  2. second

> Lights on at dusk.

| Boat | Metres |
|------|--------|
| Gull | 12     |

```python
if dusk:
    light()
```

***
<div class="box"><p>Ring the bell.</p><script>alert(1)</script></div>
"""


def test_a_page_becomes_blocks_that_say_what_a_reader_sees() -> None:
    assert pieces(read_markdown(PAGE)) == [
        ("h1", "Harbour rules"),
        ("paragraph", "Boats may go at 5 knots, see the map or ask Ida; café *open*. a red buoy"),
        ("h2", "Moorings"),
        ("item", "North pier"),
        ("item", "South pier in two rows"),
        ("item", "first"),
        ("item", "second"),
        ("paragraph", "Lights on at dusk."),
        ("row", "Boat | Metres"),
        ("row", "Boat: Gull | Metres: 12"),
        ("code", "if dusk:\n    light()"),
        ("paragraph", "Ring the bell."),
    ]


def test_front_matter_is_kept_apart_from_the_text() -> None:
    content = read_markdown(PAGE)
    assert content.details == {"title": "Harbour rules"}
    assert content.text.startswith("Harbour rules\n\nBoats")


def test_bullets_and_numbers_stand_before_their_items() -> None:
    content = read_markdown("- one\n- two\n\n3. three\n4. four\n")
    before = [content.text[: block.start].rsplit("\n", 1)[-1] for block in content.blocks]
    assert before == ["• ", "• ", "3. ", "4. "]


def test_a_list_that_begins_with_zero_keeps_its_numbers() -> None:
    assert read_markdown("0. zero\n1. one\n").text == "0. zero\n1. one"


def test_only_the_first_paragraph_of_an_item_has_its_bullet() -> None:
    found = pieces(read_markdown("- one\n\n  more of it\n\n- two\n"))
    assert found == [("item", "one"), ("paragraph", "more of it"), ("item", "two")]


def test_a_line_break_in_html_parts_two_words() -> None:
    assert read_markdown("north<br>south").text == "north south"


def test_an_inline_script_is_not_text() -> None:
    assert "alert" not in read_markdown("Ring <script>alert(1)</script> the bell.").text


def test_deep_lists_keep_their_words() -> None:
    text = "".join("  " * depth + f"- level{depth}\n" for depth in range(12))
    assert [words for _, words in pieces(read_markdown(text))] == [f"level{depth}" for depth in range(12)]


def test_each_table_has_its_own_header() -> None:
    raw = "|Boat|Metres|\n|-|-|\n|Gull|12|\n||7|\n\nThen\n\n|Pier|Berths|\n|-|-|\n|North|3|\n"
    rows = [words for kind, words in pieces(read_markdown(raw)) if kind == "row"]
    assert rows == ["Boat | Metres", "Boat: Gull | Metres: 12", "7", "Pier | Berths", "Pier: North | Berths: 3"]


def test_line_ends_do_not_matter() -> None:
    assert read_markdown(PAGE.replace("\n", "\r\n")) == read_markdown(PAGE)


def test_front_matter_with_the_line_ends_of_old_macs_is_not_text() -> None:
    assert read_markdown(PAGE.replace("\n", "\r")) == read_markdown(PAGE)


MARKED = [
    "{}",
    "# {}",
    "### {}",
    "- {}",
    "7. {}",
    "> {}",
    "**{}**",
    "[{}](x.md)",
    "```\n{}\n```",
    "|{}|\n|-|",
    "    {}",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(MARKED), max_size=12), st.sampled_from(["\n\n", "\n"]))
def test_no_word_is_lost_or_doubled_or_moved(marks: list[str], between: str) -> None:
    """The oracle: words that are numbered in the order in which they are written."""
    written = between.join(mark.format(f"w{number} v{number}") for number, mark in enumerate(marks))
    read = " ".join(words for _, words in pieces(read_markdown(written)))
    assert re.findall(r"[wv]\d+", read) == re.findall(r"[wv]\d+", written)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    pieces(read_markdown("x\n\n" + text))
