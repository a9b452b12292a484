"""Markdown (CommonMark and tables) -> text without the marks, and its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.documents.builder import TextBuilder
from bot.documents.canonical import line
from bot.documents.content import Content
from bot.documents.frontmatter import split_front_matter
from bot.documents.html import add_html, with_header

_DEEPEST = 200
_PARSER = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable(["table", "strikethrough"])


def read_markdown(raw: str) -> Content:
    """Read a Markdown file with or without front matter; marks, link targets and comments are not part of the text."""
    details, body = split_front_matter(raw)
    builder = TextBuilder()
    tokens = _PARSER.parse(body)
    _add(tokens, builder)
    deep = max((token.level for token in tokens), default=0) >= _DEEPEST - 1
    notes = (f"is not read where it is nested more than {_DEEPEST // 2} deep",) if deep else ()
    return Content(builder.text, builder.blocks, details, notes)


def _add(tokens: Sequence[Token], builder: TextBuilder) -> None:
    page = _Page(builder)
    for token in tokens:
        page.read(token)


class _Page:
    """Where the reading stands: the elements that are open around the next line."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._level = 0  # of the open heading
        self._mark = ""  # of the list item that has no text yet
        self._lists: list[int | None] = []  # the next number of each open list, None for bullets
        self._cells: list[str] | None = None  # of the open table row
        self._header: list[str] | None = None  # of the open table

    def read(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._line(_plain(token))
            case "fence" | "code_block":
                self._builder.add("code", token.content)
            case "html_block":
                add_html(token.content, self._builder)
            case "heading_open":
                self._level = int(token.tag[1])
            case "heading_close":
                self._level = 0
            case "tr_open":
                self._cells = []
            case "tr_close":
                cells, self._cells = self._cells or [], None
                self._builder.add("row", with_header(cells, self._header or ()))
                self._header = cells if self._header is None else self._header
            case "table_close":
                self._header = None
            case _:
                self._list(token)

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                start = token.attrGet("start")
                self._lists.append(1 if start is None else int(start))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                number = self._lists[-1]
                self._mark = "• " if number is None else f"{number}. "
                if number is not None:
                    self._lists[-1] = number + 1
            case "list_item_close":
                self._mark = ""

    def _line(self, text: str) -> None:
        if self._cells is not None:
            self._cells.append(line(text))
        elif self._level:
            self._builder.add("heading", text, level=self._level)
        else:
            self._builder.add("item" if self._mark else "paragraph", text, mark=self._mark)
            self._mark = ""


def _plain(inline: Token) -> str:
    """The words of a line, as a reader sees them."""
    words: list[str] = []
    unread = ""  # the element whose content is no text
    for token in inline.children or ():
        tag = token.content.strip("</> ").lower() if token.type == "html_inline" else ""
        if unread:
            unread = "" if tag == unread else unread
        elif tag in ("script", "style"):
            unread = tag
        elif tag.startswith("br") or token.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif token.type != "html_inline":
            words.append(token.content)
    return "".join(words)
