"""Word documents and PowerPoint presentations -> the text that a reader sees, and its blocks.

What is deleted, hidden, repeated on every page or made by the program (a table of contents) is no part of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from bot.documents.builder import TextBuilder
from bot.documents.content import Content
from bot.documents.sheets import Row, read_table
from bot.documents.zipped import Package, attribute, guarded, lost, relation_id
from bot.types import Block

_LONGEST_HEADING = 200  # characters; contracts set whole clauses as headings
_SUPERSCRIPT = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
_WRAPPERS = frozenset("sdt sdtContent ins moveTo customXml smartTag AlternateContent Choice".split())
_UNREAD = frozenset("del moveFrom rPr pPr tblPr sdtPr rt Fallback".split())
_BREAKS = {"tab": " ", "ptab": " ", "br": " ", "cr": " ", "noBreakHyphen": "-"}
_MADE = ("toc ", "table of figures", "index ")  # styles of lists that the program makes
_ROMAN = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


@guarded("Word document")
def read_docx(data: bytes) -> Content:
    """Read a Word document; a footnote stands at the end of the section that refers to it."""
    package = Package(data, "document", "a Word document")
    text = _Text(package)
    for body in package.tree(package.main).iterfind("body"):
        text.read(body)
    text.end_section()
    notes = [lost(count, what) for what, count in text.unread.items()]
    return Content(text.builder.text, text.builder.blocks, package.details(), (*notes, *package.lost()))


class _Text:
    """Where the reading of a Word document stands."""

    def __init__(self, package: Package) -> None:
        self.builder = TextBuilder()
        self.unread: Counter[str] = Counter()
        self._styles = _Styles(package)
        self._lists = _Lists(package)
        self._referred: list[tuple[str, str]] = []
        self._footnotes = {
            (note.tag, attribute(note, "id")): note
            for kind in ("footnotes", "endnotes")
            for part in package.related(package.main, kind)
            for note in package.tree(part)
        }

    def read(self, elements: Iterable[Element]) -> None:
        """Append paragraphs and tables, in their order."""
        for element in _children(elements):
            match element.tag:
                case "p":
                    self._paragraph(element)
                case "tbl":
                    self._table(element)
                case "altChunk":
                    self.unread["embedded document"] += 1

    def end_section(self) -> None:
        """Append the footnotes that the section refers to."""
        referred, self._referred = self._referred, []
        for key in dict.fromkeys(referred):
            self.read(self._footnotes.pop(key, ()))

    def _paragraph(self, paragraph: Element) -> None:
        style = _value(paragraph, "pPr/pStyle")
        number, depth = self._styles.numbering(paragraph, style)
        mark = self._lists.mark(number, depth, style) if number else ""
        boxes: list[Element] = []
        text = self._words(paragraph, style, boxes)
        level = self._styles.level(paragraph, style)
        if level and text.strip() and len(text) <= _LONGEST_HEADING:
            self.end_section()
            self.builder.add("heading", text, level=level, mark=mark)
        elif number:
            self.builder.add("item", text, mark=mark or "• ")
        elif not self._styles.name(style).startswith(_MADE):
            self.builder.add("paragraph", text)
        for box in boxes:
            self.read(box)

    def _words(self, element: Element, style: str, boxes: list[Element]) -> str:
        """Return the words of a paragraph or of a part of it, and put the text boxes in it aside."""
        words: list[str] = []
        for child in _children(element):
            match child.tag:
                case "t":
                    words.append(child.text or "")
                case "r" if not self._styles.switch(child, style, "vanish"):
                    run = self._words(child, style, boxes)
                    raised = _value(child, "rPr/vertAlign") == "superscript"
                    words.append(run.translate(_SUPERSCRIPT) if raised else run)
                case "footnoteReference" | "endnoteReference":
                    self._referred.append((child.tag.removesuffix("Reference"), attribute(child, "id")))
                case "txbxContent":
                    boxes.append(child)
                case "oMath" if any(part.tag != "r" for part in child):  # a fraction on one line says another thing
                    self.unread["formula"] += 1
                case "r":
                    pass
                case tag:
                    words.append(_BREAKS.get(tag) or self._words(child, style, boxes))
        return "".join(words)

    def _table(self, table: Element) -> None:
        rows = [
            (row, [cell for cell in _children(row) if cell.tag == "tc"])
            for row in _children(table)
            if row.tag == "tr" and row.find("trPr/del") is None and not _switch(row, "trPr/hidden")
        ]
        cells = [cell for _, cells in rows for cell in cells]
        if all(len(cells) < 2 for _, cells in rows) or any(cell.find("tbl") is not None for cell in cells):
            for cell in cells:  # a frame around text, or a page laid out with tables
                self.read(cell)
            return
        boxes: list[Element] = []
        headed = self._styles.has_header(table)
        read = [self._row(row, cells, boxes, marked=headed and number == 0) for number, (row, cells) in enumerate(rows)]
        for kind, text in read_table(read):
            self.builder.add(kind, text)
        for box in boxes:
            self.read(box)

    def _row(self, row: Element, cells: Sequence[Element], boxes: list[Element], *, marked: bool) -> Row:
        found: dict[int, str] = {}
        bold = True
        column = _number(_value(row, "trPr/gridBefore")) or 0
        for cell in cells:
            merged = cell.find("tcPr/vMerge")
            if merged is None or attribute(merged, "val") == "restart":
                paragraphs = [(part, _value(part, "pPr/pStyle")) for part in _children(cell) if part.tag == "p"]
                text = " ".join(self._words(part, style, boxes) for part, style in paragraphs).strip()
                if text:
                    found[column] = text
                    runs = ((run, style) for part, style in paragraphs for run in part.iter("r"))
                    bold = bold and all(
                        self._styles.switch(run, style, "b") for run, style in runs if run.find("t") is not None
                    )
            column += max(1, _number(_value(cell, "tcPr/gridSpan")) or 1)
        return Row(found, bold or marked or bool(_switch(row, "trPr/tblHeader")))


class _Styles:
    """What the styles of a Word document say, each by itself or through the style that it is based on."""

    def __init__(self, package: Package) -> None:
        parts = package.related(package.main, "styles")
        self._styles = {attribute(style, "styleId"): style for part in parts for style in package.tree(part)}

    def _chain(self, style: str) -> Iterator[Element]:
        seen: set[str] = set()
        while style in self._styles and style not in seen and len(seen) < 20:  # Word itself stops earlier
            seen.add(style)
            yield self._styles[style]
            style = _value(self._styles[style], "basedOn")

    def name(self, style: str) -> str:
        return next((_value(found, "name").lower() for found in self._chain(style)), "")

    def level(self, paragraph: Element, style: str) -> int:
        """Return the level of a heading, 1 to 6, or 0: by its place in the outline, else by its style's name."""
        for place in (paragraph, *self._chain(style)):
            outline = _number(_value(place, "pPr/outlineLvl"))
            if outline is not None:
                return min(outline + 1, 6) if outline < 9 else 0
            named = re.fullmatch("heading ([1-9])|title", _value(place, "name").lower())
            if named:
                return min(int(named[1] or 1), 6)
        return 0

    def numbering(self, paragraph: Element, style: str) -> tuple[str, int | None]:
        """Return the list that a paragraph belongs to, "" for none, and how deep in it, if that is said."""
        for place in (paragraph, *self._chain(style)):
            number = _value(place, "pPr/numPr/numId")
            if number:
                return number if number != "0" else "", _number(_value(place, "pPr/numPr/ilvl"))
        return "", None

    def switch(self, run: Element, style: str, name: str) -> bool:
        """Whether something is on for a run, by itself, its own style or its paragraph's."""
        places = (run, *self._chain(_value(run, "rPr/rStyle")), *self._chain(style))
        found = (_switch(place, f"rPr/{name}") for place in places)
        return next((on for on in found if on is not None), False)

    def has_header(self, table: Element) -> bool:
        """Whether a table's style sets its first row in bold type, and is asked to."""
        look = table.find("tblPr/tblLook")
        bits = int(attribute(look, "val", "0"), 16)
        return (attribute(look, "firstRow") in ("1", "true", "on") or bool(bits & 0x20)) and any(
            attribute(part, "type") == "firstRow" and bool(_switch(part, "rPr/b"))
            for style in self._chain(_value(table, "tblPr/tblStyle"))
            for part in style.iterfind("tblStylePr")
        )


