"""What of a web page is no part of its text: menus, banners, share bars, what is hidden.

Elements and ARIA roles say so, ids and classes hint at it. Whatever they say, running text is kept: a piece goes only
if it is short or mostly links, and comes back if the page would have less text than was taken from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import accumulate

from selectolax.lexbor import LexborHTMLParser, LexborNode

#: Never shown, or no text. A button is read in a heading, where it opens what stands below.
_UNREAD = frozenset(
    ("script style textarea noscript template svg math iframe object canvas select button dialog head title").split()
)
_CONTROLS = frozenset("button input select textarea".split())
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6 dt summary".split())
_ROLES = {
    "navigation": "nav", "menu": "nav", "menubar": "nav", "toolbar": "nav", "search": "nav", "banner": "header",
    "contentinfo": "footer", "complementary": "aside", "alertdialog": "overlay", "dialog": "overlay", "main": "main",
}  # fmt: skip
#: A header or footer inside one of these is a part of the text.
_SECTIONS = frozenset("article section aside nav main blockquote td li figure details fieldset".split())
#: A link to another place of the page that begins one of these is no part of a sentence.
_LOOSE = frozenset("body div header footer nav section aside li".split())
#: Elements whose id and class are looked at; those of a word or a paragraph may mean anything ("share-price").
_BOXES = frozenset("div section ul ol aside header form table p span".split())

_COOKIES = re.compile("cookie|consent|gdpr|onetrust|didomi|usercentrics")
_BANNER = re.compile("consent|gdpr|onetrust|didomi|usercentrics|banner|notice|bar|message|popup|modal|overlay")
_FURNITURE = re.compile(
    "(?<![a-z])(?:nav(?:bar|box|menu|igation)?|menu(?:bar)?|(?:bread)?crumbs?|sidebar|shar(?:e|ing)|social|addtoany|"
    "pager|paginat(?:ion|or)|toolbar|related|newsletter|subscribe|signup|login|search|skip|toc|catlinks|masthead|"
    "topbar|footer|banner|promo|ads?|advert(?:isement)?|sponsored|popup|modal|offcanvas|drawer|tagcloud)(?![a-z])"
)
_FOOTER = re.compile(r"(?:^|\s)(?:(?:site|page|main|global)[-_]?)?footer(?:\s|$)")
_EDIT_LINK = re.compile("editsection|headerlink|permalink|skip-?link")
_OVERLAY_OR_ICON = re.compile("icon|modal|popup|overlay|offcanvas|drawer|(?<![a-z])fa(?![a-z])")
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_SKIP = re.compile(
    r"(?:skip|jump)\s+(?:straight\s+)?(?:to|over)\b|skip\s+(?:nav|links|main)"
    r"|(?:(?:back|return|go)\s+to\s+)?(?:the\s+)?top\W*$",
    re.IGNORECASE,
)
_HUMP = re.compile("(?<=[a-z])(?=[A-Z])")
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

#: Words outside links; a piece of its kind with more is running text.
_MOST = {"nav": 60, "overlay": 200, "header": 30, "footer": 120, "cookies": 150}
_FEW = 15
_RUNNING = 40
_LONGEST_CELL = 120


@dataclass(slots=True)
class Survey:
    """Elements by ``mem_id``: which to leave out, and which tables only lay the page out."""

    unread: set[int] = field(default_factory=set)
    layout: set[int] = field(default_factory=set)
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Piece:
    """An element and what is in it, without what is left out of it."""

    node: LexborNode
    kind: str
    hints: str
    page_level: bool
    in_link: bool = False
    in_heading: bool = False
    first_taken: int = 0  # how many pieces were taken before it began
    sample: str = ""
    words: int = 0
    linked: int = 0  # words in links
    headed: int = 0  # words in headings, which say nothing of what is below: "Share this page"
    controls: int = 0
    longest_cell: int = 0
    many_cells: bool = False  # in any row
    title: bool = False  # has an h1
    structured: bool = False  # has a table or a heading
    main: bool = False
    article: bool = False

    @property
    def prose(self) -> int:
        return self.words - self.linked

    @property
    def sure(self) -> bool:
        """Whether it is hardly text, whatever else there is on the page."""
        return self.linky or self.kind in ("cookies", "hidden")

    @property
    def linky(self) -> bool:
        return self.linked > self.prose - self.headed or (not self.words and not self.title)


def survey(root: LexborNode, *, guess: bool, opened: frozenset[str] = frozenset()) -> Survey:
    """Find what is not to be read below an element.

    :param guess: whether this is a whole page, with furniture around its text.
    :param opened: ids of the elements that the page shows on a click, hidden as they may be.
    """
    walk = _Walk(guess, opened, has_main=guess and root.css_first("main, [role=main]") is not None)
    todo: list[tuple[LexborNode, bool]] = [(root, False)]
    while todo:
        node, leaving = todo.pop()
        if leaving:
            walk.leave()
        elif node.tag == "-text":
            walk.text(node.text(deep=False) or "")
        elif walk.enter(node):
            todo.append((node, True))
            child = node.last_child
            while child is not None:
                todo.append((child, False))
                child = child.prev
    return walk.result()


def opened_ids(page: LexborHTMLParser) -> frozenset[str]:
    """Return the ids of what a page shows on a click, as the answers in a list of questions are."""
    found: set[str] = set()
    for name in ("aria-controls", "data-target", "data-bs-target"):
        for node in page.css(f"[{name}]"):
            found.update((node.attributes[name] or "").replace("#", "").split())
    return frozenset(found)


class _Walk:
    def __init__(self, guess: bool, opened: frozenset[str], *, has_main: bool) -> None:
        self._guess = guess
        self._has_main = has_main
        self._opened = opened
        self._found = Survey()
        self._open: list[_Piece] = []
        self._taken: list[_Piece] = []  # in the order of their ends
        self._outside: dict[int, _Piece] = {}  # of <main>
        self._mains: list[_Piece] = []
        self._in_main = 0
        self._root: _Piece | None = None

    def text(self, text: str) -> None:
        count = len(text.split()) if text.isascii() else len(_WORD.findall(text))
        if count and self._open:
            piece = self._open[-1]
            piece.words += count
            piece.linked += count * piece.in_link
            piece.sample = piece.sample or text

    def enter(self, node: LexborNode) -> bool:
        """Whether to look inside."""
        tag = node.tag or ""
        around = self._open[-1] if self._open else None
        if tag.startswith(("-", "!")):
            return False
        if around is not None:
            around.controls += tag in _CONTROLS
            if tag in _UNREAD and not (tag == "button" and around.in_heading):
                self._found.unread.add(node.mem_id)
                return False
        attributes = node.attributes
        kind = _ROLES.get(attributes.get("role") or "", "nav" if tag == "search" else tag)
        hints = f"{attributes.get('id') or ''} {attributes.get('class') or ''}"[:300].strip()
        if self._is_hidden(attributes, hints):
            kind = "hidden"
        piece = _Piece(node, kind, _HUMP.sub("-", hints).lower() if hints else "", around is None or around.page_level)
        if around is not None:
            piece.in_link = around.in_link or tag == "a"
            piece.in_heading = around.in_heading or tag in _HEADINGS
        piece.first_taken = len(self._taken)
        piece.title = tag == "h1"
        self._in_main += kind == "main"
        self._open.append(piece)
        piece.page_level = piece.page_level and kind not in _SECTIONS
        return True

    def leave(self) -> None:
        piece = self._open.pop()
        tag = piece.node.tag or ""
        if tag == "table" and (
            piece.structured
            or piece.longest_cell > _LONGEST_CELL
            or not piece.many_cells
            or piece.node.attributes.get("role") in ("presentation", "none")
        ):
            self._found.layout.add(piece.node.mem_id)
        self._in_main -= piece.kind == "main"
        if self._has_main and not self._in_main:
            self._outside[piece.node.mem_id] = piece
            if piece.kind == "main":
                self._mains.append(piece)
        if not self._open:
            self._root = piece
            return
        around = self._open[-1]
        if self._is_furniture(tag, piece, around):
            self._taken.append(piece)
            return
        around.words += piece.words
        around.linked += piece.linked
        around.headed += piece.prose if tag in _HEADINGS else piece.headed
        around.controls += piece.controls
        around.sample = around.sample or piece.sample
        around.title |= piece.title
        around.main |= piece.main or piece.kind == "main"
        around.article |= piece.article or tag == "article"
        around.structured |= piece.structured or tag == "table" or (tag in _HEADINGS and tag[0] == "h")
        if tag in ("td", "th"):
            around.many_cells |= _has_cell_before(piece.node)
            around.longest_cell = max(around.longest_cell, piece.words)
        elif tag in ("tr", "tbody", "thead", "tfoot"):
            around.many_cells |= piece.many_cells
            around.longest_cell = max(around.longest_cell, piece.longest_cell)

    def result(self) -> Survey:
        root = self._root
        taken = [True] * len(self._taken)
        if root is not None and sum(p.prose for p in self._taken if not p.sure) > root.words:
            taken = [p.sure and (bool(root.words) or p.kind == "hidden") for p in self._taken]
            back = [0, *accumulate(not gone for gone in taken)]
            for number, piece in enumerate(self._taken):  # what stands around a piece comes back with it
                taken[number] = taken[number] and back[piece.first_taken] == back[number]
        gone = [piece for piece, out in zip(self._taken, taken, strict=True) if out]
        if all(taken) and root is not None and self._guess:
            gone += self._around_main(root)
        self._found.unread.update(piece.node.mem_id for piece in gone)
        self._found.notes = tuple(_notes(gone))
        return self._found

    def _is_hidden(self, attributes: dict[str, str | None], hints: str) -> bool:
        if attributes.get("aria-hidden") == "true" and _OVERLAY_OR_ICON.search(hints.lower()):
            return True
        hidden = "hidden" in attributes and attributes["hidden"] != "until-found"
        hidden = hidden or bool(_UNSEEN.search(attributes.get("style") or ""))
        opens = attributes.get("id") in self._opened or attributes.get("role") == "tabpanel"
        return hidden and not opens

    def _is_furniture(self, tag: str, piece: _Piece, around: _Piece) -> bool:
        if piece.kind == "hidden" or _is_control_link(tag, piece, around):
            return True
        if piece.kind == "nav":
            return piece.linky or piece.prose <= _MOST["nav"]
        if not self._guess or piece.title or piece.main or piece.article:
            return False
        if piece.kind in ("overlay", "header", "footer", "aside"):
            short = piece.prose <= _MOST.get(piece.kind, -1)
            above = piece.kind == "header" and piece.structured
            if (piece.linky or short) and not above and (around.page_level or piece.kind in ("overlay", "aside")):
                return True
        if not piece.hints or tag not in _BOXES:
            return False
        if _COOKIES.search(piece.hints) and not self._in_main:
            piece.kind = "cookies" if piece.controls or _BANNER.search(piece.hints) else tag
            return piece.prose <= _MOST["cookies"] and bool(piece.linked or piece.controls)
        if _FOOTER.search(piece.hints) and around.page_level:
            return piece.linky or piece.prose <= _MOST["footer"]
        few = bool(piece.controls) and piece.prose <= _FEW
        return bool(_FURNITURE.search(piece.hints)) and (few or (piece.linky and bool(piece.linked)))

    def _around_main(self, root: _Piece) -> list[_Piece]:
        """What stands beside a page's <main>, if that holds most of its text, and is no running text itself."""
        if 2 * sum(piece.prose for piece in self._mains) < root.prose or not self._mains:
            return []
        untitled = not any(piece.title for piece in self._mains)
        taken = {piece.node.mem_id for piece in self._taken} | self._found.unread
        gone = []
        todo = [root]
        while todo:
            child = todo.pop().node.first_child
            while child is not None:
                piece = self._outside.get(child.mem_id)
                if piece is None or child.mem_id in taken or piece.kind == "main":
                    pass
                elif piece.main or (piece.prose >= _RUNNING and piece.linky) or (untitled and piece.title):
                    todo += [piece] * (child.tag != "h1")
                elif piece.prose < _RUNNING and piece.words:
                    gone.append(piece)
                child = child.next
        return gone


