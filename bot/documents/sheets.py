"""Spreadsheets and comma-separated files -> rows that are read with their header: "Country: Kenya | Members: 12"."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from xml.etree.ElementTree import Element

from bot.documents.builder import TextBuilder
from bot.documents.canonical import decode, line
from bot.documents.content import Content
from bot.documents.zipped import Package, guarded, relation_id
from bot.types import BlockKind

MAX_ROWS = 200_000  # of all sheets together, empty ones left out
MAX_CHARACTERS = 20_000_000

_FIGURE = re.compile(r"\W*\d|TRUE|FALSE")
_YEAR = re.compile(r"(?:19|20)\d\d")
_MOST_COLUMNS = 16_384
_LAST_DAY = 2_958_466  # after the year 9999
_LETTERS = re.compile("[A-Z]{1,3}")

#: What stands in a number format besides digits: quoted, escaped or a currency sign, else a space or a condition.
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|[_*].|\[(?!h+\]|m+\]|s+\])[^\]]*\]')
_DIGITS = re.compile(r"([#0?][#0?,]*)(?:\.([#0?]*))?")

#: The number formats that have no code in the file (ECMA-376, part 1, 18.8.30).
_CODES = {1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%"}
_CODES |= dict.fromkeys((14, 15, 16, 17, *range(27, 32), *range(34, 37), *range(50, 59)), "y-m-d")
_CODES |= dict.fromkeys((18, 19, 20, 21, 32, 33), "h:mm") | {22: "y-m-d h:mm", 45: "m:s", 46: "[h]:mm:ss", 47: "m:s"}
_CODES |= dict.fromkeys((37, 38), "#,##0") | dict.fromkeys((39, 40), "#,##0.00")

_PURE = re.compile(r"[-+]?[\d.,’ ]*\d%?|\d{4}-\d\d-\d\d")
_TITLES = 5  # rows above a header
_LONGEST_NAME = 80  # characters of a column's name
_LOOKED_AT = 200  # rows, to tell whether the one above them is a header


class Row(NamedTuple):
    """A row of a table: its cells that are not empty, by column, and whether its author marked it as a header."""

    cells: dict[int, str]
    marked: bool = False


def read_table(rows: Iterable[Row], *, headed: bool = False) -> Iterator[tuple[BlockKind, str]]:
    """Yield a table as blocks: what stands above its header as paragraphs, then each row, read with the header.

    A row without a cell ends the table; the next one may go on with the header. Where no row looks like a header,
    cells stand side by side.

    :param headed: whether a first row of names is a header even if the rows below do not look different.
    """
    header: dict[int, str] = {}
    gap = 0
    for blank, group in groupby(rows, lambda row: not row.cells):
        run = list(group)
        if blank:
            gap = len(run)
            continue
        wide = any(len(row.cells) > 1 for row in run)
        top = next((n for n in range(min(_TITLES, len(run))) if _is_header(run, n, headed)), -1)
        if gap > 1 or any(row.cells.keys() - header.keys() for row in run):
            header = {}
        above = wide
        for number, row in enumerate(run):
            above = above and (number < top or len(row.cells) == 1)
            if number == top or (number > top and row.marked and _is_header(run, number, headed)):
                header = row.cells
                filled = {
                    column for row in run[number + 1 :] if not _is_label(row.cells, header) for column in row.cells
                }
                if header.keys() - filled:  # no row will say these names
                    yield "row", " | ".join(name for column, name in header.items() if column not in filled)
            elif above:
                yield "paragraph", " | ".join(row.cells.values())
            elif row.cells != header:
                yield "row", _with_header(row.cells, header)


def _with_header(cells: dict[int, str], header: dict[int, str]) -> str:
    if _is_label(cells, header):
        header = {}
    return " | ".join(
        f"{header[column].rstrip(' :')}: {text}" if column in header else text for column, text in cells.items()
    )


def _is_label(cells: dict[int, str], header: dict[int, str]) -> bool:
    """Whether a row is a heading among the rows: nothing but a first cell."""
    return bool(header) and len(cells) == 1 and min(header) in cells


def _is_header(run: Sequence[Row], number: int, headed: bool) -> bool:
    """Whether a row names the columns below it: it says so, or it is all words where the others differ.

    The second is doubtful with two columns, where each row may be a name and its value ("Monday | closed").
    """
    first, marked = run[number]
    body = [row.cells for row in run[number + 1 : number + 1 + _LOOKED_AT]]
    if len(first) < 2 or not body or (marked and run[number + 1].marked):
        return False
    counts = Counter(column for cells in body for column in cells)
    used = {column for column, count in counts.items() if 2 * count > len(body)}
    names = [name.casefold() for name in first.values()]
    years = [name for name in names if _YEAR.fullmatch(name)]
    words = names if len(years) < 2 else [name for name in names if name not in years]
    if any(len(name) > _LONGEST_NAME or _is_figure(name) or not re.search(r"[^\W\d]", name) for name in words):
        return False
    if marked:
        return True
    corner = {min(counts, default=0)}  # may be empty
    if used - first.keys() - corner or len(set(names)) < len(names) or any(name.endswith(":") for name in names):
        return False
    below = {column: [cells[column] for cells in body if column in cells] for column in first}
    if headed and not any(first[column] in texts for column, texts in below.items()):
        return True
    if len(used | first.keys()) > 2:
        return any(_differs(first[column], texts) for column, texts in below.items())
    return any(len(texts) > 1 and all(map(_PURE.fullmatch, texts)) for texts in below.values())


def _differs(name: str, below: Sequence[str]) -> bool:
    """Whether a column's name is unlike what stands below: words over figures, short over long, or over a few words
    that come back."""
    if not below or name in below:
        return False
    years = sum(bool(_YEAR.fullmatch(text)) for text in below)
    if _YEAR.fullmatch(name):
        return 2 * years < len(below)
    return (
        10 * sum(map(_is_figure, below)) >= 7 * len(below)
        or (len(below) > 1 and min(map(len, below)) > 2 * len(name))
        or (len(below) > 3 and 2 * len(set(below)) <= len(below))
    )


def _is_figure(text: str) -> bool:
    """Whether a cell is a number, a date or an amount: "12", "2024-03-04", "9 am – 5 pm", "€ 4.50"."""
    letters = sum(map(str.isalpha, text))
    return bool(_FIGURE.match(text)) and (text in ("TRUE", "FALSE") or letters <= sum(map(str.isdigit, text)) + 3)


class _Reader:
    """Puts tables together up to a length, and keeps count of what is left out."""

    def __init__(self) -> None:
        self._builder = TextBuilder()
        self._rows = self._cells = self._characters = 0
        self._full = False

    def add(self, rows: Iterable[Row], *, name: str = "", page: int | None = None, headed: bool = False) -> None:
        """Append a table, under its name if it has one and is not empty."""
        for kind, text in read_table(self._limited(rows), headed=headed):
            self._characters += len(text)
            if self._characters > MAX_CHARACTERS:
                self._full = True
                return
            self._builder.add("heading", name, level=2, page=page)
            name = ""
            self._builder.add(kind, text, page=page)

    def content(self, details: dict[str, object], notes: Iterable[str]) -> Content:
        left_out = f"is too long: only its first {self._rows:,} rows are read"
        notes = (*([left_out] if self._full else []), *notes)
        return Content(self._builder.text, self._builder.blocks, details, notes)

    def _limited(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            size = sum(map(len, row.cells.values()))
            if self._full or (row.cells and self._rows == MAX_ROWS) or self._cells + size > MAX_CHARACTERS:
                self._full = True
                return
            self._rows += bool(row.cells)
            self._cells += size + 4 * len(row.cells)  # a short cell takes space as well
            yield row


@guarded("CSV file")
def read_csv(data: bytes) -> Content:
    """Read a file of values between commas, semicolons, tabs or bars, whichever fits."""
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    told = re.match(r"sep=([,;\t|])\n", text)  # as Excel writes it
    lines = text[told.end() if told else 0 :].split("\n")
    rows = _records(lines, told[1] if told else _delimiter(lines[:_LOOKED_AT]))
    reader = _Reader()
    reader.add(map(_row, rows), headed=True)
    return reader.content({}, ())


def _records(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the rows; one whose quotes are not closed is read as it stands, so that it cannot swallow the rest."""
    start = 0
    while start < len(lines):
        rest = (f"{lines[number]}\n" for number in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, skipinitialspace=True, strict=True)
        read = 0
        try:
            for row in reader:
                yield row
                read = reader.line_num
            return
        except csv.Error:
            yield lines[start + read].split(delimiter)
            start += read + 1