class _Level(NamedTuple):
    start: int
    form: str
    pattern: str  # such as "%1.%2"
    style: str


class _Lists:
    """Counts the numbered paragraphs of a Word document as it would show them."""

    def __init__(self, package: Package) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._series: dict[str, str] = {}  # lists of one definition go on counting, unless they say where to start
        self._counts: dict[str, dict[int, int]] = {}
        for part in package.related(package.main, "numbering"):
            root = package.tree(part)
            definitions = {attribute(found, "abstractNumId"): found for found in root.iterfind("abstractNum")}
            for number in root.iterfind("num"):
                name, definition = attribute(number, "numId"), _value(number, "abstractNumId")
                starts = {
                    attribute(place, "ilvl"): _value(place, "startOverride") for place in number.iterfind("lvlOverride")
                }
                self._series[name] = f"num {name}" if starts else definition
                self._levels[name] = {
                    int(attribute(level, "ilvl", "0")): _Level(
                        _number(starts.get(attribute(level, "ilvl")) or _value(level, "start")) or 0,
                        _value(level, "numFmt"),
                        _value(level, "lvlText")[:40],
                        _value(level, "pStyle"),
                    )
                    for level in definitions.get(definition, ())
                    if level.tag == "lvl"
                }

    def mark(self, number: str, depth: int | None, style: str) -> str:
        """Count one more and return its number, such as "2.1 "; "" if it has none."""
        levels = self._levels.get(number, {})
        if depth is None:
            depth = next((depth for depth, level in levels.items() if level.style and level.style == style), 0)
        if depth not in levels:
            return ""
        counts = self._counts.setdefault(self._series[number], {})
        counts[depth] = counts.get(depth, levels[depth].start - 1) + 1
        for deeper in [other for other in counts if other > depth]:
            del counts[deeper]

        def count(match: re.Match[str]) -> str:
            place = int(match[1]) - 1
            level = levels.get(place)
            return "" if level is None else _counted(counts.get(place, level.start), level.form)

        form = levels[depth].form
        return f"{re.sub('%([1-9])', count, levels[depth].pattern)} " if _counted(1, form) else ""


