"""HTML -> text as a reader of the page sees it, and its blocks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from itertools import zip_longest
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from bot.documents.builder import TextBuilder
from bot.documents.canonical import line
from bot.documents.content import Content
from bot.documents.furniture import Survey, opened_ids, survey
from bot.errors import DocumentError

_INLINE = frozenset(
    (
        "a abbr br img acronym b bdi bdo big cite code data del dfn em font i input ins kbd label mark math q ruby s "
        "samp small span strike strong sub sup time tt u var wbr button"
    ).split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())

#: Where the page says something of itself: a CSS selector, the attribute that holds it, our front matter key.
_DETAILS = (
    ('meta[property="og:title"]', "content", "title"),
    ('meta[property="og:site_name"]', "content", "publisher"),
    ('meta[name="dcterms.publisher" i]', "content", "publisher"),
    ('link[rel="canonical"]', "href", "url"),
    ("html", "lang", "language"),
)

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)([^<>]*)")
_EMPTY_ELEMENT = re.compile("""<([a-zA-Z][^\\s/<>]*)((?:[^<>"']|"[^"]*"|'[^']*')*+)>""")
_FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_ENDS = {
    **dict.fromkeys(("td", "th"), frozenset(("td", "th"))),
    **dict.fromkeys(("dt", "dd"), frozenset(("dt", "dd"))),
    **dict.fromkeys(("tbody", "thead", "tfoot"), frozenset("td th tr tbody thead tfoot".split())),
    "tr": frozenset(("td", "th", "tr")),
    "li": frozenset(("li",)),
    "option": frozenset(("option",)),
}  # the elements that the beginning of another ends without an end tag
_MOST_STEPS = 1_000_000_000  # of the parser, through the open elements: about 3 s
_MOST_COPIES = 3_000_000  # of elements that were never closed: about 1 GB

#: Left out without ending the words around them.
_MACHINERY = frozenset("script style noscript template svg iframe object canvas select textarea title".split())
_SUPERSCRIPTS = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_NO_SUPERSCRIPTS = str.maketrans("", "", "0123456789+-−")
_LONGEST_NAME = 80  # characters of a column's header, or of a term before its definition
_LONGEST_ANCHOR = 200
_LONGEST_SPANNING = 200  # characters of a cell that is read with every row that it spans
_MOST_SPANNED, _MOST_COLUMNS = 50, 1_000


def read_html(raw: str) -> Content:
    """Read a page; scripts, navigation, banners and forms' controls are not part of its text.

    :raises DocumentError: if it is nested so deeply that parsing it would take minutes.
    """
    page = _parse(as_html(raw) if raw.lstrip("\ufeff \t\r\n").startswith("<?xml") else raw)
    details: dict[str, object] = {}
    for selector, attribute, key in _DETAILS:
        node = page.css_first(selector)
        if node is not None and node.attributes.get(attribute):
            details.setdefault(key, node.attributes[attribute])
    title = page.css_first("head > title")
    if title is not None and title.text().strip():
        details.setdefault("title", title.text())
    builder = TextBuilder()
    notes: tuple[str, ...] = ()
    if page.body is not None:
        found = survey(page.body, guess=True, opened=opened_ids(page))
        _add(page.body, builder, found)
        notes = found.notes
    return Content(builder.text, builder.blocks, details, notes)


def add_html(fragment: str, builder: TextBuilder, *, anchors: bool = True) -> None:
    """Append the blocks of a piece of HTML, as it may stand inside Markdown, a mail or an e-book.

    :param anchors: whether its headings can be reached by a link.
    """
    body = _parse(fragment).body
    if body is not None:
        _add(body, builder, survey(body, guess=False), anchors=anchors)


def as_html(xhtml: str) -> str:
    """Return XHTML in the syntax of HTML, where ``<title/>`` and ``<script/>`` would swallow all that follows."""

    def opened(match: re.Match[str]) -> str:
        name, attributes = match[1], match[2]
        if not attributes.endswith("/") or name.lower() in _VOID:
            return match[0]
        return f"<{name}{attributes[:-1]}></{name}>"

    return _EMPTY_ELEMENT.sub(opened, xhtml)


def with_header(cells: Sequence[str], header: Sequence[str]) -> str:
    """Return a row of a table on one line, each cell after the name of its column: "Bird: Puffin | Pairs: 310".

    Empty cells are left out. A row with text in one cell only is a heading among the rows: it stays bare.
    """
    if sum(map(bool, cells)) < 2 or any(len(name) > _LONGEST_NAME for name in header):
        header = ()
    named = zip_longest(cells, header[: len(cells)], fillvalue="")
    return " | ".join(f"{name.rstrip(' :')}: {text}" if name else text for text, name in named if text)


def _parse(raw: str) -> LexborHTMLParser:
    _refuse_endless_work(raw)
    return LexborHTMLParser(raw)


def _refuse_endless_work(raw: str) -> None:
    """Estimate what the parser would do, by following the tags: it looks through all open elements at most of them.

    Formatting that is not closed where its paragraph ends is opened again in the next, so that it piles up; three of
    a kind at most (HTML standard, "Noah's Ark clause").

    :raises DocumentError: if that is too much.
    """
    if raw.count("<") < 1_500:
        return
    steps = copies = 0
    stack: list[str] = []
    opened: Counter[str] = Counter()
    unclosed: defaultdict[str, list[str]] = defaultdict(list)
    alike: Counter[str] = Counter()
    piled = 0
    for match in _TAG.finditer(raw):
        name = match[2].lower()
        if name in _FORMATTING:
            if unclosed[name] and (match[1] or name == "a"):
                piled -= 1
                alike[unclosed[name].pop()] -= 1
            if not match[1] and alike[match[0]] < 3:
                piled += 1
                alike[match[0]] += 1
                unclosed[name].append(match[0])
        elif name not in _VOID:
            ended = _ENDS.get(name, frozenset()) if not match[1] else frozenset()
            while stack and (stack[-1] in ended or (stack[-1] == "p" and name not in _INLINE)):
                opened[stack.pop()] -= 1
            if not match[1]:
                stack.append(name)
                opened[name] += 1
            elif opened[name]:
                while (last := stack.pop()) != name:
                    opened[last] -= 1
                opened[name] -= 1
            copies += piled
        steps += len(stack) + piled
        if steps > _MOST_STEPS or copies > _MOST_COPIES:
            raise DocumentError("is nested too deeply to be read")


def _add(root: LexborNode, builder: TextBuilder, found: Survey, *, anchors: bool = True) -> None:
    """Walk the tree without recursion, which a hostile depth would exhaust."""
    page = _Page(builder, found.layout, anchors=anchors)
    todo: list[tuple[LexborNode, bool]] = [(root, False)]
    while todo:
        node, leaving = todo.pop()
        tag = node.tag or ""
        if leaving:
            page.leave(tag, node)
        elif tag == "-text":
            page.read(node.text(deep=False) or "")
        elif node.mem_id in found.unread:
            page.skip(tag, node)
        elif not tag.startswith(("-", "!")):
            page.enter(tag, node)
            todo.append((node, True))
            child = node.last_child
            while child is not None:
                todo.append((child, False))
                child = child.prev
    page.settle()


class _Cell(NamedTuple):
    text: str
    columns: int  # that it spans
    named: bool  # is a <th>


class _Table:
    """What the rows of a table so far say of the next: the names of the columns, and cells that span rows."""

    def __init__(self) -> None:
        self.in_head = False
        self.words: list[str] | None = None  # of the open cell
        self._header: dict[int, str] = {}
        self._below = False  # a row was read after the header
        self._row: dict[int, _Cell] = {}
        self._column = 0
        self._spans: dict[int, tuple[int, str]] = {}  # by column: how many more rows, and the text

    def begin_row(self) -> None:
        self._row, self._column = {}, 0

    def end_cell(self, node: LexborNode) -> None:
        """Put the open cell into the row; call it when the words are complete."""
        text, self.words = line(" ".join(self.words or ())), None
        columns, rows = _number(node, "colspan", 1), _number(node, "rowspan", 1)
        while self._column in self._spans and self._column not in self._row:
            self._column += 1
        self._row[self._column] = _Cell(text, columns, node.tag == "th")
        if rows > 1 and self._column + columns <= _MOST_SPANNED:
            kept = text if len(text) <= _LONGEST_SPANNING else ""
            for column in range(self._column, self._column + columns):
                self._spans[column] = (rows, kept if column == self._column else "")
        self._column += columns

    def end_row(self, *, named: bool) -> tuple[str, str]:
        """Return the row as it stands, and as it is read: if ``named``, with its header and the cells that span it."""
        row = self._row
        plain = " | ".join(cell.text for cell in row.values() if cell.text)
        above = {column: text for column, (_, text) in self._spans.items() if column not in row and text}
        self._spans = {column: (rows - 1, text) for column, (rows, text) in self._spans.items() if rows > 1}
        several = sum(bool(cell.text) for cell in row.values()) > 1
        if row and (several or self._header) and (self.in_head or (several and all(c.named for c in row.values()))):
            if self._below:
                self._header, self._below = {}, False
            for first, cell in row.items():
                for column in range(first, min(first + cell.columns, _MOST_COLUMNS)):
                    self._header[column] = f"{self._header.get(column, '')} {cell.text}".strip()
            return plain, plain
        self._below = self._below or bool(plain)
        if not (named and plain and (above or self._header)):
            return plain, plain
        cells = {**above, **{column: cell.text for column, cell in row.items()}}
        names = {c: n for c, n in self._header.items() if c not in row or row[c].columns == 1}
        columns = sorted(cells)
        return plain, with_header([cells[column] for column in columns], [names.get(column, "") for column in columns])


class _Page:
    """Where the walk stands: the words since the last block element, and the elements that are open around them."""

    def __init__(self, builder: TextBuilder, layout: Set[int], *, anchors: bool) -> None:
        self._words: list[str] = []
        self._builder = builder
        self._layout = layout
        self._anchors = anchors
        self._level = 0  # of the open heading
        self._code = 0  # open <pre> elements
        self._raised = 0  # open <sup> elements
        self._mark = ""  # of the list item that has no text yet
        self._lists: list[int | None] = []  # the next number of each open list, None for bullets
        self._tables: list[_Table | None] = []  # the open ones, None for a table that only lays the page out
        self._anchor: str | None = None  # the last name before the next words
        self._own_anchor = False  # the open heading has one
        self._break = False  # the last thing read is a <br>
        self._in_term = False
        self._term = ""  # that has no definition yet
        self._spare = 20_000_000  # characters for repeating headers

    def read(self, text: str) -> None:
        if self._raised and text.strip().translate(_NO_SUPERSCRIPTS) == "":
            text = text.translate(_SUPERSCRIPTS)  # 10<sup>6</sup> is not 106
        self._words.append(text)
        self._break = self._break and not text.strip()

    def skip(self, tag: str, node: LexborNode) -> None:
        """Pass an element that is not read; a formula may say in words what it is."""
        if tag == "math":
            self._words.append(node.attributes.get("alttext") or "")
        elif tag not in _INLINE and tag not in _MACHINERY:
            self._flush()

    def enter(self, tag: str, node: LexborNode) -> None:
        if tag == "br":
            if self._break and not self._level and not self._code:
                self._flush()  # two in a row end a paragraph
            self._words.append("\n" if self._code else " ")
            self._break = True
        elif tag == "img":
            self._words.append(f" {node.attributes.get('alt') or ''} ")
        elif tag not in _INLINE:
            self._flush()
        self._remember_anchor(tag, node)
        match tag:
            case "pre":
                self._code += 1
            case "sup":
                self._raised += 1
            case "ul" | "ol":
                self._lists.append(None if tag == "ul" else _number(node, "start", 1))
            case "li":
                number = self._lists[-1] if self._lists else None
                self._mark = "• " if number is None else f"{number}. "
                if number is not None:
                    self._lists[-1] = number + 1
            case "dt":
                self._in_term = True
            case "table" | "thead" | "tr" | "td" | "th":
                self._enter_table(tag, node)
            case _:
                self._level = _HEADINGS.get(tag, self._level)

    def leave(self, tag: str, node: LexborNode) -> None:
        if tag not in _INLINE:
            self._flush()
        match tag:
            case "pre":
                self._code -= 1
            case "sup":
                self._raised -= 1
            case "ul" | "ol":
                self._lists.pop()
            case "li":
                self._mark = ""
            case "dt":
                self._in_term = False
            case "dl":
                self.settle()
            case "table" | "thead" | "tr" | "td" | "th":
                self._leave_table(tag, node)
            case _ if tag in _HEADINGS:
                self._level = 0

    def _enter_table(self, tag: str, node: LexborNode) -> None:
        if tag == "table":
            self._tables.append(None if node.mem_id in self._layout else _Table())
        elif (table := self._table) is not None:
            if tag == "tr":
                table.begin_row()
            elif tag == "thead":
                table.in_head = True
            else:
                table.words = []

    def _leave_table(self, tag: str, node: LexborNode) -> None:
        if tag == "table":
            self._tables.pop()
        elif (table := self._table) is not None:
            if tag == "tr":
                plain, row = table.end_row(named=self._spare > 0)
                self._spare -= len(row) - len(plain)
                self.settle()
                self._builder.add("row", row)
            elif tag == "thead":
                table.in_head = False
            else:
                table.end_cell(node)

    @property
    def _table(self) -> _Table | None:
        return self._tables[-1] if self._tables else None

    def _remember_anchor(self, tag: str, node: LexborNode) -> None:
        """Keep the name by which a link finds the next heading: its own, else one in it, else one right before it."""
        if not self._anchors:
            return
        own = tag in _HEADINGS
        if own:
            self._own_anchor = False
        name = node.id or (node.attributes.get("name") if tag == "a" else None)
        if name and len(name) <= _LONGEST_ANCHOR and (own or not self._own_anchor):
            self._anchor = name
            self._own_anchor = own or bool(self._level)

    def _flush(self) -> None:
        """End a block: what was read since the last one becomes a cell, a heading, code, an item or a paragraph."""
        text = "".join(self._words)
        self._words.clear()
        self._break = False
        if not text.strip():
            return
        table = self._table
        if table is not None and table.words is not None:
            table.words.append(text)
        elif self._level:
            self.settle()
            self._builder.add("heading", text, level=self._level, anchor=self._anchor)
        elif self._code:
            self.settle()
            self._builder.add("code", text)
        elif self._in_term:
            self._term = f"{self._term}, {line(text)}" if self._term else line(text)
            self._term = self._term if len(self._term) <= _LONGEST_NAME else self.settle()
        elif self._mark:
            self.settle()
            self._builder.add("item", text, mark=self._mark)
            self._mark = ""
        else:
            term, self._term = self._term, ""
            between = " " if term[-1:] in tuple("?!.:;") else ": "
            self._builder.add("paragraph", f"{term}{between}{text}" if term else text)
        self._anchor, self._own_anchor = None, False

    def settle(self) -> str:
        """Let a term whose definition is no paragraph be one itself."""
        term, self._term = self._term, ""
        self._builder.add("paragraph", term)
        return ""


def _number(node: LexborNode, attribute: str, default: int) -> int:
    value = (node.attributes.get(attribute) or "").strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 7 else default