def _row(values: Iterable[str]) -> Row:
    return Row({column: text for column, value in enumerate(values) if (text := line(value))})


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that cuts the most rows into the same number of cells, and most rows into some."""
    best, delimiter = 0, "\x1f"  # none: one column
    for sign in "\t;|,":  # a comma may stand inside a number
        widths = [len(row) for row in _records(lines, sign) if row]
        cut = Counter(width for width in widths if width > 1)
        if 2 * cut.total() > len(widths) and max(cut.values()) > best:
            best, delimiter = max(cut.values()), sign
    return delimiter


@guarded("Excel workbook")
def read_xlsx(data: bytes) -> Content:
    """Read a workbook as it is shown when opened: hidden sheets, rows and columns are left out, and noted."""
    package = Package(data, "workbook", "an Excel workbook")
    book = package.tree(package.main)
    sheets = package.relations(package.main)
    formats = _Formats(package, book)
    reader = _Reader()
    hidden: Counter[str] = Counter()
    for page, sheet in enumerate(book.iterfind("sheets/sheet"), start=1):
        kind, part = sheets.get(relation_id(sheet), ("", ""))
        if sheet.get("state", "visible") != "visible":
            hidden["sheet"] += 1
        elif kind == "worksheet" and part:
            marked = {
                int(match[0])
                for table in package.related(part, "table")
                if (root := package.tree(table)).get("headerRowCount") != "0"
                and (match := re.search(r"\d+", root.get("ref", "")))
            }
            rows = _rows(package.elements(part, "col", "row"), formats, marked, hidden)
            reader.add(rows, name=sheet.get("name", ""), page=page)
    notes = [f"left out {count:,} hidden {what}{'s' * (count > 1)}" for what, count in hidden.items()]
    return reader.content(package.details(), (*notes, *package.lost()))


def _rows(elements: Iterable[Element], formats: _Formats, marked: set[int], hidden: Counter[str]) -> Iterator[Row]:
    """Yield the rows of a sheet that hold something, with an empty one for one that does not, and two for more."""
    unseen: set[int] = set()
    last = number = 0
    for element in elements:
        concealed = element.get("hidden") in ("1", "true")
        if element.tag == "col":
            if concealed and int(element.get("max", "0")) < _MOST_COLUMNS:  # else all the rest, which are empty
                columns = range(int(element.get("min", "1")) - 1, int(element.get("max", "0")))
                hidden["column"] += len(set(columns) - unseen)
                unseen.update(columns)
            continue
        number = int(element.get("r", number + 1))
        cells, bold = formats.cells(element, unseen)
        if not cells:
            continue
        if not concealed:
            yield from (Row({}) for _ in range(min(number - last - 1, 2)))
            yield Row(cells, bold or number in marked)
        else:
            hidden["row"] += 1
        last = number


class _Formats:
    """What the cells of a workbook refer to: its strings, its number formats, and the day that it counts from."""

    def __init__(self, package: Package, book: Element) -> None:
        calendar = book.find("workbookPr")
        old = calendar is not None and calendar.get("date1904") in ("1", "true")
        self._epoch = datetime(1904, 1, 1) if old else datetime(1899, 12, 30)
        self._strings = [
            _text(item)
            for part in package.related(package.main, "sharedStrings")
            for item in package.elements(part, "si")
        ]
        self._styles: list[tuple[str, bool]] = []
        for part in package.related(package.main, "styles"):
            styles = package.tree(part)
            codes = {item.get("numFmtId", ""): item.get("formatCode", "") for item in styles.iterfind("numFmts/numFmt")}
            bold = [
                (mark := font.find("b")) is not None and mark.get("val", "1") not in ("0", "false")
                for font in styles.iterfind("fonts/font")
            ]
            for style in styles.iterfind("cellXfs/xf"):
                number, font = style.get("numFmtId", "0"), int(style.get("fontId", "0"))
                code = codes.get(number, "")[:255] or _CODES.get(int(number), "")
                self._styles.append((code, font < len(bold) and bold[font]))

    def cells(self, row: Element, unseen: set[int]) -> tuple[dict[int, str], bool]:
        """Return a row's cells as they are shown, and whether all of them are bold."""
        cells: dict[int, str] = {}
        all_bold = True
        column = -1
        size = 0
        for element in row.iterfind("c"):
            name = _LETTERS.match(element.get("r", ""))
            column = _column(name[0]) if name else column + 1
            style = int(element.get("s", "0"))
            code, bold = self._styles[style] if style < len(self._styles) else ("", False)
            text = "" if column in unseen else line(self._shown(element, code))
            if text:
                cells[column] = text
                all_bold = all_bold and bold
                size += len(text)
                if size > MAX_CHARACTERS:  # one long string may stand in every cell
                    break
        return cells, all_bold

    def _shown(self, cell: Element, code: str) -> str:
        kind, value = cell.get("t", "n"), cell.findtext("v") or ""
        match kind:
            case "s":
                return self._strings[int(value)] if value else ""
            case "inlineStr":
                inline = cell.find("is")
                return "" if inline is None else _text(inline)
            case "b":
                return "TRUE" if value == "1" else "FALSE"
            case "n" if value:
                return shown_number(float(value), code, self._epoch)
            case "d":
                return value.replace("T00:00:00", "").replace("T", " ")
            case _:
                return "" if kind == "e" else value


