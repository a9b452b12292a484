"""What a reader of PDFs may rely on: every word on its page, in the order in which a person reads it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents import pdf
from bot.documents.content import Content
from bot.documents.pdf import read_pdf
from bot.errors import DocumentError
from tests.documents import pieces

WIDTH, HEIGHT = 595, 842
BODY = (
    "The harbour opens at dawn and closes at dusk, and the keeper rings the bell at both. Boats that come later wait "
    "outside until the morning, however high the sea may be, and nobody has ever complained about it."
)


def say(text: str, x: float = 72, y: float = 700, size: float = 11, font: int = 0, more: str = "") -> str:
    """Draw one line; ``font`` 1 is bold, ``more`` holds other operators."""
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT {more} /F{font} {size} Tf {x} {y} Td ({escaped}) Tj ET\n"


def prose(text: str, x: float = 72, y: float = 700, size: float = 11, width: float = 450, font: int = 0) -> str:
    """Break text at a width, as a typesetter does; every letter of Courier is 0.6 times as wide as its size."""
    lines = [""]
    for word in text.split():
        if lines[-1] and (len(lines[-1]) + 1 + len(word)) * 0.6 * size > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "".join(say(line, x, y - 1.2 * size * number, size, font) for number, line in enumerate(lines))


def make(
    pages: Sequence[str | bytes],
    catalog: str = "",
    trailer: str = "",
    info: str = "",
    filters: str = "",
    more: Sequence[str] = (),
) -> bytes:
    """Write a PDF with these content streams; ``more`` are more objects, the rest entries of dictionaries."""
    fonts = " ".join(
        f"/F{number} << /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
        for number, name in enumerate(("Courier", "Courier-Bold"))
    )
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [f"<< /Type /Catalog /Pages 2 0 R {catalog} >>", f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>"]
    bodies = [text.encode() for text in objects]
    for number, page in enumerate(pages):
        stream = page if isinstance(page, bytes) else page.encode("cp1252")
        bodies.append(f"<< {filters} /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {3 + 2 * number} 0 R "
            f"/Resources << /Font << {fonts} >> >> >>".encode()
        )
    bodies += [text.encode() for text in (*more, f"<< {info} >>")]
    return assemble(bodies, f"/Info {len(bodies)} 0 R {trailer}")


def assemble(bodies: Sequence[bytes], trailer: str = "") -> bytes:
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    end = f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + head + table + end.encode("latin-1")


def read(*pages: str) -> Content:
    return read_pdf(make(pages))


def texts(content: Content) -> list[str]:
    return [words for _, words in pieces(content)]


def test_headings_paragraphs_and_items_are_told_by_their_looks() -> None:
    content = read(
        say("Harbour rules", y=780, size=24)
        + say("Opening hours", y=740, size=16)
        + prose(BODY, y=710)
        + prose("Mooring and fees", y=640, size=16)
        + say("Fees for guests", y=610, font=1)
        + prose(BODY, y=590)
        + say("• oil for the lamp", y=520)
        + say("• two wicks", y=505)
        + say("1. Ring the bell", y=480)
        + say("2. Wait", y=465)
    )
    assert pieces(content) == [
        ("h1", "Harbour rules"),
        ("h2", "Opening hours"),
        ("paragraph", BODY),
        ("h2", "Mooring and fees"),
        ("h3", "Fees for guests"),
        ("paragraph", BODY),
        ("item", "oil for the lamp"),
        ("item", "two wicks"),
        ("item", "Ring the bell"),
        ("item", "Wait"),
    ]
    assert content.text.endswith("• oil for the lamp\n• two wicks\n1. Ring the bell\n2. Wait")
    assert content.details == {"title": "Harbour rules"}
    assert content.notes == ()


def test_every_block_knows_the_page_on_which_it_begins() -> None:
    content = read(*(say(f"Only page {number} says {number * 7}.") for number in range(1, 6)))
    assert [(block.page, content.text[block.start : block.end]) for block in content.blocks] == [
        (number, f"Only page {number} says {number * 7}.") for number in range(1, 6)
    ]


def test_planted_sentences_are_found_at_both_ends_and_in_the_middle_of_sixty_pages() -> None:
    planted = {1: "The first key is amber.", 30: "The middle key is brass.", 60: "The last key is copper."}
    pages = []
    for number in range(1, 61):
        filler = [f"Entry {row} of day {number} says nothing new. {BODY}" for row in range(1, 7)]
        filler.insert({1: 0, 60: 6}.get(number, 3), planted.get(number, "Nothing is planted here."))
        pages.append("".join(prose(text, y=760 - 80 * row) for row, text in enumerate(filler)))
    content = read(*pages)
    for page, words in planted.items():
        [block] = [block for block in content.blocks if content.text[block.start : block.end] == words]
        assert block.page == page
    found = texts(content)
    for number in range(1, 61):
        assert sum(text.startswith(f"Entry 1 of day {number} ") for text in found) == 1
    assert found.count("Nothing is planted here.") == 57


def test_a_paragraph_goes_on_over_the_end_of_a_page_and_past_a_footnote() -> None:
    start, rest = "The keeper of the light on the northern pier keeps a book of all the", "ships he has seen pass by."
    content = read(
        prose(BODY, y=700) + say("It begins here.", y=130) + say(start, y=110) + say("1 A note below.", y=60, size=8),
        say(rest, y=780) + say("Another day.", y=740),
    )
    assert f"{start} {rest}" in texts(content)
    assert texts(content)[-2:] == ["1 A note below.", "Another day."]


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        (("the inter-", "national rules"), "the international rules"),
        (("the cross-", "border trade"), "the cross-border trade"),
        (("rules of well-", "known trade"), "rules of well-known trade"),
        (("a wide air-", "tight lock"), "a wide air-tight lock"),  # as the same page has it
        (("the bell-", "keeper sings"), "the bell-keeper sings"),  # both are words of the page
        (("signed by Anglo-", "Saxon kings"), "signed by Anglo-Saxon kings"),
        (("both in- ", "and outside"), "both in- and outside"),
        (("the soft\xad", "ened rope"), "the softened rope"),
    ],
)
def test_a_word_broken_at_a_line_end_is_whole_again(lines: tuple[str, str], whole: str) -> None:
    content = read(prose(BODY + " It is air-tight.", y=760) + say(lines[0], y=600) + say(lines[1], y=587))
    assert whole in content.text


def test_ligatures_become_letters() -> None:
    unicode_map = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        b"1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"2 beginbfchar <01> <FB01> <02> <FB04> endbfchar\nendcmap end end"
    )
    page = b"BT /F0 11 Tf 72 700 Td (\x01sh and wa\x02es) Tj ET"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding /ToUnicode 5 0 R >>"
    data = assemble(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F0 "
            + font
            + b" >> >> >>",
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(page), page),
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(unicode_map), unicode_map),
        ]
    )
    assert read_pdf(data).text == "fish and waffles"


LEFT = f"On the left it says: {BODY} {BODY} On the left it ends here."
RIGHT = f"On the right it says: {BODY} {BODY} On the right it ends here."


def test_two_columns_are_read_one_after_the_other() -> None:
    title = say("A title over both of the columns", x=100, y=780, size=20)
    content = read(title + prose(LEFT, width=215) + prose(RIGHT, x=310, width=215))
    assert pieces(content) == [
        ("h1", "A title over both of the columns"),
        ("paragraph", LEFT),
        ("paragraph", RIGHT),
    ]


def test_two_columns_that_the_file_writes_line_by_line_are_read_one_after_the_other() -> None:
    left, right = prose(LEFT, width=215).splitlines(), prose(RIGHT, x=310, width=215).splitlines()
    woven = [line for pair in zip(left, right, strict=False) for line in pair]
    rest = left[len(right) :] + right[len(left) :]
    assert texts(read("\n".join(woven + rest))) == [LEFT, RIGHT]


def test_a_stretched_column_between_two_others_is_not_cut() -> None:
    """Wide gaps stand one below the other in it, so that where a word begins a column might."""
    lines = [f"Line {number} of the keeper's" for number in range(20)]
    middle = "".join(
        say(part, x=x, y=700 - 13.2 * number)
        for number, line in enumerate(lines)
        for part, x in ([(line[:-12], 240), (line[-12:], 330)] if number % 3 == 1 else [(line, 240)])
    )
    page = prose(LEFT, x=40, width=170) + middle + prose(RIGHT, x=430, width=150)
    assert " ".join(texts(read(page))).startswith(f"{LEFT} Line 0 of")


def test_a_column_that_has_only_begun_is_one_where_another_page_has_one() -> None:
    def page(*columns: str) -> str:
        return "".join(prose(text, x=40 + 180 * number, width=165) for number, text in enumerate(columns))

    full = "Of what it says here there is no end and no beginning, but only a middle, which goes on and on"
    begun = "The last key opens the gate of"
    for last in ((LEFT, f"{full} {begun}", "elsewhere."), (full, begun, "elsewhere.")):
        found = texts(read(page(LEFT, RIGHT, LEFT), page(*last)))
        assert " ".join(found).endswith(f"{begun} elsewhere.")


TWO_COLUMNS = prose(LEFT, width=165) + prose(RIGHT, x=250, width=165)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (say("4.2", x=72, size=16) + say("Fees for guests", x=250, size=16), ("h1", "4.2 Fees for guests")),
        (say("7.", x=72) + prose(BODY, x=250, width=200), ("item", BODY)),
        (say("North pier", x=72) + prose(BODY, x=250, width=200), ("row", f"North pier | {BODY}")),
        (say("North pier", x=72) + say("Boats", x=250), ("row", "North pier | Boats")),
    ],
)
def test_what_stands_to_the_left_of_its_words_is_no_column(drawn: str, expected: tuple[str, str]) -> None:
    assert pieces(read(TWO_COLUMNS, drawn))[-1] == expected


def test_columns_below_a_table_are_columns() -> None:
    table = "".join(
        say(cell, x=x, y=780 - 14 * number)
        for number in range(24)
        for cell, x in (
            (f"Pier number {number}", 50),
            (f"boats of {number} metres or more", 200),
            ("31 EUR a day", 430),
        )
    )
    left, right = f"On the left: {BODY}", f"On the right: {BODY}"
    text = table + prose(left, x=50, y=420, width=230) + prose(right, x=306, y=420, width=230)
    found = texts(read(text))
    assert found[0] == "Pier number 0 | boats of 0 metres or more | 31 EUR a day"
    assert found[-2:] == [left, right]


def test_a_table_is_read_row_by_row_with_its_cells_apart() -> None:
    rows = [("Route", "Price", "Days"), ("North pier", "12 EUR", "Mon"), ("South pier", "9 EUR", "Sun")]
    table = "".join(
        say(cell, x=72 + 150 * column, y=600 - 20 * row)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    )
    assert pieces(read(prose(BODY) + table)) == [
        ("paragraph", BODY),
        *(("row", " | ".join(cells)) for cells in rows),
    ]


def test_a_cell_of_several_lines_stays_one_cell() -> None:
    cells = say("Gull", y=600) + say("A white bird that cries", x=250, y=600) + say("and steals fish", x=250, y=587)
    assert ("row", "Gull | A white bird that cries and steals fish") in pieces(read(prose(BODY) + cells))


def test_running_headers_footers_and_page_numbers_are_left_out() -> None:
    pages = [
        say("Harbour handbook", y=810, size=9)
        + prose(f"Page text number {number} begins. {BODY}", y=750)
        + say(f"Page {number} of 6", x=280, y=30, size=9)
        for number in range(1, 7)
    ]
    assert texts(read(*pages)) == [f"Page text number {number} begins. {BODY}" for number in range(1, 7)]


def test_headers_that_take_turns_and_name_the_chapter_are_left_out() -> None:
    pages = [
        say(f"{number + 4}  Harbour handbook" if number % 2 else f"Chapter {number // 7}  {number + 4}", y=810, size=9)
        + prose(f"Text {number} begins. {BODY}", y=750)
        for number in range(1, 15)
    ]
    assert texts(read(*pages)) == [f"Text {number} begins. {BODY}" for number in range(1, 15)]


def test_text_that_comes_back_but_is_no_header_stays() -> None:
    """First lines that differ, large titles, and lines in the middle of the page."""
    pages = [
        say(f"Question {number * number}", y=800)
        + say("Always here", y=400)
        + say(f"Chapter {number}", y=760, size=20)
        + prose(BODY, y=300)
        for number in range(1, 7)
    ]
    found = texts(read(*pages))
    assert [text for text in found if text.startswith("Question")] == [f"Question {n * n}" for n in range(1, 7)]
    assert [text for text in found if text.startswith("Chapter")] == [f"Chapter {n}" for n in range(1, 7)]
    assert found.count("Always here") == 6


def test_a_large_line_on_every_page_is_kept_once() -> None:
    pages = [say("Harbour days", y=800, size=20) + prose(f"Text {n}. {BODY}") for n in range(1, 6)]
    assert pieces(read(*pages)) == [("h1", "Harbour days"), *(("paragraph", f"Text {n}. {BODY}") for n in range(1, 6))]


def test_nothing_is_left_out_where_nothing_stands_apart_or_nothing_would_be_left() -> None:
    spaced = ["".join(say(f"Row {row} of page {n}.", y=800 - 30 * row) for row in range(25)) for n in range(1, 6)]
    assert texts(read(*spaced)) == [f"Row {row} of page {n}." for n in range(1, 6) for row in range(25)]
    assert texts(read(*[say("Closed today.", y=800)] * 5)) == ["Closed today."] * 5


def test_a_bullet_that_stands_far_from_its_words_is_still_theirs() -> None:
    assert pieces(read(prose(BODY) + say("•", y=600) + say("oil", x=110, y=600))) == [
        ("paragraph", BODY),
        ("item", "oil"),
    ]


def test_a_dash_within_a_sentence_begins_no_item() -> None:
    lines = ["The keeper rings the bell at dawn and also at dusk", "- twice in a fog - and nobody has ever complained."]
    listed = ["The keeper needs for the whole of the winter:", "- oil, of which the tank holds some forty litres,",
              "- two wicks"]  # fmt: skip

    dashes = ["The keeper brings to the island at the beginning", "- oil for the lamp, of which the tank holds",
              "- wicks, two for each night of the winter and", "- matches"]  # fmt: skip

    def drawn(lines: Sequence[str]) -> str:
        return "".join(say(line, y=600 - 13.2 * number) for number, line in enumerate(lines))

    assert pieces(read(prose(BODY, width=340), drawn(lines)))[-1] == ("paragraph", " ".join(lines))
    assert [kind for kind, _ in pieces(read(prose(BODY, width=340), drawn(listed)))] == ["paragraph"] * 2 + ["item"] * 2
    assert [kind for kind, _ in pieces(read(prose(BODY, width=340), drawn(dashes)))] == ["paragraph"] * 2 + ["item"] * 3


def test_a_page_that_is_turned_and_text_drawn_invisibly_are_read() -> None:
    turned = "".join(
        f"BT /F0 11 Tf 0 1 -1 0 {100 + 13 * number} 72 Tm ({line}) Tj ET\n"
        for number, line in enumerate(("The table lies on its side and its rows", "run upwards on the page."))
    )
    content = read(turned, say("Found under a scan.", more="3 Tr"))
    assert texts(content) == ["The table lies on its side and its rows run upwards on the page.", "Found under a scan."]


def test_a_page_without_text_is_reported() -> None:
    words = say("Some words.")
    assert read(words, "", words).notes == ("page 2 holds no text (an image?)",)
    assert read(words, "", words, *[""] * 3, words).notes == ("pages 2, 4-6 hold no text (images?)",)


def test_a_damaged_page_does_not_cost_the_others() -> None:
    data = make([say(f"Words of page {number}.") for number in (1, 2, 3)])
    content = read_pdf(data.replace(b"/Kids [4 0 R 6 0 R", b"/Kids [4 0 R 99 0 R"))
    assert texts(content) == ["Words of page 1.", "Words of page 3."]
    assert content.notes == ("page 2 could not be read",)


def test_what_is_too_long_is_left_out_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make([say(f"Words of page {number}.") for number in range(1, 6)])
    monkeypatch.setattr(pdf, "MAX_PAGES", 3)
    content = read_pdf(data)
    assert (len(content.blocks), content.notes) == (3, ("pages 4-5 were left out: the document is too long",))
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 30)
    content = read_pdf(data)
    assert texts(content) == ["Words of page 1.", "Words of page"]
    assert content.notes == ("page 2 is too long and was cut", "pages 3-5 were left out: the document is too long")
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr(pdf, "MAX_PAGE_CHARACTERS", 5)
    assert read_pdf(data).notes[0] == "pages 1-3 are too long and were cut"


def test_a_form_that_is_filled_in_is_reported() -> None:
    content = read_pdf(make([say("Name:")], catalog="/AcroForm << /Fields [4 0 R] >>"))
    assert content.notes == ("holds a form; what is filled in was not read",)


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Rules of the harbour", "Rules of the harbour"),
        ("\\376\\377\\000C\\000a\\000f\\000\\351", "Café"),
        ("Microsoft Word - rules.doc", "Large line"),
        ("untitled", "Large line"),
        ("rules_final.pdf", "Large line"),
        ("", "Large line"),
    ],
)
def test_the_title_is_the_files_own_unless_it_names_a_program_or_a_file(written: str, title: str) -> None:
    info = f"/Title ({written}) /CreationDate (D:20240101000000Z)"
    content = read_pdf(make([say("Large line", size=20) + prose(BODY, y=600)], "/Lang (en-GB)", info=info))
    assert content.details == {"title": title, "language": "en-GB"}  # the date is the file's, not the publication's


def test_a_bookmark_makes_a_heading_of_a_line_like_any_other() -> None:
    outline = (
        "<< /First 6 0 R /Last 6 0 R /Count 1 >>",
        "<< /Title (1. Fees) /Parent 5 0 R /Dest [4 0 R /Fit] >>",
    )
    data = make([say("Fees", y=760) + prose(BODY) + say("Ropes", y=600)], "/Outlines 5 0 R", more=outline)
    assert pieces(read_pdf(data)) == [("h1", "Fees"), ("paragraph", BODY), ("paragraph", "Ropes")]


def test_a_protected_file_is_refused() -> None:
    lock = f"/ID [<00><00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>"
    with pytest.raises(DocumentError, match=r"^is protected by a password$"):
        read_pdf(make([say("Secret.")], trailer=lock))


@pytest.mark.parametrize("data", [b"", b"words", b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(range(256)) * 4])
def test_what_is_no_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^is not a PDF that can be read$"):
        read_pdf(data)


def test_a_file_without_pages_or_words_is_empty() -> None:
    assert pieces(read("")) == []
    with suppress(DocumentError):
        assert pieces(read()) == []


def test_trees_that_bite_their_tails_end() -> None:
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    loops = [
        assemble([catalog, b"<< /Type /Pages /Count 9 /Kids [2 0 R 3 0 R] >>", b"<< /Type /Pages /Kids [2 0 R] >>"]),
        assemble([catalog, b"<< /Type /Pages /Count 2000000000 /Kids [3 0 R] >>", b"<< /Type /Page /Parent 2 0 R >>"]),
        make([say("x")]).replace(b"trailer\n<<", b"trailer\n<< /Prev 15"),
    ]
    start = time.monotonic()
    for data in loops:
        with suppress(DocumentError):
            pieces(read_pdf(data))
    assert time.monotonic() - start < 10


def test_a_bomb_of_streams_within_streams_is_survived() -> None:
    bomb = zlib.compress(zlib.compress(zlib.compress(b" " * 50_000_000)))
    start = time.monotonic()
    assert pieces(read_pdf(make([bomb], filters=f"/Filter [{'/FlateDecode ' * 3}]"))) == []
    assert time.monotonic() - start < 20


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_file_with_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(make([say("Harbour", size=20) + prose(BODY, y=600), say("Next page.")]))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(9, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DocumentError):
        pieces(read_pdf(bytes(whole)))


word = st.text("abcdefgh", min_size=2, max_size=9)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(20, 500), st.sampled_from(range(100, 700, 40)), st.integers(6, 30), word),
        max_size=15,
        unique_by=(lambda w: w[3], lambda w: w[1]),  # of letters that lie on each other, PDFium keeps one
    )
)
def test_no_word_is_lost_or_doubled_wherever_words_stand(words: list[tuple[int, int, int, str]]) -> None:
    """The oracle: every letter on the page, in whatever order."""
    content = read("".join(say(text, x, y, size) for x, y, size, text in words))
    letters = sorted("".join(text for *_, text in words))
    assert sorted(c for c in "".join(texts(content)) if c.isalpha()) == letters
