"""HTML -> text as a reader of the page sees it, and its blocks."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

from bot.documents.builder import TextBuilder
from bot.documents.content import Content

_UNREAD = frozenset(
    (
        "script style textarea noscript template svg math iframe object canvas select button dialog nav head title"
    ).split()
)
_INLINE = frozenset(
    (
        "a abbr br img acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q ruby s samp small "
        "span strike strong sub sup time tt u var wbr"
    ).split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}

#: Where the page says something of itself: a CSS selector, the attribute that holds it, our front matter key.
_DETAILS = (
    ('meta[property="og:title"]', "content", "title"),
    ('meta[property="og:site_name"]', "content", "publisher"),
    ('meta[name="dcterms.publisher" i]', "content", "publisher"),
    ('link[rel="canonical"]', "href", "url"),
    ("html", "lang", "language"),
)


def read_html(raw: str) -> Content:
    """Read a page; scripts, navigation, menus and forms' controls are not part of its text."""
    page = LexborHTMLParser(raw)
    details: dict[str, object] = {}
    for selector, attribute, key in _DETAILS:
        node = page.css_first(selector)
        if node is not None and node.attributes.get(attribute):
            details.setdefault(key, node.attributes[attribute])
    title = page.css_first("head > title")
    if title is not None and title.text().strip():
        details.setdefault("title", title.text())
    builder = TextBuilder()
    if page.body is not None:
        _add(page.body, builder)
    return Content(builder.text, builder.blocks, details)


def add_html(fragment: str, builder: TextBuilder) -> None:
    """Append the blocks of a piece of HTML, as it may stand inside Markdown."""
    body = LexborHTMLParser(fragment).body
    if body is not None:
        _add(body, builder)


def _add(root: LexborNode, builder: TextBuilder) -> None:
    """Walk the tree without recursion, which a hostile depth would exhaust."""
    page = _Page(builder)
    todo: list[tuple[LexborNode, bool]] = [(root, False)]
    while todo:
        node, leaving = todo.pop()
        tag = node.tag or ""
        if leaving:
            page.leave(tag)
        elif tag == "-text":
            page.words.append(node.text(deep=False) or "")
        elif tag not in _UNREAD and not tag.startswith(("-", "!")) and "hidden" not in node.attributes:
            page.enter(tag, node)
            todo.append((node, True))
            child = node.last_child
            while child is not None:
                todo.append((child, False))
                child = child.prev


class _Page:
    """Where the walk stands: the words since the last block element, and the elements that are open around them."""

    def __init__(self, builder: TextBuilder) -> None:
        self.words: list[str] = []
        self._builder = builder
        self._level = 0  # of the open heading
        self._code = 0  # open <pre> elements
        self._mark = ""  # of the list item that has no text yet
        self._lists: list[int | None] = []  # the next number of each open list, None for bullets
        self._cells: list[str] | None = None  # of the open table row

    def enter(self, tag: str, node: LexborNode) -> None:
        if tag == "br":
            self.words.append("\n" if self._code else " ")
        elif tag == "img":
            self.words.append(f" {node.attributes.get('alt') or ''} ")
        elif tag not in _INLINE:
            self._flush()
        match tag:
            case "pre":
                self._code += 1
            case "ul" | "ol":
                start = node.attributes.get("start") or ""
                self._lists.append(None if tag == "ul" else int(start) if start.isdecimal() else 1)
            case "li":
                number = self._lists[-1] if self._lists else None
                self._mark = "• " if number is None else f"{number}. "
                if number is not None:
                    self._lists[-1] = number + 1
            case "tr" if self._cells is None:
                self._cells = []
            case _:
                self._level = _HEADINGS.get(tag, self._level)

    def leave(self, tag: str) -> None:
        if tag not in _INLINE:
            self._flush()
        match tag:
            case "pre":
                self._code -= 1
            case "ul" | "ol":
                self._lists.pop()
            case "li":
                self._mark = ""
            case "tr":
                cells, self._cells = self._cells or [], None
                self._builder.add("row", " | ".join(cells))
            case _ if tag in _HEADINGS:
                self._level = 0

    def _flush(self) -> None:
        """End a block: what was read since the last one becomes a cell, a heading, code, an item or a paragraph."""
        text = "".join(self.words)
        self.words.clear()
        if not text.strip():
            return
        if self._cells is not None:
            self._cells.append(text)
        elif self._level:
            self._builder.add("heading", text, level=self._level)
        elif self._code:
            self._builder.add("code", text)
        else:
            self._builder.add("item" if self._mark else "paragraph", text, mark=self._mark)
            self._mark = ""
