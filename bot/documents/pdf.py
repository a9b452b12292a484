"""PDF -> text in reading order, and its blocks.

A PDF says where letters stand and nothing else, so all structure is told by its looks: lines by their baselines,
columns by the gutter between them, paragraphs by where lines end, headings by their type, headers and footers by
coming back at the edge of page after page.

    page -> pieces (words in a row without a wide gap) -> regions (columns) -> lines and rows -> parts -> blocks
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ctypes import byref, c_double, c_int, c_ushort, create_string_buffer
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as c

from bot.documents.builder import TextBuilder
from bot.documents.canonical import line as one_line
from bot.documents.content import Content
from bot.errors import DocumentError

MAX_PAGES = 5_000
MAX_CHARACTERS = 20_000_000
MAX_PAGE_CHARACTERS = 200_000
_MAX_PAGE_PIECES = 5_000  # a page with more is taken as it comes: the search for columns compares them all

_WORD = re.compile(r"[^\s\0\x02\xad\ufffe]{1,1000}[\x02\xad\ufffe]?|[\x02\xad\ufffe]")
_VISIBLE_HYPHENS = str.maketrans(dict.fromkeys("\x02\xad\u2010\ufffe", "-"))  # a soft hyphen is drawn, or not there
_BOLD = re.compile(rb"(?i)bold|black|heavy|demi")  # in the name of a font
_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_BULLET = re.compile("[•‣◦▪●○■□➢➤✓·\ue000-\uf8ff]\\s*(?=\\S)|[–—*-]\\s+(?=\\S)")
_NUMBER = re.compile(r"(?:\d{1,3}[.)]|\(?[a-z][.)]|[A-Z]\)|\((?:\d{1,3}|[ivx]{1,5})\)|[ivx]{1,5}\))\s+(?=\S)")
_LEADERS = re.compile(r"\s*(?:[.…·]\s?){4,}\s*(?=\S{1,6}$)")  # the dots of a table of contents
_SENTENCE_END = re.compile(r"[.!?:;…][\"”’»)\]]*$")
_SECTION = re.compile(r"(?:\d+|[A-Z])(?:\.\d+)*\.?(?!\S)")  # the number of a chapter or section
_BROKEN_WORD = re.compile(r"([\w-]*[^\W\d_])-$")
_NOT_A_TITLE = re.compile(
    r"(?i)^microsoft \w+ - |^(untitled|title|document|powerpoint presentation|about:blank)\W*\d*$"
    r"|^\w+://|\.(docx?|odt|pdf|pptx?|xlsx?|indd|tex|dvi|rtf|html?|qxp|pmd)$"
)
#: Before these, a hyphen at the end of a line stands for a part of a word that comes later: "in- and outside".
_SUSPENDING = frozenset("and or und oder bzw sowie et ou y o e en of to".split())
#: After these, a hyphen nearly always belongs to the word.
_HYPHENATED = frozenset("self well non cross ex all half high low long short one two three".split())


@dataclass(slots=True)
class _Piece:
    """Words that stand in a row without a wide gap; later a whole line. Lengths in points, ``base`` grows upwards."""

    text: str
    left: float
    right: float
    base: float
    size: float  # of the type
    bold: bool
    first_word: float  # its width
    order: int = 0  # in the file
    votes: int = 0  # by how many letters its size and baseline are those of the most
    cells: int = 1  # of a row of a table

    def beside(self, other: _Piece) -> bool:
        return abs(self.base - other.base) < 0.5 * min(self.size, other.size)

    def reaches(self, word: _Piece, spaced: bool) -> bool:
        """Whether a word goes on where this ends, raised or lowered a little at most, or after a large initial.

        A gap without a space in it (which is not ``spaced``) is more likely one between the cells of a table.
        """
        if len(self.text) > 5_000:
            return False  # a hostile file: what looks at lines takes longer and longer
        gap = max(word.left - self.right, self.left - word.right)
        rise = word.base - self.base
        small, large = sorted((self.size, word.size))
        if len(self.text) == 1 and self.text.isupper() and self.size > 1.8 * word.size:
            return -0.2 * small < gap < small and -small <= rise <= large
        return abs(rise) < 0.5 * large and -large < gap < (1.5 if spaced else 1.1) * small + 0.05 * large

    def add(self, word: _Piece, space: str) -> None:
        """Append a word. Size and baseline are those of most letters (the majority vote of Boyer and Moore)."""
        self.votes += len(word.text) if abs(word.size - self.size) < 0.1 else -len(word.text)
        if self.votes < 0:
            self.votes, self.size, self.base = -self.votes, word.size, word.base
        self.text += space + word.text
        self.left, self.right = min(self.left, word.left), max(self.right, word.right)
        self.bold &= word.bold

    def above(self, other: _Piece) -> bool:
        """Whether one is over the other, at whatever distance."""
        return min(self.right, other.right) > max(self.left, other.left)


@dataclass(slots=True)
class _Sheet:
    """The pieces of one page; those that are turned by the same quarter of a circle form one of ``layers``."""

    number: int
    layers: dict[int, list[_Piece]] = field(default_factory=dict)
    extents: dict[int, tuple[float, float]] = field(default_factory=dict)  # bottom and top of the page, by turn


@dataclass(slots=True)
class _Part:
    """Lines that belong together: a heading, a paragraph, an item or a row."""

    page: int  # where it begins
    lines: list[_Piece]
    edge: float  # where the lines of its column end
    alone: bool  # too few lines around it to tell that edge
    mark: str = ""  # the bullet or number before an item, as it stands
    text: str = ""

    @property
    def size(self) -> float:
        return self.lines[0].size

    @property
    def row(self) -> bool:
        return self.lines[0].cells > 1


def read_pdf(data: bytes) -> Content:
    """Read a PDF; nothing in it is run or followed. Text that is drawn invisibly (over a scan) is read.

    :raises DocumentError: if it is protected by a password or no PDF at all.
    """
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        protected = getattr(error, "err_code", None) in (c.FPDF_ERR_PASSWORD, c.FPDF_ERR_SECURITY)
        raise DocumentError("is protected by a password" if protected else "is not a PDF that can be read") from error
    try:
        sheets, notes = _sheets(document)
        details = _details(document)
        outline = _outline(document)
    finally:
        document.close()
    body = _body_size(sheets)
    _drop_furniture(sheets, body)
    parts = _joined(_parts(sheets, body), body)
    words = _vocabulary(parts)
    for part in parts:
        part.text = _mended(part.lines, words)[len(part.mark) :].strip()
    levels = _levels(parts, body, outline)

    builder = TextBuilder()
    for part, level in zip(parts, levels, strict=True):
        if level:
            builder.add("heading", part.mark + part.text, level=level, page=part.page)
        elif part.row:
            builder.add("row", part.text, page=part.page)
        elif part.mark:
            mark = "•" if _BULLET.match(part.mark + "x") else part.mark.strip()
            builder.add("item", part.text, mark=f"{mark} ", page=part.page)
        else:
            builder.add("paragraph", part.text, page=part.page)
    heads = [(level, -part.size, part.text) for part, level in zip(parts, levels, strict=True) if part.page == 1]
    largest = min((head for head in heads if head[0]), default=None)
    if largest:
        details.setdefault("title", largest[2])
    return Content(builder.text, builder.blocks, details, tuple(notes))


# ------------------------------------------------------------------------------------------------ what the file holds


def _sheets(document: pdfium.PdfDocument) -> tuple[list[_Sheet], list[str]]:
    sheets: list[_Sheet] = []
    bare, failed, cut, odd = [], [], [], []
    budget = MAX_CHARACTERS
    count = len(document)
    for number in range(1, min(count, MAX_PAGES) + 1):
        if budget <= 0:
            break
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            failed.append(number)
            continue
        try:
            text = page.get_textpage()
            try:
                total = text.count_chars()
                kept = min(total, MAX_PAGE_CHARACTERS, budget)
                get = c.FPDFText_GetUnicode
                raw = "".join([chr(get(text.raw, index)) for index in range(kept)])
                sheet = _Sheet(number, _pieces(text.raw, raw))
                left, bottom, right, top = page.get_mediabox()
                for turn in sheet.layers:
                    sheet.extents[turn] = ((bottom, top), (-right, -left), (-top, -bottom), (left, right))[turn]
            finally:
                text.close()
        except pdfium.PdfiumError:
            failed.append(number)
            continue
        finally:
            page.close()
        budget -= kept
        sheets.append(sheet)
        if kept < total:
            cut.append(number)
        if not sheet.layers:
            bare.append(number)
        elif 20 * len(re.findall("[\0\ufffd\ue000-\uf8ff]", raw)) > kept:
            odd.append(number)
    if failed and not sheets:
        raise DocumentError("is not a PDF that can be read")
    left_out = range(len(sheets) + len(failed) + 1, count + 1)
    notes = [
        _note(bare, "holds no text (an image?)", "hold no text (images?)"),
        _note(failed, "could not be read", "could not be read"),
        _note(odd, "holds letters that its fonts do not name", "hold letters that their fonts do not name"),
        _note(cut, "is too long and was cut", "are too long and were cut"),
        f"pages {left_out[0]}-{count} were left out: the document is too long" if left_out else "",
        "holds a form; what is filled in was not read" if document.get_formtype() != c.FORMTYPE_NONE else "",
    ]
    return sheets, [note for note in notes if note]


def _note(pages: Sequence[int], one: str, many: str) -> str:
    """Say what is wrong with pages, with their runs drawn together: pages 3, 5-9 ..."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and runs[-1][-1] == page - 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    places = ", ".join("-".join(map(str, run)) for run in runs[:20]) + (", ..." if len(runs) > 20 else "")
    return f"page {places} {one}" if len(pages) == 1 else f"pages {places} {many}" if pages else ""


