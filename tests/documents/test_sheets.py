"""What a reader of sheets may rely on: each row says what its figures are, as the sheet shows them."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from datetime import datetime, time
from io import BytesIO, StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from bot.documents import sheets
from bot.documents.content import Content
from bot.documents.sheets import Row, read_csv, read_table, read_xlsx
from bot.errors import DocumentError
from tests.documents import pieces
from tests.documents.test_zipped import archive, changed

TABLE: list[list[object]] = [["Country", "Members"], ["Kenya", 12], ["Uganda", 5]]


def workbook(*fill: Callable[[Workbook, Worksheet], None]) -> bytes:
    """Return a workbook with one sheet ("Sheet1", ...) for each function that fills one."""
    data = BytesIO()
    book = Workbook(data, {"in_memory": True})
    for write in fill:
        write(book, book.add_worksheet())
    book.close()
    return data.getvalue()


def rows(*values: Sequence[object]) -> Callable[[Workbook, Worksheet], None]:
    def write(book: Workbook, sheet: Worksheet) -> None:
        for number, row in enumerate(values):
            sheet.write_row(number, 0, row)

    return write


def table(*values: Sequence[str], headed: bool = False, marked: int = -1) -> list[tuple[str, str]]:
    read = [
        Row({column: text for column, text in enumerate(row) if text}, number == marked)
        for number, row in enumerate(values)
    ]
    return [(str(kind), text) for kind, text in read_table(read, headed=headed)]


def test_each_row_is_read_with_its_header() -> None:
    content = read_xlsx(
        workbook(rows(*TABLE), rows(["Bird", "Pairs", "Since"], ["Puffin", 310, ""], ["Tern", "", 2019]))
    )
    assert pieces(content) == [
        ("h2", "Sheet1"),
        ("row", "Country: Kenya | Members: 12"),
        ("row", "Country: Uganda | Members: 5"),
        ("h2", "Sheet2"),
        ("row", "Bird: Puffin | Pairs: 310"),
        ("row", "Bird: Tern | Since: 2019"),
    ]
    assert [block.page for block in content.blocks] == [1, 1, 1, 2, 2, 2]
    assert content.notes == ()


def test_what_stands_above_a_header_is_a_paragraph() -> None:
    data = workbook(rows(["Members by country"], ["As of March"], *TABLE, [], ["Source: our own count"]))
    assert pieces(read_xlsx(data))[1:] == [
        ("paragraph", "Members by country"),
        ("paragraph", "As of March"),
        ("row", "Country: Kenya | Members: 12"),
        ("row", "Country: Uganda | Members: 5"),
        ("row", "Source: our own count"),
    ]


def test_a_second_table_of_a_sheet_has_its_own_header() -> None:
    assert table(
        ["Bird", "Pairs", "Nests"], ["Puffin", "3", "4"], [], ["Ship", "Berth", "Day"], ["Alma", "2", "4"]
    ) == [
        ("row", "Bird: Puffin | Pairs: 3 | Nests: 4"),
        ("row", "Ship: Alma | Berth: 2 | Day: 4"),
    ]


def test_a_header_holds_beyond_one_empty_row_but_not_beyond_two() -> None:
    head, first, last = ["Bird", "Pairs", "Nests"], ["Puffin", "3", "4"], ["Tern", "5", "6"]
    assert table(head, first, [], last)[-1] == ("row", "Bird: Tern | Pairs: 5 | Nests: 6")
    assert table(head, first, [], [], last)[-1] == ("row", "Tern | 5 | 6")


@pytest.mark.parametrize(
    "values",
    [
        [["Monday", "closed"], ["Tuesday", "9–17"], ["Wednesday", "9–17"]],
        [["Monday", "closed", "closed"], ["Tuesday", "9–12", "13–17"], ["Wednesday", "9–12", "13–17"]],
        [["Capital", "Nairobi"], ["Population", "47 million"], ["Area", "580,367 km²"]],
        [["Name:", "Anna"], ["Phone:", "555 123"], ["Room:", "12"]],
        [["Anna", "Director", "Nairobi"], ["Ben", "Clerk", "Mombasa"]],
        [["Kenya", "12", "2019"], ["Uganda", "5", "2020"]],
        [["Country", "Members"]],
    ],
)
def test_rows_are_not_misread_with_a_header_that_is_none(values: list[list[str]]) -> None:
    assert table(*values) == [("row", " | ".join(row)) for row in values]


@pytest.mark.parametrize(
    ("values", "last"),
    [
        ([["", "2019", "2020"], ["Kenya", "12", "14"], ["Uganda", "5", "6"]], "Uganda | 2019: 5 | 2020: 6"),
        (
            [["Bird", "Seen", "Rare"], ["Puffin", "3", "TRUE"], ["Tern", "1", "FALSE"]],
            "Bird: Tern | Seen: 1 | Rare: FALSE",
        ),
        ([["Role", "Name", "Task"], ["Clerk", "Ben", "keeps the minutes of all our meetings"]] * 2, None),
    ],
)
def test_a_header_is_told_by_its_looks(values: list[list[str]], last: str | None) -> None:
    assert last is None or table(*values)[-1] == ("row", last)


def test_a_column_without_values_keeps_its_name() -> None:
    found = table(["Bird", "Pairs", "Notes"], ["Puffin", "3"], ["Tern", "4"])
    assert found == [("row", "Notes"), ("row", "Bird: Puffin | Pairs: 3"), ("row", "Bird: Tern | Pairs: 4")]


def test_a_header_that_its_author_marked_needs_no_looks() -> None:
    values = [["Day", "Open"], ["Monday", "closed"], ["Tuesday", "all day"]]
    assert table(*values, marked=0)[-1] == ("row", "Day: Tuesday | Open: all day")
    assert table(*values)[-1] == ("row", "Tuesday | all day")


def test_bold_cells_or_a_named_table_mark_a_header() -> None:
    values = [["Day", "Open"], ["Monday", "closed"], ["Tuesday", "all day"]]

    def bold(book: Workbook, sheet: Worksheet) -> None:
        rows(*values)(book, sheet)
        sheet.write_row(0, 0, values[0], book.add_format({"bold": True}))

    def named(book: Workbook, sheet: Worksheet) -> None:
        sheet.add_table("A1:B3", {"columns": [{"header": name} for name in values[0]], "data": values[1:]})

    for fill in (bold, named):
        assert pieces(read_xlsx(workbook(fill)))[-1] == ("row", "Day: Tuesday | Open: all day")


SHOWN = [
    (12, "", "12"),
    (0.5, "", "0.5"),
    (0.1 + 0.2, "", "0.3"),
    (-3, "", "-3"),
    (1234.5, "#,##0.00", "1,234.50"),
    (0.254, "0%", "25%"),
    (0.254, "0.0%", "25.4%"),
    (4.5, '"€" 0.00', "€ 4.50"),
    (4.5, "[$€-407] 0.00", "€ 4.50"),
    (-4.5, "$#,##0.00;[Red]($#,##0.00)", "-$4.50"),
    (12, '0 "kg"', "12 kg"),
    (7, "000", "007"),
    (2.5, "0.##", "2.5"),
    (1e20, "", "1e+20"),
    (123456, "0.00E+00", "123456"),
    (-1, "d.m.yyyy", "-1"),  # no day; a cell shows ####
]


@pytest.mark.parametrize(("number", "code", "shown"), SHOWN)
def test_a_number_reads_as_its_cell_shows_it(number: float, code: str, shown: str) -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        sheet.write_number(0, 0, number, book.add_format({"num_format": code} if code else {}))

    assert pieces(read_xlsx(workbook(fill)))[-1] == ("row", shown)


@pytest.mark.parametrize(
    ("moment", "code", "shown"),
    [
        (datetime(2024, 3, 4), "dd/mm/yyyy", "2024-03-04"),
        (datetime(2024, 3, 4), "[$-409]d mmm yyyy;@", "2024-03-04"),
        (datetime(2024, 3, 4, 9, 30), "d.m.yy h:mm", "2024-03-04 09:30"),
        (time(17, 5), "h:mm AM/PM", "17:05"),
    ],
)
def test_a_date_reads_as_iso_8601(moment: datetime | time, code: str, shown: str) -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        sheet.write_datetime(0, 0, moment, book.add_format({"num_format": code}))

    assert pieces(read_xlsx(workbook(fill)))[-1] == ("row", shown)


def test_hours_that_have_passed_are_no_time_of_day() -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        sheet.write_number(0, 0, 1.5, book.add_format({"num_format": "[h]:mm"}))

    assert pieces(read_xlsx(workbook(fill)))[-1] == ("row", "36:00")


def test_formulas_read_as_their_result_and_errors_not_at_all() -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        sheet.write_formula(0, 0, "=1+1", None, 2)
        sheet.write_formula(0, 1, '="pu"&"ffin"', None, "puffin")
        sheet.write_formula(0, 2, "=1/0", None, "#DIV/0!")
        sheet.write_boolean(0, 3, True)
        sheet.write_rich_string(0, 4, "a ", book.add_format({"bold": True}), "rich", " word")

    assert pieces(read_xlsx(workbook(fill)))[-1] == ("row", "2 | puffin | TRUE | a rich word")


def test_a_merged_cell_is_read_once() -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        rows(["Region", "Country", "Members"], ["", "Kenya", 12], ["", "Uganda", 5])(book, sheet)
        sheet.merge_range(1, 0, 2, 0, "East")

    assert pieces(read_xlsx(workbook(fill)))[1:] == [
        ("row", "Region: East | Country: Kenya | Members: 12"),
        ("row", "Country: Uganda | Members: 5"),
    ]


def test_what_is_hidden_is_left_out_and_noted() -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        rows(["Name", "Room", "Pay"], ["Anna", 12, 9001], ["Ben", 14, 9002])(book, sheet)
        sheet.set_column(2, 2, None, None, {"hidden": True})
        sheet.set_row(2, None, None, {"hidden": True})

    def secret(book: Workbook, sheet: Worksheet) -> None:
        sheet.write(0, 0, "secret")
        sheet.hide()

    content = read_xlsx(workbook(fill, secret))
    assert pieces(content)[1:] == [("row", "Name | Room"), ("row", "Anna | 12")]
    assert content.notes == ("left out 1 hidden column", "left out 1 hidden row", "left out 1 hidden sheet")


def test_what_a_workbook_says_of_itself_and_what_is_not_read_in_it() -> None:
    def fill(book: Workbook, sheet: Worksheet) -> None:
        rows(*TABLE)(book, sheet)
        book.set_properties({"title": "Members", "author": "Anna", "created": datetime(2001, 1, 1)})
        chart = book.add_chart({"type": "column"})
        assert chart is not None
        chart.add_series({"values": "=Sheet1!$B$2:$B$3"})
        sheet.insert_chart("D2", chart)

    content = read_xlsx(workbook(fill))
    assert content.details == {"title": "Members"}
    assert content.notes == ("holds 1 chart, which is not read",)


def test_planted_sentences_are_found_wherever_they_stand() -> None:
    planted = {10: "The lamp is lit at dusk.", 1_000: "The keeper has a dog.", 1_990: "The stairs have 214 steps."}
    data = workbook(rows(["Number", "Text", "Day"], *[(n, planted.get(n, f"entry {n}"), n + 1) for n in range(2_000)]))
    content = read_xlsx(data)
    for number, sentence in planted.items():
        start = content.text.index(sentence)
        block = next(block for block in content.blocks if block.start <= start < block.end)
        assert content.text[block.start : block.end] == f"Number: {number} | Text: {sentence} | Day: {number + 1}"


def sheet_xml(body: str) -> bytes:
    """Return a workbook whose sheet has this XML."""
    xml = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{body}</worksheet>'.encode()
    data = workbook(rows(["x"]))
    return changed(data, lambda name, content: xml if name == "xl/worksheets/sheet1.xml" else content)


def test_a_million_empty_rows_and_a_cell_in_the_last_corner_take_no_space() -> None:
    empty = "".join(f'<row r="{number}" ht="15"/>' for number in range(2, 1_000_000))
    first, last = (f'<row><c r="{name}"><v>{name[-1]}</v></c></row>' for name in ("A1", "XFD1048576"))
    assert pieces(read_xlsx(sheet_xml(f"<sheetData>{first}{empty}{last}</sheetData>"))) == [
        ("h2", "Sheet1"),
        ("row", "1"),
        ("row", "6"),
    ]


def test_a_row_without_end_is_refused() -> None:
    cells = "".join(f"<c><v>{number}</v></c>" for number in range(300_000))
    with pytest.raises(DocumentError, match="too large"):
        read_xlsx(sheet_xml(f"<sheetData><row>{cells}</row></sheetData>"))


@pytest.mark.parametrize(
    "row",
    [
        '<row r="x"><c><v>1</v></c></row>',
        '<row><c t="s"><v>99</v></c></row>',
        "<row><c><v>many</v></c></row>",
        '<row><c s="1"><v>1e308</v></c></row><row><c s="-x"><v>1</v></c></row>',
        "<row><c><v>nan</v></c></row><row><c><v>inf</v></c></row><row r='z'/>",
    ],
)
def test_a_sheet_that_makes_no_sense_is_refused_in_plain_words(row: str) -> None:
    with pytest.raises(DocumentError, match="is a damaged Excel workbook"):
        read_xlsx(sheet_xml(f"<sheetData>{row}</sheetData>"))


def test_what_is_too_long_is_cut_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = workbook(rows(*TABLE), rows(*TABLE))
    monkeypatch.setattr(sheets, "MAX_ROWS", 4)
    content = read_xlsx(data)
    assert [words for _, words in pieces(content)][-1] == "Country | Members"
    assert content.notes == ("is too long: only its first 4 rows are read",)
    monkeypatch.setattr(sheets, "MAX_CHARACTERS", 60)
    assert len(read_xlsx(data).text) < 100
    assert "is too long" in read_xlsx(data).notes[0]


def test_a_long_string_in_every_cell_takes_no_more_space_than_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_CHARACTERS", 10_000)
    content = read_xlsx(workbook(rows(["short"], *[["Puffins breed here. " * 100] * 50] * 20)))
    assert pieces(content) == [("h2", "Sheet1"), ("row", "short")]
    assert "is too long: only its first 1 rows are read" in content.notes


def test_an_empty_workbook_has_no_text() -> None:
    assert read_xlsx(workbook(rows())).blocks == ()


CSV = "Country,Members\nKenya,12\nUganda,5\n"
READ = [("row", "Country: Kenya | Members: 12"), ("row", "Country: Uganda | Members: 5")]


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", "\t").encode(),
        CSV.replace(",", " | ").encode(),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("\n", "\r").encode(),
        b"sep=;\n" + CSV.replace(",", ";").encode(),
        CSV.replace("Kenya", '"Kenya"').encode(),
    ],
)
def test_values_are_told_apart_however_they_were_written(data: bytes) -> None:
    assert pieces(read_csv(data)) == READ


def test_an_old_encoding_is_read() -> None:
    data = "Name;Straße\nJosé;Königsallee 5\nZoë;Bäckergasse 7\nJürgen;Schloßplatz 12\n".encode("cp1252")
    assert pieces(read_csv(data))[0] == ("row", "Name: José | Straße: Königsallee 5")


def test_a_comma_inside_a_number_or_a_quote_does_not_cut() -> None:
    assert pieces(read_csv(b"Ware;Preis\nBrot;1,50\nMilch;0,90\n"))[-1] == ("row", "Ware: Milch | Preis: 0,90")
    assert pieces(read_csv(b'Name,Note\nA,"tea, black"\n"B","say ""no"""\n')) == [
        ("row", "Name: A | Note: tea, black"),
        ("row", 'Name: B | Note: say "no"'),
    ]