def _is_control_link(tag: str, piece: _Piece, around: _Piece) -> bool:
    """Whether an element only leads around on the page: "Skip to content", "[edit]", "¶"."""
    if piece.hints and tag in ("a", "span") and _EDIT_LINK.search(piece.hints) and piece.words <= 6:
        return True
    if tag != "a" or piece.words > 6 or not (piece.node.attributes.get("href") or "").startswith("#"):
        return False
    text = piece.node.text().strip()
    if around.in_heading:
        return not any(map(str.isalnum, text))
    return around.node.tag in _LOOSE and not around.words and bool(_SKIP.match(text))


def _has_cell_before(cell: LexborNode) -> bool:
    before = cell.prev
    while before is not None and before.tag not in ("td", "th"):
        before = before.prev
    return before is not None


def _notes(gone: list[_Piece]) -> list[str]:
    """Say what was left out that looks like text. Menus do not, nor what asks for a click."""
    notes = []
    for hidden, reason in ((False, "page furniture"), (True, "hidden on the page")):
        pieces = [p for p in gone if (p.kind == "hidden") == hidden and not p.linky and not p.controls]
        longest = max(pieces, key=lambda piece: piece.prose, default=None)
        if longest is not None and (count := sum(piece.prose for piece in pieces)) >= _RUNNING:
            sample = " ".join(longest.sample.split())[:60]
            notes.append(f"left out as {reason}: {count:,} words, such as “{sample}”")
    return notes