def _text(item: Element) -> str:
    """Return a string of a workbook without its phonetic guides."""
    return "".join(part.text or "" for path in ("t", "r/t") for part in item.iterfind(path))


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1


def shown_number(number: float, code: str, epoch: datetime) -> str:
    """Return a number as a cell with this format code shows it, a date or time as in ISO 8601."""
    code = code.split(";")[0]
    bare = _LITERAL.sub(lambda literal: "\0" * len(literal[0]), code)
    if re.search("[ymdhs]", bare, re.IGNORECASE) and 0 <= number < _LAST_DAY:
        return _shown_moment(number, bare.lower(), epoch)
    digits = _DIGITS.search(bare)
    if digits is None or not math.isfinite(number) or re.search("[eE/]|,[^#0?]|,$", bare):
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.15g}"
    before, after = (_LITERAL.sub(r"\1\2\3", side) for side in (code[: digits.start()], code[digits.end() :]))
    whole, fixed = digits[1], digits[2] or ""
    width = whole.count("0") + len(fixed) + bool(fixed) if "," not in whole else 0
    number, sign = abs(number) * (100 if "%" in after else 1), "-" if number < 0 else ""
    text = f"{number:0{width}{',' if ',' in whole else ''}.{len(fixed)}f}"
    if fixed.endswith(("#", "?")):
        text = text.rstrip("0").rstrip(".")
    return f"{sign}{before}{text}{after}"


def _shown_moment(number: float, code: str, epoch: datetime) -> str:
    if "[" in code:  # hours that have passed
        minutes = round(number * 24 * 60)
        return f"{minutes // 60}:{minutes % 60:02}"
    moment = epoch + timedelta(seconds=round(number * 24 * 60 * 60))
    time = moment.strftime("%H:%M:%S" if "s" in code else "%H:%M") if re.search("[hs]", code) else ""
    return f"{moment:%Y-%m-%d} {time}".strip() if re.search("[yd]", code) or not time else time