def _pieces(page: object, raw: str) -> dict[int, list[_Piece]]:
    """Put the words of a page together as far as they stand in a row, in the order of the file.

    PDFium makes letters of ligatures. It is asked about the first and last letter of each word alone: asking about
    every one takes seconds.
    """
    layers: dict[int, list[_Piece]] = defaultdict(list)
    first, last, matrix, flags = c.FS_RECTF(), c.FS_RECTF(), c.FS_MATRIX(), c_int()
    x, y, font = c_double(), c_double(), create_string_buffer(128)
    to_first, to_last, to_matrix, to_flags, to_x, to_y = map(byref, (first, last, matrix, flags, x, y))
    end = 0
    for order, word in enumerate(_WORD.finditer(raw)):
        start = word.start()
        if not (
            c.FPDFText_GetLooseCharBox(page, start, to_first)
            and c.FPDFText_GetLooseCharBox(page, word.end() - 1, to_last)
            and c.FPDFText_GetCharOrigin(page, start, to_x, to_y)
            and c.FPDFText_GetMatrix(page, start, to_matrix)
        ):
            continue
        c.FPDFText_GetFontInfo(page, start, font, 128, to_flags)
        bold = _BOLD.search(font.value) is not None
        size = _tame(c.FPDFText_GetFontSize(page, start) * math.hypot(matrix.c, matrix.d)) or 1.0
        turn = round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) % 4
        edges = (
            (first.bottom, first.top, last.bottom, last.top)
            if turn % 2
            else (first.left, first.right, last.left, last.right)
        )
        left, right = (min(edges), max(edges)) if turn < 2 else (-max(edges), -min(edges))
        base = (y.value, -x.value, -y.value, x.value)[turn]
        text = word[0]
        if turn == 0 and first.left < last.left and _FROM_RIGHT.match(text):
            text = text[::-1]  # PDFium leaves some words of Arabic and Hebrew as they are drawn, from left to right
        piece = _Piece(text, _tame(left), _tame(right), _tame(base), size, bold, right - left, order, len(text))
        layer = layers[turn]
        spaced = start > end and not c.FPDFText_IsGenerated(page, start - 1)
        if layer and layer[-1].reaches(piece, spaced):
            layer[-1].add(piece, " " if start > end else "")
        else:
            layer.append(piece)
        end = word.end()
    shown: dict[int, list[_Piece]] = {}
    for turn, layer in layers.items():
        for piece in layer:
            piece.text = piece.text.translate(_VISIBLE_HYPHENS)
            if one_line(piece.text):
                shown.setdefault(turn, []).append(piece)
    return shown