def test_a_line_break_inside_quotes_does_not_end_a_row() -> None:
    data = b'Question,Answer\n"When is it\nopen?","From May\n\nto June"\nWhy?,So\n'
    assert pieces(read_csv(data))[0] == ("row", "Question: When is it open? | Answer: From May to June")


def test_ragged_rows_keep_all_their_values() -> None:
    assert pieces(read_csv(b"Name,Room\nAnna,1,extra\nBen\nCleo,,\n,4\n")) == [
        ("row", "Name: Anna | Room: 1 | extra"),
        ("row", "Ben"),
        ("row", "Cleo"),
        ("row", "Room: 4"),
    ]


def test_one_column_is_a_list() -> None:
    assert pieces(read_csv(b"Kenya\nUganda\nKorea, Republic of\n")) == [
        ("row", "Kenya"),
        ("row", "Uganda"),
        ("row", "Korea, Republic of"),
    ]


def test_a_quote_that_is_never_closed_swallows_nothing() -> None:
    data = "Name,Note,Day\n" + 'Anna,"open,1\n' + "".join(f"Ben,n{number},2\n" for number in range(30_000))
    found = pieces(read_csv(data.encode()))
    assert found[0] == ("row", 'Name: Anna | Note: "open | Day: 1')
    assert found[-1] == ("row", "Name: Ben | Note: n29999 | Day: 2") and len(found) == 30_001