def _counted(number: int, form: str) -> str:
    """Return a number in the form of a list, "" if it is no number."""
    match form:
        case "decimal":
            return str(number)
        case "decimalZero":
            return f"{number:02}"
        case "lowerLetter" | "upperLetter":
            letter = chr(97 + (number - 1) % 26) * (1 + min(number - 1, 999) // 26)
            return letter if form == "lowerLetter" else letter.upper()
        case "lowerRoman" | "upperRoman":
            numeral, rest = "", number % 400
            for value, sign in _ROMAN:
                numeral += sign * (rest // value)
                rest %= value
            return numeral if form == "lowerRoman" else numeral.upper()
    return ""


@guarded("PowerPoint presentation")
def read_pptx(data: bytes) -> Content:
    """Read a presentation: each slide under its title, then what its speaker's notes say. Hidden slides are noted."""
    package = Package(data, "presentation", "a PowerPoint presentation")
    relations = package.relations(package.main)
    builder = TextBuilder()
    hidden = 0
    for page, listed in enumerate(package.tree(package.main).iterfind("sldIdLst/sldId"), start=1):
        kind, part = relations.get(relation_id(listed), ("", ""))
        slide = package.tree(part if kind == "slide" else "")
        if slide.get("show") in ("0", "false"):
            hidden += 1
        elif slide.tag:
            _Slide(package, part, slide, builder, page).read()
    notes = [f"left out {hidden:,} hidden slide{'s' * (hidden > 1)}"] if hidden else []
    blocks = tuple(_sections(builder.blocks))
    return Content(builder.text, blocks, package.details(), (*notes, *package.lost()))


def _sections(blocks: Sequence[Block]) -> Iterator[Block]:
    """Put a heading without words before a slide without a title, so that it does not go on with the slide before."""
    page = None
    for block in blocks:
        if block.page != page and block.kind != "heading":
            yield Block("heading", block.start, block.start, 2, block.page)
        page = block.page
        yield block


class _Slide:
    """One slide, read from top to bottom and from left to right, its title first."""

    def __init__(self, package: Package, part: str, slide: Element, builder: TextBuilder, page: int) -> None:
        self._package, self._part, self._slide, self._builder, self._page = package, part, slide, builder, page
        layouts = (package.tree(layout) for layout in package.related(part, "slideLayout"))
        self._layout = {
            place.get("idx", "0"): shape
            for layout in layouts
            for shape in layout.iter("sp")
            for place in shape.iterfind("nvSpPr/nvPr/ph")
        }

    def read(self) -> None:
        for tree in self._slide.iterfind("cSld/spTree"):
            for shape in self._in_order(tree):
                self._shape(shape)
        for part in self._package.related(self._part, "notesSlide"):
            for shape in self._package.tree(part).iter("sp"):
                if _placeholder(shape) == "body":
                    for paragraph in shape.iterfind("txBody/p"):
                        self._builder.add("paragraph", _line(paragraph), page=self._page)

    def _in_order(self, tree: Element) -> list[Element]:
        """Return the shapes of a slide or a group as one reads them; those beside each other count as one line."""
        placed = sorted(((*self._place(shape), shape) for shape in _children(tree)), key=lambda found: found[:2])
        line = -_LINE
        shapes: list[tuple[int, int, Element]] = []
        for top, left, shape in placed:
            line = top if top - line >= _LINE else line
            shapes.append((line, left, shape))
        return [shape for *_, shape in sorted(shapes, key=lambda found: found[:2])]

    def _place(self, shape: Element) -> tuple[int, int]:
        """Return how far from the top and from the left a shape is; a title is before everything."""
        if _placeholder(shape) in ("title", "ctrTitle"):
            return -_LINE, 0
        inherited = self._inherited(shape)
        for found in (shape, *([] if inherited is None else [inherited])):
            for path in ("spPr/xfrm/off", "grpSpPr/xfrm/off", "xfrm/off"):
                if (corner := found.find(path)) is not None:
                    return int(corner.get("y", "0")), int(corner.get("x", "0"))
        return 0, 0

    def _inherited(self, shape: Element) -> Element | None:
        place = shape.find("nvSpPr/nvPr/ph")
        return None if place is None else self._layout.get(place.get("idx", "0"))

    def _shape(self, shape: Element) -> None:
        kind = _placeholder(shape)
        if shape.tag == "grpSp":
            for inner in self._in_order(shape):
                self._shape(inner)
        elif shape.tag == "graphicFrame":
            self._frame(shape)
        elif kind in ("title", "ctrTitle"):
            text = " ".join(map(_line, shape.iterfind("txBody/p")))
            self._builder.add("heading", text, level=2, page=self._page)
        elif kind not in ("dt", "ftr", "sldNum", "hdr"):
            inherited = self._inherited(shape)
            plain = kind == "subTitle" or kind is None or len(shape.findall("txBody/p")) == 1
            plain = plain or (inherited is not None and inherited.find("txBody/lstStyle/lvl1pPr/buNone") is not None)
            number = 0
            for paragraph in shape.iterfind("txBody/p"):
                signs = {sign.tag for sign in paragraph.iterfind("pPr/*")}
                number = number + 1 if "buAutoNum" in signs else 0
                item = bool(signs & {"buAutoNum", "buChar", "buBlip"}) or not (plain or "buNone" in signs)
                mark = f"{number}. " if number else "• "
                self._builder.add("item" if item else "paragraph", _line(paragraph), mark=mark * item, page=self._page)

    def _frame(self, frame: Element) -> None:
        """Append a table, or the words of a diagram, which are in a part of their own."""
        for table in frame.iterfind("graphic/graphicData/tbl"):
            headed = attribute(table.find("tblPr"), "firstRow") in ("1", "true")
            rows = []
            for number, row in enumerate(table.iterfind("tr")):
                cells = {
                    column: " ".join(map(_line, cell.iterfind("txBody/p"))).strip()
                    for column, cell in enumerate(row.iterfind("tc"))
                    if not {"1", "true"} & {cell.get("hMerge"), cell.get("vMerge")}
                }
                rows.append(Row({column: text for column, text in cells.items() if text}, headed and number == 0))
            for kind, text in read_table(rows):
                self._builder.add(kind, text, page=self._page)
        for diagram in frame.iterfind("graphic/graphicData/relIds"):
            part = self._package.relations(self._part).get(relation_id(diagram, "dm"))
            for paragraph in self._package.tree(part.target if part else "").iterfind("ptLst/pt/t/p"):
                self._builder.add("item", _line(paragraph), mark="• ", page=self._page)


#: Shapes whose tops are nearer than this stand beside each other, in EMU: a third of an inch.
_LINE = 304_800


def _placeholder(shape: Element) -> str | None:
    """Return the role of a shape in its layout, ``None`` if it has none."""
    place = shape.find("nvSpPr/nvPr/ph")
    return None if place is None else place.get("type", "obj")


def _line(paragraph: Element) -> str:
    words = []
    for part in _children(paragraph):
        text = " " if part.tag == "br" else part.findtext("t") or ""
        raised = int(attribute(part.find("rPr"), "baseline", "0").rstrip("%")) > 0
        words.append(text.translate(_SUPERSCRIPT) if raised else text)
    return "".join(words)


def _children(element: Iterable[Element]) -> Iterator[Element]:
    """Yield what an element holds, and in place of a mere wrapper what that holds."""
    for child in element:
        if child.tag not in _WRAPPERS:
            if child.tag not in _UNREAD:
                yield child
        elif child.find("sdtPr/showingPlcHdr") is None:  # "Click here to enter text"
            choice = child.find("Choice")
            yield from _children(child if choice is None else choice)


def _value(element: Element, path: str) -> str:
    return attribute(element.find(path), "val")


def _switch(element: Element, path: str) -> bool | None:
    """Whether something is switched on or off, ``None`` if that is not said."""
    found = element.find(path)
    return None if found is None else attribute(found, "val", "1") not in ("0", "false", "off")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 7 else None