def _tame(length: float) -> float:
    """A damaged file may say infinity, or no number at all."""
    return length if -1e5 < length < 1e5 else 0.0


def _details(document: pdfium.PdfDocument) -> dict[str, object]:
    """What the file says of itself. Its dates are those of the file, not of what it says, and are left alone."""
    details: dict[str, object] = {}
    title = ""
    with suppress(UnicodeError):
        title = one_line(document.get_metadata_value("Title"))[:300]
    if len(title) > 2 and any(map(str.isalpha, title)) and not _NOT_A_TITLE.search(title):
        details["title"] = title
    length = c.FPDFCatalog_GetLanguage(document, None, 0)
    if 2 < length <= 72:
        buffer = (c_ushort * (length // 2))()
        c.FPDFCatalog_GetLanguage(document, buffer, length)
        language = "".join(map(chr, buffer)).strip("\0 ")
        if re.fullmatch(r"[A-Za-z]{2,3}(-\w{2,8})*", language):
            details["language"] = language
    return details


def _outline(document: pdfium.PdfDocument) -> set[tuple[int, str]]:
    """The pages and bare letters of the bookmarks: a line that says the same is a heading, whatever its type."""
    marks: set[tuple[int, str]] = set()
    with suppress(pdfium.PdfiumError, UnicodeError):
        for mark in islice(document.get_toc(), MAX_PAGES):
            target = mark.get_dest()
            page = None if target is None else target.get_index()
            if page is not None:
                marks.add((page + 1, _letters(mark.get_title())))
    return marks


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))