cell = st.text(st.sampled_from('abc12,;|"\n\t é'), max_size=6)


@settings(deadline=None)
@given(st.lists(st.lists(cell, min_size=2, max_size=4), max_size=8))
def test_no_value_is_lost_whatever_it_holds(values: list[list[str]]) -> None:
    """The oracle: the letters and digits of what was written."""
    file = StringIO()
    csv.writer(file).writerows(values)
    content = read_csv(file.getvalue().encode())
    pieces(content)
    read = {sign for sign in content.text if sign.isalnum()}
    assert {sign for row in values for text in row for sign in text if sign.isalnum()} <= read


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        pieces(read_csv(data))
    except DocumentError as error:
        assert str(error)


def test_a_damaged_workbook_costs_no_more_than_itself() -> None:
    data = workbook(rows(*TABLE))
    chance = random.Random(2)
    for part in ["xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"] * 15:

        def spoil(name: str, content: bytes, part: str = part) -> bytes:
            spoilt = bytearray(content)
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            return bytes(spoilt) if name == part else content

        try:
            content: Content = read_xlsx(changed(data, spoil))
            pieces(content)
        except DocumentError as error:
            assert str(error)


def test_a_workbook_without_its_parts_is_refused_or_empty() -> None:
    with pytest.raises(DocumentError):
        read_xlsx(archive({"xl/workbook.xml": b"<workbook/>"}))
