"""What a reader of plain text may rely on: saved pages and texts broken by hand fall into sensible blocks."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.documents.plain import read_plain
from tests.documents import pieces

SAVED_PAGE = """\
Is there smoke or water in your cellar right now?\xa0 Learn more

Lending tools to the neighbours

The tool library lends ladders, drills and saws to anyone who lives in the valley.
Last year’s inventory lists over nine hundred things, and each can be kept for two weeks at a time.

On this page:

The Saturday Repair Table

The Saturday Repair Table opened in 2016 and mends what people bring. It has 14 volunteers.

Ladders, Drills and Everything With a Plug

The library asks borrowers:

  • to bring back what they borrow in the state in which they found it
  • to say what broke, because nobody is fined for an honest word about a broken drill

The Seed Drawer

The Seed Drawer holds 61 kinds of beans, and whoever takes some brings twice as many in autumn.


PLUGS is a club of retired electricians. It meets in 7 villages and looks at every cable.

Opening Hours of the Library

The library is open on Tuesdays and on Saturdays.

Learn more

Last updated: 11/05/2023
"""

NAMES = """\
Albania|Armenia|Austria|Belgium|Bosnia & Herzegovina|Brazil|Central African Republic|Chile|Costa Rica|Croatia|Cyprus|
Czech Republic|Denmark|El Salvador|Estonia|Finland|France|Guinea (Republic of)|Iceland|Japan|Kenya|Korea, Republic Of|
Latvia|Malta|New Zealand|Norway|Papua New Guinea|Peru|Sierra Leone|Slovakia|South Africa|Sweden|Thailand|
The Netherlands|The Philippines|Togo|Ukraine|United Arab Emirates|United Kingdom|United States of America|Zambia
""".replace("\n", "").split("|")

PAGE_WITH_NAMES = f"""\
Countries that lend ladders
With 41 countries taking part, the ladder treaty is the widest of its kind, and it is renewed whenever a rung breaks.
Every country sends one person to the yearly meeting, who must have climbed a ladder of that country at least once.
Countries that signed
{" ".join(NAMES)}
"""


def test_a_page_saved_from_the_web_falls_into_its_sections() -> None:
    assert pieces(read_plain(SAVED_PAGE)) == [
        ("paragraph", "Is there smoke or water in your cellar right now? Learn more"),
        ("h1", "Lending tools to the neighbours"),
        ("paragraph", "The tool library lends ladders, drills and saws to anyone who lives in the valley."),
        (
            "paragraph",
            "Last year’s inventory lists over nine hundred things, and each can be kept for two weeks at a time.",
        ),
        ("h2", ""),  # "On this page:"
        ("h2", "The Saturday Repair Table"),
        ("paragraph", "The Saturday Repair Table opened in 2016 and mends what people bring. It has 14 volunteers."),
        ("h2", "Ladders, Drills and Everything With a Plug"),
        ("paragraph", "The library asks borrowers:"),
        ("item", "to bring back what they borrow in the state in which they found it"),
        ("item", "to say what broke, because nobody is fined for an honest word about a broken drill"),
        ("h2", "The Seed Drawer"),
        (
            "paragraph",
            "The Seed Drawer holds 61 kinds of beans, and whoever takes some brings twice as many in autumn.",
        ),
        ("h2", ""),  # two blank lines, where a heading got lost
        ("paragraph", "PLUGS is a club of retired electricians. It meets in 7 villages and looks at every cable."),
        ("h2", "Opening Hours of the Library"),
        ("paragraph", "The library is open on Tuesdays and on Saturdays."),
        ("h2", ""),  # "Learn more"
        ("paragraph", "Last updated: 11/05/2023"),
    ]


def test_a_list_of_names_on_one_line_is_one_item_for_each_name() -> None:
    found = pieces(read_plain(PAGE_WITH_NAMES))
    assert [kind for kind, _ in found[:4]] == ["h1", "paragraph", "paragraph", "h2"]
    assert [words for kind, words in found if kind == "item"] == NAMES
    assert len(found) == 4 + len(NAMES)


@settings(deadline=None)
@given(st.permutations(NAMES).map(lambda names: sorted(names[:30])))
def test_no_word_of_a_list_of_names_is_lost_whatever_names_it_holds(names: list[str]) -> None:
    found = pieces(read_plain(f"{' '.join(names)}\n\nThe list ends here.\n"))
    assert " ".join(words for _, words in found) == f"{' '.join(names)} The list ends here."


@pytest.mark.parametrize(
    "text",
    [
        "The Annual General Meeting of the Society for the Protection of Puffins and Terns in the Port of Old Harbour",
        "Anna Berta Clara",
        "Zoe Yara Xaver Walter Viktor Ulla Theo Sara Rolf Quinn Paul Otto Nora Max Lena Karl",
    ],
)
def test_a_line_with_names_in_it_that_is_no_list_stays_whole(text: str) -> None:
    assert pieces(read_plain(f"{text}\n")) == [("paragraph", text)]


def test_the_title_is_the_first_heading() -> None:
    assert read_plain(SAVED_PAGE).details == {"title": "Lending tools to the neighbours"}
    assert read_plain("no heading here, and nothing that looks like one.").details == {}


@pytest.mark.parametrize(
    "line", ["Is it open?", "it is open", "It is open.", "One. Two", "2024", "• Item", "So:", "A " * 17 + "b"]
)
def test_a_line_that_does_not_look_like_a_heading_is_none(line: str) -> None:
    found = pieces(read_plain(f"{line}\n\nThe library is open on Tuesdays and on Saturdays.\n"))
    assert not any(kind.startswith("h") for kind, _ in found)


word = st.sampled_from([letter * length for letter in "aeiou" for length in range(1, 10)])
paragraph = st.lists(word, min_size=8, max_size=60).map(lambda words: f"Once {' '.join(words)}.")


@settings(deadline=None)
@given(st.lists(paragraph, min_size=1, max_size=5), st.integers(30, 120))
def test_lines_broken_by_hand_become_paragraphs_again(paragraphs: list[str], width: int) -> None:
    broken = "\n\n".join(textwrap.fill(text, width, break_long_words=False) for text in paragraphs)
    assert [(kind, words.replace("\n", " ")) for kind, words in pieces(read_plain(broken))] == [
        ("paragraph", text) for text in paragraphs
    ]


def test_a_bullet_that_was_broken_by_hand_is_one_item() -> None:
    text = "The keeper needs:\n\n- oil for the lamp, forty litres, which\n  is what the tank holds\n- two wicks\n"
    assert pieces(read_plain(text))[1:] == [
        ("item", "oil for the lamp, forty litres, which\nis what the tank holds"),
        ("item", "two wicks"),
    ]


def test_long_lines_are_paragraphs_of_their_own() -> None:
    lines = [f"{'In the valley everybody lends and borrows, ' * 4}and number {n} does too." for n in range(3)]
    assert pieces(read_plain("\n".join(lines))) == [("paragraph", line) for line in lines]


#: Lines, alone, that say nothing of any subject.
FURNITURE = {
    "learn more", "read more", "see more", "show more", "on this page", "back to top", "skip to content",
    "skip to main content", "menu", "share", "share this page", "print", "print this page", "contents", "search",
    "close",
}  # fmt: skip


@settings(deadline=None)
@given(st.text(st.sampled_from("Aab1 .:-•&(),\n\n\t\xa0é港") | st.characters(), max_size=120))
@example("SEARCH")
def test_any_text_can_be_read_and_no_word_of_it_is_lost(text: str) -> None:
    content = read_plain(text)
    pieces(content)
    covered = set().union(*(range(block.start, block.end) for block in content.blocks))
    outside = "".join(c if number not in covered else "" for number, c in enumerate(content.text))
    lost = {rest.strip().rstrip(":").casefold() for rest in outside.split("\n")}
    assert all(len(rest) <= 4 or rest in FURNITURE for rest in lost)  # bullets, and what says nothing