# ------------------------------------------------------------------------------------------------- what the page shows


def _body_size(sheets: Iterable[_Sheet]) -> float:
    """The size of type that most letters have."""
    sizes: Counter[float] = Counter()
    for sheet in sheets:
        for piece in _all(sheet):
            sizes[round(piece.size * 2) / 2] += len(piece.text)
    return sizes.most_common(1)[0][0] if sizes else 1.0


def _all(sheet: _Sheet) -> Iterator[_Piece]:
    for layer in sheet.layers.values():
        yield from layer


def _drop_furniture(sheets: Sequence[_Sheet], body: float) -> None:
    """Leave out running headers, footers and page numbers: what stands apart at an edge, and comes back there.

    What comes back are the same words, or a number that grows with the pages at one height, with nothing else beside
    it but words that come back too. A large line is kept once, for it may be a title. Where half of the pages would
    be bare, nothing is left out.
    """
    gaps = sorted(
        (b.base - a.base) / a.size
        for sheet in sheets
        for layer in sheet.layers.values()
        for a, b in pairwise(sorted(layer, key=lambda piece: piece.base))
        if abs(a.size - body) < 0.5 and 0.9 * a.size < b.base - a.base < 6 * a.size
    )
    apart = max(1.7, 1.3 * gaps[len(gaps) * 3 // 10]) if gaps else 1.7
    words: dict[tuple[bool, int, str], list[_EdgeLine]] = defaultdict(list)
    slots: dict[tuple[bool, int, int], list[_EdgeLine]] = defaultdict(list)
    for sheet in sheets:
        for turn, layer in sheet.layers.items():
            for top in (True, False):
                for pieces in _edge(layer, sheet.extents[turn], top, apart):
                    line = _EdgeLine(sheet.number, pieces)
                    size = round(pieces[0].size)
                    words[top, size, line.text if line.letters else line.bare].append(line)
                    if size <= 1.15 * body:
                        slots[top, size, round(pieces[0].base / 3)].append(line)
    dropped: set[int] = set()
    for (_, size, _), lines in words.items():
        large = size > 1.15 * body
        if _comes_back(lines, len(sheets), 0.6 if large else 0):
            dropped.update(id(piece) for line in lines[large:] for piece in line.pieces)
    for lines in slots.values():
        ahead = Counter(number - line.page for line in lines for number in set(line.numbers)).most_common(1)
        bare = Counter(line.bare for line in lines)
        lines = [line for line in lines if ahead and line.page + ahead[0][0] in line.numbers]
        if _comes_back(lines, len(sheets), 0):
            known = [line for line in lines if not line.letters or bare[line.bare] > 1]
            lines = lines if 2 * len(known) > len(lines) else known  # a chapter may have a single page
            dropped.update(id(piece) for line in lines for piece in line.pieces)
    left = [
        {turn: [piece for piece in layer if id(piece) not in dropped] for turn, layer in sheet.layers.items()}
        for sheet in sheets
    ]
    if 2 * sum(any(layers.values()) for layers in left) > sum(bool(sheet.layers) for sheet in sheets):
        for sheet, layers in zip(sheets, left, strict=True):
            sheet.layers = layers


class _EdgeLine:
    """A line that may be a header or a footer."""

    def __init__(self, page: int, pieces: list[_Piece]) -> None:
        self.page = page
        self.pieces = pieces
        self.text = " ".join(piece.text for piece in sorted(pieces, key=lambda piece: piece.left)).casefold()
        self.numbers = [int(number[:9]) for number in re.findall(r"[0-9]+", self.text)]
        self.bare = re.sub(r"\b[ivxlc]{1,7}\b|[0-9]+", "", self.text)
        self.letters = _letters(self.bare)


def _comes_back(lines: Sequence[_EdgeLine], count: int, share: float) -> bool:
    """Whether lines stand on enough of the pages: four, or all of fewer, and not here and there over many."""
    pages = {line.page for line in lines}
    enough = max(2, min(4, count), share * count)
    return len(pages) >= enough and len(pages) >= 0.4 * (max(pages) - min(pages) + 1)


def _edge(layer: Iterable[_Piece], extent: tuple[float, float], top: bool, apart: float) -> list[list[_Piece]]:
    """The lines at the top or bottom of a page, one or two at a time, that are wider ``apart`` than lines usually are.

    That width counts the size of their type.
    """
    low, high = extent
    found: list[list[_Piece]] = []
    group: list[list[_Piece]] = []
    for piece in sorted(layer, key=lambda piece: -piece.base if top else piece.base):
        if group and piece.beside(group[-1][0]):
            group[-1].append(piece)
            continue
        if group and abs(piece.base - group[-1][0].base) > apart * min(piece.size, group[-1][0].size):
            found += group
            group = []
        if len(group) > 1 or len(found) > 3 or (high - piece.base if top else piece.base - low) > 0.15 * (high - low):
            return found
        group.append([piece])
    return found + group


def _regions(pieces: list[_Piece], depth: int = 0) -> list[list[_Piece]]:
    """Cut a page into the stretches that are read one after the other: columns, and what runs across them."""
    x = _gutter(pieces) if depth < 4 and 6 <= len(pieces) <= _MAX_PAGE_PIECES else None
    if x is None:
        return [pieces] if pieces else []
    regions: list[list[_Piece]] = [[]]
    for left, right, crossing in _bands(pieces, x):
        while left and right and left[0].base > right[0].base + left[0].size and _goes_under(regions[-1], left[0]):
            regions[-1].append(left.pop(0))  # the end of a paragraph above the columns
        if _overlap(left, right):
            regions += [*_regions(left, depth + 1), *_regions(right, depth + 1), crossing]
        else:
            regions[-1] += left + right + crossing
    return [region for region in regions if region]


def _goes_under(region: Sequence[_Piece], piece: _Piece) -> bool:
    return bool(region) and 0 < region[-1].base - piece.base < 1.7 * piece.size


def _bands(pieces: Iterable[_Piece], x: float) -> Iterator[tuple[list[_Piece], list[_Piece], list[_Piece]]]:
    """Cut columns across: below each piece that runs across them, and where the file goes back to the left one.

    Yields what is left and right of the gutter, from top to bottom, and the piece below them.
    """
    falling = sorted(pieces, key=lambda piece: (-piece.base, piece.left))
    across = [-piece.base for piece in falling if not _side(piece, x)]
    bands: dict[int, list[_Piece]] = defaultdict(list)
    for piece in falling:
        bands[bisect_left(across, -piece.base)].append(piece)
    for _, band in sorted(bands.items()):
        crossing = [piece for piece in band if not _side(piece, x)]
        beside = sorted((piece for piece in band if _side(piece, x)), key=lambda piece: piece.order)
        cuts = [0]
        lowest = math.inf
        for number, (before, piece) in enumerate(pairwise(beside), 1):
            lowest = min(lowest, before.base)
            if _side(before, x) > 0 > _side(piece, x) and piece.base < lowest - 0.5 * piece.size:
                cuts.append(number)
        if 8 * len(cuts) > len(beside):  # the file takes turns line by line
            cuts = [0]
        for start, end in pairwise([*cuts, len(beside)]):
            part = sorted(beside[start:end], key=lambda piece: (-piece.base, piece.left))
            left, right = ([piece for piece in part if _side(piece, x) == side] for side in (-1, 1))
            yield left, right, crossing if end == len(beside) else []


def _side(piece: _Piece, x: float) -> int:
    """-1 for a piece to the left of a gutter that ends at ``x``, 1 to the right, 0 across it."""
    return 1 if piece.left > x - 4 else -1 if piece.right < x + 2 else 0


def _overlap(left: Sequence[_Piece], right: Sequence[_Piece]) -> bool:
    """Whether two sets of pieces stand side by side for most of the shorter one's height, two lines at least."""
    if min(len(left), len(right)) < 2:
        return False
    spans = [(min(piece.base for piece in side), max(piece.base for piece in side)) for side in (left, right)]
    shared = min(top for _, top in spans) - max(end for end, _ in spans)
    return shared > 0.5 * min(top - end for end, top in spans)


def _gutter(pieces: Sequence[_Piece]) -> float | None:
    """Find where the right one of two columns begins, if there are columns.

    Columns are written one after the other in the file, a table row by row. Where neighbours take turns line by line
    all the same, as under a scan, they are columns if both are full of long lines.
    """
    starts: Counter[int] = Counter()
    for piece in pieces:
        starts[round(piece.left / 4)] += len(piece.text)
    best, chosen = 0, None
    for start, _ in starts.most_common(8):
        x = 4.0 * start
        sides = [(_side(piece, x), piece) for piece in sorted(pieces, key=lambda piece: piece.order)]
        left, right = ([piece for side, piece in sides if side == wanted] for wanted in (-1, 1))
        fewer = min(len(left), len(right))
        sizes = [sum(len(piece.text) for piece in half) for half in (left, right)]
        if fewer < 4 or sum(sizes) < 0.4 * sum(len(piece.text) for piece in pieces) or not _overlap(left, right):
            continue
        turns = sum(a != b for a, b in pairwise(side for side, _ in sides if side))
        bands = 1 + sum(b == 0 != a for (a, _), (b, _) in pairwise(sides))
        length = min(median(len(piece.text) for piece in half) for half in (left, right))
        apart = turns <= max(2 * bands, fewer / 4) and length >= 8
        woven = fewer >= 10 and turns >= 1.5 * fewer and length >= 25 and _full(left) and _full(right)
        if (apart or woven) and min(sizes) > best:
            best, chosen = min(sizes), x
    return chosen


def _full(column: Sequence[_Piece]) -> bool:
    """Whether most lines fill a column, as those of a paragraph do and those of a table do not."""
    edge, start = max(piece.right for piece in column), min(piece.left for piece in column)
    return sum(piece.right > edge - 0.15 * (edge - start) for piece in column) > 0.6 * len(column)


def _lines(region: Sequence[_Piece], body: float) -> list[_Piece]:
    """Put a region's pieces in the order of reading; those side by side become the cells of a row.

    A cell may have several lines: pieces that follow each other in the file, one below the other.
    """
    if len(region) > _MAX_PAGE_PIECES:
        return sorted(region, key=lambda piece: (-piece.base, piece.left))
    falling = sorted(_unjustified(region), key=lambda piece: (-piece.base, piece.left))
    near: dict[int, list[_Piece]] = defaultdict(list)
    for number, piece in enumerate(falling):
        for other in falling[number + 1 : number + 40]:
            if not piece.beside(other):
                break
            near[id(piece)].append(other)
            near[id(other)].append(piece)
    stacks: list[list[_Piece]] = []
    for piece in sorted(falling, key=lambda piece: piece.order):
        last = stacks[-1][-1] if stacks else None
        if (
            last is not None
            and 0 < last.base - piece.base <= 1.7 * min(last.size, piece.size)
            and last.above(piece)
            and not any(map(piece.above, near[id(last)]))
            and not any(map(last.above, near[id(piece)]))
        ):
            stacks[-1].append(piece)
        else:
            stacks.append([piece])
    stacks.sort(key=lambda stack: (-stack[0].base, stack[0].left))
    lines: list[_Piece] = []
    strip: list[list[_Piece]] = []
    bottom = math.inf
    for stack in stacks:
        if strip and stack[0].base + 0.4 * stack[0].size <= bottom:
            lines += _strip(strip, body)
            strip, bottom = [], math.inf
        strip.append(stack)
        bottom = min(bottom, stack[-1].base)
    return lines + _strip(strip, body)


def _unjustified(region: Iterable[_Piece]) -> list[_Piece]:
    """Close the wide gaps in a line that was stretched to the width of the line above or below it."""
    levels: list[list[_Piece]] = []
    for piece in sorted(region, key=lambda piece: (-piece.base, piece.left)):
        if levels and piece.beside(levels[-1][0]):
            levels[-1].append(piece)
        else:
            levels.append([piece])
    lines: list[_Piece] = []
    for number, level in enumerate(levels):
        around = [other[0] for other in levels[max(0, number - 1) : number + 2] if len(other) == 1]
        gaps = [b.left - a.right for a, b in pairwise(level)]
        if (
            len(level) > 2
            and max(gaps) < 1.5 * min(gaps)
            and any(
                abs(line.right - level[-1].right) < 2
                and abs(line.left - level[0].left) < 2 * line.size
                and abs(line.base - level[0].base) < 2 * line.size
                for line in around
            )
        ):
            level = [replace(_row([[piece] for piece in level], " "), cells=1)]
        lines += level
    return lines


def _strip(stacks: list[list[_Piece]], body: float) -> list[_Piece]:
    """The lines of stacks that stand side by side: one row, or several, or one stack after the other."""
    if len(stacks) == 1:
        return [
            replace(piece, text=_LEADERS.sub(" | ", piece.text), cells=2) if _has_leaders(piece.text) else piece
            for piece in stacks[0]
        ]
    stacks = sorted(stacks, key=lambda stack: min(piece.left for piece in stack))
    counts = [len(stack) for stack in stacks]
    if len(stacks) == 2 and counts[0] == 1:
        mark, (first, *rest) = stacks[0][0], stacks[1]
        heading = (mark.bold or mark.size > 1.1 * body) and _SECTION.fullmatch(mark.text)
        if heading or _mark(mark.text + " x"):
            return [replace(_row([[mark], [first]], " "), cells=1), *rest]
    apart = all(max(p.right for p in a) <= min(p.left for p in b) + 1 for a, b in pairwise(stacks))
    aligned = len(set(counts)) == 1 and all(p.beside(ps[0]) for ps in zip(*stacks, strict=True) for p in ps)
    if apart and max(counts) <= 12 and not (aligned and counts[0] > 3):
        return [_row(stacks)]
    if not aligned and median(counts) > 1:
        return [piece for stack in sorted(stacks, key=lambda stack: -stack[0].base) for piece in stack]
    rows: list[list[_Piece]] = []
    for piece in sorted((piece for stack in stacks for piece in stack), key=lambda piece: -piece.base):
        if rows and piece.beside(rows[-1][0]):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [_row([[piece] for piece in sorted(row, key=lambda piece: piece.left)]) for row in rows]


def _row(stacks: Sequence[Sequence[_Piece]], between: str = " | ") -> _Piece:
    pieces = [piece for stack in stacks for piece in stack]
    cells = (re.sub(r"\s*(?:[.…·]\s?){4,}", "", _mended(stack, frozenset())) for stack in stacks)
    return replace(
        pieces[0],
        text=between.join(filter(None, cells)),
        right=max(piece.right for piece in pieces),
        size=max(pieces, key=lambda piece: len(piece.text)).size,
        bold=all(piece.bold for piece in pieces),
        cells=len(stacks),
    )


def _has_leaders(text: str) -> bool:
    return len(text) < 500 and _LEADERS.search(text) is not None


def _mark(text: str) -> str:
    """The bullet or number that a line begins with, with the space after it."""
    found = _BULLET.match(text) or _NUMBER.match(text)
    return found[0] if found else ""


def _parts(sheets: Iterable[_Sheet], body: float) -> Iterator[_Part]:
    """Cut the lines of every region where a gap, another type, an indent or a short line says so."""
    regions = [
        (sheet.number, _lines(region, body))
        for sheet in sheets
        for layer in sorted(sheet.layers.values(), key=len, reverse=True)
        for region in _regions(layer)
    ]
    pitches = sorted(
        (a.base - b.base) / a.size
        for _, lines in regions
        for a, b in pairwise(lines)
        if abs(a.size - body) < 0.5 and 0.9 < (a.base - b.base) / a.size < 2.6
    )
    pitch = 1.2 * (pitches[len(pitches) * 3 // 10] if pitches else 1.3)
    for page, lines in regions:
        chunk: list[_Piece] = []
        for line in [*lines, None]:
            if chunk and (line is None or not _close(chunk[-1], line, pitch, body)):
                edge = max(other.right for other in lines if abs(other.size - chunk[0].size) < 0.5)
                for run in _paragraphs(chunk, edge, body):
                    yield _Part(page, run, edge, len(lines) < 3, _mark(run[0].text) if run[0].cells == 1 else "")
                chunk = []
            if line is not None:
                chunk.append(line)


def _close(a: _Piece, b: _Piece, pitch: float, body: float) -> bool:
    """Whether two lines may be of one paragraph, by their type and the gap between them."""
    large = max(a.size, b.size) > 1.1 * body
    most = max(pitch, 1.5) if large else pitch
    alike = abs(a.size - b.size) < (0.06 if large else 0.11) * a.size
    return a.cells == b.cells == 1 and alike and 0 < a.base - b.base <= most * a.size


def _paragraphs(chunk: Sequence[_Piece], edge: float, body: float) -> Iterator[list[_Piece]]:
    """Cut lines that stand close together, in a column that ends at ``edge``."""
    end = max(line.right for line in chunk)
    narrow = end < edge - 0.3 * (edge - min(line.left for line in chunk))
    start = min(line.left for line in chunk)
    indents = sum(line.left > start + 0.7 * line.size for line in chunk)
    hanging = 2 * indents > len(chunk) and not any(_mark(line.text) for line in chunk)
    run: list[_Piece] = []
    for line in chunk:
        outdented = narrow and run and line.left < run[-1].left - 0.7 * line.size and line.size < 1.1 * body
        if run and (outdented or not _goes_on(run, line, end, start if hanging else None, body)):
            yield run
            run = []
        run.append(line)
    yield run


def _goes_on(run: Sequence[_Piece], line: _Piece, edge: float, hanging: float | None, body: float) -> bool:
    """Whether a line belongs to the paragraph above it. ``hanging`` is where the first lines begin, if outdented."""
    last, size = run[-1], line.size
    full = _is_full(last, line, edge)
    listed = bool(_mark(run[0].text))
    if _BULLET.match(line.text) or (_NUMBER.match(line.text) and (listed or not full or _ends(last.text))):
        return False
    if all(piece.bold for piece in run) != line.bold and (not line.bold or not full):
        return False
    if size > 1.1 * body:
        return last.right - last.left > 0.6 * (line.right - line.left) and not _SECTION.match(line.text)
    if not full:
        return False
    if listed:
        return line.left > run[0].left - 0.5 * size
    if hanging is not None:
        return line.left > hanging + 0.7 * size
    return line.left < last.left + 0.7 * size


def _is_full(line: _Piece, following: _Piece, edge: float) -> bool:
    """Whether a line was broken for want of room: the next one's first word would not have fitted."""
    return line.text.endswith("-") or line.right + 0.25 * line.size + following.first_word > edge - 0.3 * line.size


def _ends(text: str) -> bool:
    return bool(_SENTENCE_END.search(text))


def _joined(parts: Iterable[_Part], body: float) -> list[_Part]:
    """Join the paragraphs that run over the end of a column or page; notes at its foot may stand between."""
    joined: list[_Part] = []
    last: _Part | None = None  # the part in the body's type that came last
    for part in parts:
        plain = not part.row and abs(part.size - body) < 0.06 * body
        if (
            plain
            and last is not None
            and not part.mark
            and not last.row
            and last.lines[-1].bold == part.lines[0].bold
            and (part.page > last.page or part.lines[0].base > last.lines[-1].base)
            and not _ends(last.lines[-1].text)
            and _is_full(last.lines[-1], part.lines[0], last.edge)
            and (part.lines[0].text[0].islower() or not (last.alone or part.alone))
        ):
            last.lines += part.lines
            last.edge, last.alone = part.edge, part.alone
            continue
        joined.append(part)
        if plain or part.size > body:
            last = part if plain else None
    return joined


def _vocabulary(parts: Iterable[_Part]) -> frozenset[str]:
    """The words that stand within lines: they tell which of those broken at a line's end have a hyphen."""
    broken = any(line.text.endswith("-") for part in parts for line in part.lines)
    words: set[str] = set()
    for part in parts if broken else ():
        for line in part.lines:
            whole = line.text.rpartition(" ")[0] if line.text.endswith("-") else line.text
            words.update(re.findall(r"\w+(?:-\w+)*", whole.casefold()))
    return frozenset(words)


def _mended(lines: Sequence[_Piece], words: frozenset[str]) -> str:
    """Join lines; a hyphen at the end of one stays where it is part of the word."""
    text = ""
    for line in lines:
        broken = _BROKEN_WORD.search(text[-60:])
        first = re.match(r"\w+", line.text)
        if not text or (text[-1] > "\u2e80" and line.text[0] > "\u2e80" and not "\uac00" <= text[-1] <= "\ud7a3"):
            text += line.text  # no space between words of Chinese or Japanese
        elif not broken or not first:
            text += ("" if text.endswith("-") and first else " ") + line.text
        elif first[0].casefold() in _SUSPENDING:
            text += " " + line.text
        elif _keeps_hyphen(broken[1].casefold(), first[0], words):
            text += line.text
        else:
            text = text[:-1] + line.text
    return text


def _keeps_hyphen(before: str, after: str, words: frozenset[str]) -> bool:
    """Whether a word broken at its hyphen has it elsewhere too. In doubt it does if both halves are words."""
    if not after[0].islower() or "-" in before or before in _HYPHENATED:
        return True
    if before + after.casefold() in words:
        return False
    halves = before in words and after.casefold() in words and min(len(before), len(after)) > 2
    return halves or f"{before}-{after.casefold()}" in words


def _levels(parts: Sequence[_Part], body: float, outline: set[tuple[int, str]]) -> list[int]:
    """The level of each part that is a heading, by the rank of its type; 0 for any other part.

    Short bold lines of the body's size, and what the bookmarks name, rank last.
    """
    sizes: dict[int, float] = {}
    low: set[int] = set()
    weight = sum(len(part.text) for part in parts)
    bold = {n for n, part in enumerate(parts) if all(line.bold for line in part.lines)}
    tell = 2 * sum(len(parts[n].text) for n in bold) < weight
    for number, part in enumerate(parts):
        letters = _letters(part.text)
        if part.row or len(part.text) > 200 or not letters or (part.mark and _BULLET.match(part.mark + "x")):
            continue
        if part.size > 1.1 * body and len(letters) > 1:
            sizes[number] = round(part.size * 2) / 2
        elif (part.page, _letters(part.mark) + letters) in outline or (
            tell
            and number in bold
            and part.size > 0.97 * body
            and len(part.text) <= 120
            and part.text[-1] not in ".,;"
            and number + 1 < len(parts)
        ):
            low.add(number)
    ranks: dict[float, int] = {}
    for size in sorted(set(sizes.values()), reverse=True):
        nearest = min(ranks, default=math.inf)
        ranks[size] = ranks[nearest] if size > 0.94 * nearest else min(len(set(ranks.values())) + 1, 3)
    lowest = min(max(ranks.values(), default=0) + 1, 4)
    return [ranks[sizes[n]] if n in sizes else lowest if n in low else 0 for n in range(len(parts))]
