"""PDF -> text in reading order, and its blocks.

A PDF says where letters stand and nothing else, so all structure is told by its looks: lines by their baselines,
columns by the gutter between them, paragraphs by where lines end, headings by their type, headers and footers by
coming back at the edge of page after page. This module asks PDFium what the file holds; the rest is in the modules
that the data passes through:

    file -> pieces (words in a row without a wide gap), less those in margins -> layout (columns, their lines and rows)
         -> paragraphs -> blocks
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from ctypes import byref, c_double, c_int, c_ushort, create_string_buffer
from itertools import islice

import pypdfium2 as pdfium
import pypdfium2.raw as c

from bot.documents.builder import TextBuilder
from bot.documents.canonical import line as one_line
from bot.documents.content import Content
from bot.documents.layout import columns
from bot.documents.lines import is_bullet, letters
from bot.documents.margins import without_margins
from bot.documents.paragraphs import heading_levels, paragraphs
from bot.documents.pieces import Layer, Page, Piece, body_size, runs
from bot.errors import DocumentError

MAX_PAGES = 5_000
MAX_CHARACTERS = 20_000_000
MAX_PAGE_CHARACTERS = 200_000

_WORD = re.compile(r"[^\s\0\x02\xad\ufffe]{1,1000}[\x02\xad\ufffe]?|[\x02\xad\ufffe]")
_VISIBLE_HYPHENS = str.maketrans(dict.fromkeys("\x02\xad\u2010\ufffe", "-"))  # a soft hyphen is drawn, or not there
_BOLD = re.compile(rb"(?i)bold|black|heavy|demi")  # in the name of a font
_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_NOT_A_TITLE = re.compile(
    r"(?i)^microsoft \w+ - |^(untitled|title|document|powerpoint presentation|about:blank)\W*\d*$"
    r"|^\w+://|\.(docx?|odt|pdf|pptx?|xlsx?|indd|tex|dvi|rtf|html?|qxp|pmd)$"
)


def read_pdf(data: bytes) -> Content:
    """Read a PDF; nothing in it is run or followed. Text that is drawn invisibly (over a scan) is read.

    :raises DocumentError: if it is protected by a password or no PDF at all.
    """
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        protected = getattr(error, "err_code", None) in (c.FPDF_ERR_PASSWORD, c.FPDF_ERR_SECURITY)
        raise DocumentError("is protected by a password" if protected else "is not a PDF that can be read") from error
    with closing(document):
        pages, notes = _pages(document)
        details = _details(document)
        outline = _outline(document)
    body = body_size(pages)
    found = paragraphs(columns(without_margins(pages, body), body), body)
    levels = heading_levels(found, body, outline)

    builder = TextBuilder()
    for part, level in zip(found, levels, strict=True):
        if level:
            builder.add("heading", part.mark + part.text, level=level, page=part.page)
        elif part.row:
            builder.add("row", part.text, page=part.page)
        elif part.mark:
            mark = "•" if is_bullet(part.mark) else part.mark.strip()
            builder.add("item", part.text, mark=f"{mark} ", page=part.page)
        else:
            builder.add("paragraph", part.text, page=part.page)
    heads = [
        (level, -part.size, part.text) for part, level in zip(found, levels, strict=True) if level and part.page == 1
    ]
    if heads:
        details.setdefault("title", min(heads)[2])
    return Content(builder.text, builder.blocks, details, tuple(notes))


# --------------------------------------------------------------------------------------------- the words on the pages


def _pages(document: pdfium.PdfDocument) -> tuple[list[Page], list[str]]:
    """What stands on the pages, and notes on what could not be read."""
    pages: list[Page] = []
    bare, failed, cut, odd = [], [], [], []
    budget = MAX_CHARACTERS
    count = len(document)
    for number in range(1, min(count, MAX_PAGES) + 1):
        if budget <= 0:
            break
        try:
            page, raw, whole = _page(document, number, min(MAX_PAGE_CHARACTERS, budget))
        except pdfium.PdfiumError:
            failed.append(number)
            continue
        budget -= len(raw)
        pages.append(page)
        if not whole:
            cut.append(number)
        if not page.layers:
            bare.append(number)
        elif 20 * len(re.findall("[\0\ufffd\ue000-\uf8ff]", raw)) > len(raw):
            odd.append(number)
    if failed and not pages:
        raise DocumentError("is not a PDF that can be read")
    left_out = range(len(pages) + len(failed) + 1, count + 1)
    notes = [
        _note(bare, "holds no text (an image?)", "hold no text (images?)"),
        _note(failed, "could not be read", "could not be read"),
        _note(odd, "holds letters that its fonts do not name", "hold letters that their fonts do not name"),
        _note(cut, "is too long and was cut", "are too long and were cut"),
        f"pages {left_out[0]}-{count} were left out: the document is too long" if left_out else "",
        "holds a form; what is filled in was not read" if document.get_formtype() != c.FORMTYPE_NONE else "",
    ]
    return pages, [note for note in notes if note]


def _note(pages: Sequence[int], one: str, many: str) -> str:
    """Say what is wrong with pages, with their runs drawn together: pages 3, 5-9 ..."""
    stretches = runs(pages, lambda run, page: run[-1] == page - 1)
    places = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in stretches[:20]]
    listed = ", ".join(places + ["..."] * (len(stretches) > 20))
    return f"page {listed} {one}" if len(pages) == 1 else f"pages {listed} {many}" if pages else ""


def _page(document: pdfium.PdfDocument, number: int, most: int) -> tuple[Page, str, bool]:
    """What stands on a page, its first characters as they come, ``most`` at most, and whether these are all of them."""
    with closing(document[number - 1]) as page, closing(page.get_textpage()) as text:
        total = text.count_chars()
        get = c.FPDFText_GetUnicode
        raw = "".join([chr(get(text.raw, index)) for index in range(min(total, most))])
        left, bottom, right, top = page.get_mediabox()
        extents = ((bottom, top), (-right, -left), (-top, -bottom), (left, right))  # by turn
        layers = tuple(Layer(pieces, *extents[turn]) for turn, pieces in _pieces(text.raw, raw).items())
    return Page(number, layers), raw, len(raw) == total


def _pieces(page: object, raw: str) -> dict[int, tuple[Piece, ...]]:
    """Put the words of a page together as far as they stand in a row, by turn, in the order of the file."""
    layers: dict[int, list[_Run]] = defaultdict(list)
    for turn, word, space, drawn in _words(page, raw):
        layer = layers[turn]
        if layer and layer[-1].reaches(word, drawn):
            layer[-1].add(word, space)
        else:
            layer.append(_Run(word))
    shown = {
        turn: tuple(piece for piece in map(_Run.piece, layer) if one_line(piece.text)) for turn, layer in layers.items()
    }
    return {turn: pieces for turn, pieces in shown.items() if pieces}


def _words(page: object, raw: str) -> Iterator[tuple[int, Piece, str, bool]]:
    """Each word of a page, how many quarters of a circle it is turned, the space before it, and whether that is drawn.

    PDFium makes letters of ligatures. It is asked about the first and last letter of each word alone: asking about
    every one takes seconds.
    """
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
        drawn = start > end and not c.FPDFText_IsGenerated(page, start - 1)
        piece = Piece(text, _tame(left), _tame(right), _tame(base), size, bold, right - left, order)
        yield turn, piece, " " if start > end else "", drawn
        end = word.end()


def _tame(length: float) -> float:
    """A damaged file may say infinity, or no number at all."""
    return length if -1e5 < length < 1e5 else 0.0


class _Run:
    """A piece in the making. Its size and baseline are those of most letters (the majority vote of Boyer and Moore)."""

    __slots__ = ("base", "bold", "first", "left", "right", "size", "text", "votes")

    def __init__(self, first: Piece) -> None:
        self.first = first
        self.text, self.left, self.right, self.bold = first.text, first.left, first.right, first.bold
        self.size, self.base, self.votes = first.size, first.base, len(first.text)

    def reaches(self, word: Piece, spaced: bool) -> bool:
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

    def add(self, word: Piece, space: str) -> None:
        """Append a word."""
        self.votes += len(word.text) if abs(word.size - self.size) < 0.1 else -len(word.text)
        if self.votes < 0:
            self.votes, self.size, self.base = -self.votes, word.size, word.base
        self.text += space + word.text
        self.left, self.right = min(self.left, word.left), max(self.right, word.right)
        self.bold &= word.bold

    def piece(self) -> Piece:
        """Return what has been put together."""
        text, first = self.text.translate(_VISIBLE_HYPHENS), self.first
        return Piece(text, self.left, self.right, self.base, self.size, self.bold, first.first_word, first.order)


# ---------------------------------------------------------------------------------------- what the file says of itself


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
                marks.add((page + 1, letters(mark.get_title())))
    return marks
