"""Files as browsers, offices and other programs write them, with sentences planted at the ends and in the middle."""

from __future__ import annotations

import csv
import html
import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from itertools import pairwise

import docx
from docx.document import Document as Word
from pptx import Presentation
from pptx.util import Inches
from xlsxwriter import Workbook

from tests.documents.test_epub import book
from tests.documents.test_pdf import make, say

_WORDS = (
    "harbour ferry winter lantern keeper ticket village council report budget school library bridge valley season "
    "market teacher garden railway station letter engine weather museum office member visitor summer evening window"
).split()
_ADJECTIVES = "old quiet narrow public early local distant yearly green careful northern wooden former open".split()
_VERBS = "reaches serves repairs follows opens visits paints describes supports replaces joins crosses".split()
_MONTHS = "January April June August October December".split()


@dataclass(frozen=True, slots=True)
class Made:
    """A file, and the sentences that were planted in it: in its first, its middle and its last hundredth."""

    name: str
    data: bytes
    planted: Sequence[str]


class Author:
    """Writes prose that never comes again, and plants sentences of which each has a word that no other has."""

    def __init__(self, chance: random.Random, accents: bool = True) -> None:
        self.chance, self.planted, self.accents = chance, list[str](), accents

    def sentence(self) -> str:
        pick = self.chance.choice
        said = f"The {pick(_ADJECTIVES)} {pick(_WORDS)} {pick(_VERBS)} the {pick(_ADJECTIVES)} {pick(_WORDS)}"
        more: tuple[str, ...] = (
            "", f" in {pick(_MONTHS)} {self.chance.randint(1900, 2024)}", f", by {self.chance.randint(2, 99)} %",
            f" (see page {self.chance.randint(1, 300)})", f" near the {pick(_WORDS)} and the {pick(_WORDS)}",
        )  # fmt: skip
        if self.accents:
            more += (" in Malmö", " – as the café’s “Ærø” says –", " at 20 °C")
        return f"{said}{pick(more)}."

    def plant(self) -> str:
        mark = "".join(self.chance.choices("bcdfghklmnprstvz", k=1) + self.chance.choices("aeioubdgklmnrstz", k=7))
        self.planted.append(f"The {mark} key opens the {self.chance.choice(_ADJECTIVES)} gate of {mark.capitalize()}.")
        return self.planted[-1]

    def paragraphs(self, count: int, most: int = 5) -> list[str]:
        """Paragraphs of which the first begins, the middle one goes on, and the last ends with a planted sentence."""
        found = [
            [self.sentence() for _ in range(self.chance.randint(1, most) if 0 < at < count - 1 else 1)]
            for at in range(count)
        ]
        found[0].insert(0, self.plant())
        found[count // 2].insert(1, self.plant())
        found[-1].append(self.plant())
        return [" ".join(sentences) for sentences in found]

    def title(self) -> str:
        pick = self.chance.choice
        return f"{pick(_ADJECTIVES).capitalize()} {pick(_WORDS)} and {pick(_WORDS)}"

    def day(self) -> date:
        return date(2015, 1, 1) + timedelta(days=self.chance.randrange(3_500))


# --- pages saved from the web -----------------------------------------------------------------------------------------

_BEFORE = (
    '<a class="skip-link" href="#content">Skip to content</a>',
    '<div id="onetrust-banner-sdk" class="otFlat" role="dialog" aria-label="Cookies"><p>We use cookies to make this'
    ' site work. <a href="/cookies">Read more</a></p><button>Accept all</button><button>Reject</button></div>',
    '<div class="cookie-consent cc-window"><span>This website uses cookies.</span><a class="cc-btn">Got it!</a></div>',
    '<header class="site-header"><img src="./page_files/logo.png" alt="Logo"><form role="search"><input name="q">'
    "<button>Search</button></form></header>",
    '<nav class="navbar"><ul><li><a href="/">Home</a></li><li><a href="/news">News</a><ul><li><a href="/a">Archive</a>'
    '</li></ul></li><li><a href="/contact">Contact</a></li></ul></nav>',
    '<div role="navigation" class="breadcrumbs"><a href="/">Home</a> &gt; <a href="/n">News</a></div>',
    '<noscript><iframe src="https://tags.example/ns.html" height="0"></iframe></noscript>',
)  # fmt: skip
_AFTER = (
    '<aside class="related"><h3>Related</h3><ul><li><a href="/1">Another page</a></li></ul></aside>',
    '<div class="share"><a href="#">Share</a><a href="#">Tweet</a></div>',
    '<footer><p>&copy; 2024 The Office</p><ul><li><a href="/p">Privacy</a></li><li><a>Imprint</a></li></ul></footer>',
    '<script>window.dataLayer=window.dataLayer||[];document.write("<div></div>");if(1<2){x="</p>"}</script>',
    '<svg style="display:none"><symbol id="i"><title>Icon</title><path d="M0 0"/></symbol></svg>',
)  # fmt: skip


def saved_page(chance: random.Random) -> tuple[str, bytes, Author]:
    encoding = chance.choice(("utf-8", "windows-1252", "utf-16", "utf-8-sig"))
    author = Author(chance)
    parts = [_in_html(chance, text) for text in author.paragraphs(chance.randint(60, 140))]
    for at in range(0, len(parts), 12):
        level = chance.choice((2, 2, 3))
        parts[at] = f'<h{level} id="s{at}"><span>{author.title()}</span></h{level}>\n{parts[at]}'
    between = (
        '<figure><img src="a_files/1.jpg" alt=""><figcaption>A view</figcaption></figure>', "<!-- ad --><div></div>",
        '<div class="ad-slot"><script async src="https://ads.example/a.js"></script></div>', "<hr>",
        '<table class="data"><caption>Members</caption><thead><tr><th>Year</th><th>Count</th></tr></thead><tbody>'
        '<tr><td>2020</td><td>12</td></tr><tr><td>2021</td><td>15</td></tr></tbody></table>',
    )  # fmt: skip
    for _ in range(5):
        parts.insert(chance.randrange(1, len(parts) - 1), chance.choice(between))
    opening, closing = chance.choice((
        ('<main id="content"><article>', "</article></main>"), ('<div id="content" class="all"><div>', "</div></div>"),
        ('<table width="100%"><tr><td valign="top">', "</td></tr></table>"), ('<div class="entry-content">', "</div>"),
        ('<body><center><div align="left">', "</div></center>"), ("", ""),
    ))  # fmt: skip
    before = "\n".join(chance.sample(_BEFORE, chance.randint(2, len(_BEFORE))))
    after = "\n".join(chance.sample(_AFTER, chance.randint(2, len(_AFTER))))
    doctype = chance.choice(("<!DOCTYPE html>", '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">', ""))
    charset = encoding.removesuffix("-sig")
    declared = (
        "" if encoding == "utf-16" else f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">'
    )
    page = (
        f"{doctype}\n<!-- saved from url=(0031)https://www.example.org/{author.title().replace(' ', '-')} -->\n"
        f'<html lang="en" class="js"><head>{declared}<title>{author.title()}</title>\n'
        "<style>.a>.b{color:red}</style><script>var a='<body>';</script>"
        '<script type="application/ld+json">{"@type":"Article","text":"<p>"}</script></head>\n'
        f'<body class="home">{before}\n{opening}<h1>{author.title()}</h1>\n'
        + "\n".join(parts) + f"\n{closing}\n{after}\n</body></html>"
    )  # fmt: skip
    return f"page{chance.choice(('.html', '.htm'))}", page.encode(encoding), author


def _in_html(chance: random.Random, text: str) -> str:
    said = html.escape(text, quote=False)
    if chance.random() < 0.3:
        words = said.split(" ")
        at = chance.randrange(len(words))
        tag = chance.choice(
            ("<b>{}</b>", '<a href="/x">{}</a>', '<span style="x">{}</span>', "<em>{}</em>", "{}<!-- -->")
        )
        words[at] = tag.format(words[at])
        said = " ".join(words)
    if chance.random() < 0.2:
        said = said.replace(" ", "\n  ", 3)
    if chance.random() < 0.2:
        said = said.replace("–", "&ndash;").replace("’", "&rsquo;").replace("ö", "&ouml;").replace(" in ", " in&nbsp;")
    return chance.choice((
        "<p>{}</p>", "<p>{}</p>", "<p>{}</p>", "<p>{}", "<div>{}</div>", "<ul><li>{}</li></ul>",
        "<blockquote><p>{}</p></blockquote>", "<details><summary>More</summary><p>{}</p></details>", "{}<br><br>",
        "<dl><dt>Note</dt><dd>{}</dd></dl>", "<table><tr><td>1</td><td>{}</td></tr></table>", "<section>{}</section>",
        "<ol><li><p>{}</p></li></ol>", '<p class="MsoNormal"><span lang="EN-GB">{}<o:p></o:p></span></p>',
    )).format(said)  # fmt: skip


# --- PDF --------------------------------------------------------------------------------------------------------------


def two_columns(chance: random.Random) -> tuple[str, bytes, Author]:
    """Courier of 8 points in two columns of 44 letters, words hyphenated at times.

    Columns may be written line by line, as under a scan, where both are full: few lines are not told from a table.
    """
    author = Author(chance)
    lines: list[tuple[str, bool]] = []
    for text in author.paragraphs(chance.randint(60, 120)):
        if chance.random() < 0.08:
            lines += [("", False), (author.title(), True)]
        lines += [(line, False) for line in _broken(chance, text, 44)]
        lines.append(("", False))
    pages, per, head = [], 58, author.title()
    by_rows, kerned = chance.random() < 0.5, chance.random() < 0.5
    for number, at in enumerate(range(0, len(lines), 2 * per)):
        columns = [lines[at : at + per], lines[at + per : at + 2 * per]]
        drawn = [
            (row, column, _shown(text, 60 + 250 * column, 760 - 11 * row, bold, kerned))
            for column, its in enumerate(columns)
            for row, (text, bold) in enumerate(its)
            if text
        ]
        woven = by_rows and len(columns[1]) == per
        drawn.sort(key=lambda one: one[:2] if woven else (one[1], one[0]))
        edge = say(head, 60, 800, 7) + say(f"Page {number + 1}", 280, 40, 7)
        pages.append(edge + "".join(text for _, _, text in drawn))
    return "columns.pdf", make(pages, info=f"/Title ({head}) /Producer (LibreOffice 7.4)"), author


def _broken(chance: random.Random, text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        room = width - len(lines[-1]) - 1
        if len(word) <= room or not lines[-1]:
            lines[-1] = f"{lines[-1]} {word}".strip()
        elif (
            len(word) > 6 and word.isalpha() and word.islower() and 4 <= room < len(word) - 2 and chance.random() < 0.5
        ):
            lines[-1] += f" {word[: room - 1]}-"
            lines.append(word[room - 1 :])
        else:
            lines.append(word)
    return lines


def _shown(text: str, x: float, y: float, bold: bool, kerned: bool) -> str:
    if not kerned or bold:
        return say(text, x, y, 10 if bold else 8, int(bold))
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    cut = escaped.replace(" ", ") -20 ( ").replace("th", "t) 15 (h")
    return f"q BT /F0 8 Tf 1 0 0 1 {x} {y} Tm [({cut})] TJ ET Q\n"


def printable(chance: random.Random) -> tuple[str, Author]:
    """A page that a browser prints in columns, justified and hyphenated, with pictures and tables between."""
    author = Author(chance)
    parts = [f"<p>{html.escape(text)}</p>" for text in author.paragraphs(chance.randint(60, 120))]
    for at in range(0, len(parts), 15):
        parts[at] = f"<h2>{author.title()}</h2>{parts[at]}"
    for _ in range(3):
        cells = "".join(f"<tr><td>{author.day()}</td><td>{chance.randint(1, 99)}</td></tr>" for _ in range(4))
        parts.insert(chance.randrange(5, len(parts) - 5), f"<table><tr><th>Day</th><th>Count</th></tr>{cells}</table>")
    style = (
        f"article{{columns:{chance.choice((1, 2, 2, 3))};column-gap:{chance.choice((8, 10))}mm;hyphens:auto;"
        f"text-align:{chance.choice(('justify', 'left'))};font:{chance.choice((8, 9, 11))}pt "
        f"{chance.choice(('serif', 'sans-serif'))}}}h1{{column-span:all}}td{{border:1px solid}}"
    )
    return (
        f'<html lang="en"><head><meta charset="utf-8"><title>{author.title()}</title><style>{style}</style></head>'
        f"<body><article><h1>{author.title()}</h1>{''.join(parts)}</article></body></html>",
        author,
    )


# --- offices ----------------------------------------------------------------------------------------------------------


def word(chance: random.Random) -> tuple[str, bytes, Author]:
    author, made = Author(chance), docx.Document()
    made.core_properties.title = author.title()
    made.sections[0].header.paragraphs[0].text = "Draft for the council"
    made.sections[0].footer.paragraphs[0].text = "Page 1 of 9"
    for text in author.paragraphs(chance.randint(60, 140)):
        if chance.random() < 0.1:
            made.add_heading(author.title(), chance.randint(1, 3))
        _in_word(chance, made, text, author)
    data = io.BytesIO()
    made.save(data)
    return "minutes.docx", data.getvalue(), author


def _in_word(chance: random.Random, made: Word, text: str, author: Author) -> None:
    kind = chance.random()
    if kind < 0.2:
        made.add_paragraph(text, style=chance.choice(("List Bullet", "List Number", "List Bullet 2", "Quote")))
    elif kind < 0.35:
        count = chance.randint(2, 5)
        table = made.add_table(rows=count, cols=3, style="Table Grid")
        place = chance.randrange(count)
        for row in range(count):
            for column in range(3):
                table.cell(row, column).text = text if (row, column) == (place, 1) else f"{author.day():%d.%m.%Y}"
        if chance.random() < 0.3:
            table.cell(0, 0).merge(table.cell(count - 1, 0))
    else:
        paragraph = made.add_paragraph()
        for piece in _cut(chance, text):
            run = paragraph.add_run(piece)
            run.bold, run.italic = chance.random() < 0.2, chance.random() < 0.1
        if chance.random() < 0.1:
            paragraph.runs[-1].add_break()


def _cut(chance: random.Random, text: str) -> list[str]:
    """An office cuts a text wherever somebody has once stood with the cursor."""
    places = sorted({0, len(text), *(chance.randrange(len(text)) for _ in range(chance.randint(0, 4)))})
    return [text[first:last] for first, last in pairwise(places)]


def slides(chance: random.Random) -> tuple[str, bytes, Author]:
    author, deck = Author(chance), Presentation()
    for text in author.paragraphs(chance.randint(30, 60), most=2):
        layout = chance.choice((1, 5, 6))
        slide = deck.slides.add_slide(deck.slide_layouts[layout])
        if slide.shapes.title is not None:
            slide.shapes.title.text = author.title()
        kind = chance.random()
        if layout == 1 and kind < 0.6:
            slide.placeholders[1].text_frame.text = text
        elif kind < 0.3:
            table = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(6), Inches(2)).table
            table.cell(1, 1).text, table.cell(0, 0).text = text, "Note"
        elif kind < 0.4 and len(author.planted) not in (1, 3):
            notes = slide.notes_slide.notes_text_frame
            assert notes is not None
            notes.text = text
        else:
            frame = slide.shapes.add_textbox(Inches(1), Inches(3), Inches(6), Inches(2)).text_frame
            for piece in _cut(chance, text):
                frame.paragraphs[0].add_run().text = piece
    data = io.BytesIO()
    deck.save(data)
    return "talk.pptx", data.getvalue(), author


def sheets(chance: random.Random) -> tuple[str, bytes, Author]:
    author, data = Author(chance), io.BytesIO()
    texts = author.paragraphs(chance.randint(90, 200), most=2)
    with Workbook(data, {"in_memory": True, "constant_memory": chance.random() < 0.3}) as made:
        day, money, bold = (made.add_format({key: value}) for key, value in
                            (("num_format", "dd/mm/yyyy"), ("num_format", "#,##0.00 €"), ("bold", True)))  # fmt: skip
        for name in ("Summary", "Details & notes", "2024"):
            share, texts = (texts, []) if name == "2024" else (texts[: len(texts) // 2], texts[len(texts) // 2 :])
            sheet = made.add_worksheet(name)
            top = chance.choice((0, 0, 2))
            if top and name != "Summary":
                sheet.write(0, 0, author.title(), bold)
            for column, head in enumerate(("Day", "Place", "Remark", "Amount", "Done")):
                sheet.write(top, column, head, bold)
            for row, text in enumerate(share, top + 1):
                sheet.write_datetime(row, 0, datetime.combine(author.day(), datetime.min.time()), day)
                sheet.write(row, 1, author.title())
                if chance.random() < 0.2:
                    sheet.write_rich_string(row, 2, bold, text[:9], text[9:])
                else:
                    sheet.write(row, 2, text)
                if chance.random() < 0.8:
                    sheet.write_number(row, 3, chance.randint(1, 10**6) / 100, money)
                sheet.write_boolean(row, 4, chance.random() < 0.5)
            sheet.write_formula(len(share) + top + 1, 3, f"=SUM(D{top + 2}:D{len(share) + top + 1})", money, 12.5)
    return "figures.xlsx", data.getvalue(), author


def comma_separated(chance: random.Random) -> tuple[str, bytes, Author]:
    author, out = Author(chance), io.StringIO()
    mark = chance.choice((";", ";", ",", "\t"))
    writer = csv.writer(out, delimiter=mark, quoting=chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
                        lineterminator=chance.choice(("\r\n", "\n")))  # fmt: skip
    writer.writerow(("Day", "Place", "Remark", "Amount"))
    for text in author.paragraphs(chance.randint(90, 200), most=3):
        place = f'The "{author.title()}"' if chance.random() < 0.2 else author.title()
        remark = text.replace(". ", ".\n", 1) if chance.random() < 0.1 else text
        writer.writerow((f"{author.day():%d.%m.%Y}", place, remark, f"{chance.randint(1, 99)},50"))
    return "export.csv", out.getvalue().encode(chance.choice(("utf-8", "utf-8-sig", "cp1252", "utf-16"))), author


# --- books, mails, texts ----------------------------------------------------------------------------------------------


def novel(chance: random.Random) -> tuple[str, bytes, Author]:
    author = Author(chance)
    texts = author.paragraphs(chance.randint(60, 140))
    chapters = {}
    for at in range(0, len(texts), 15):
        body = "".join(
            f'<p class="{chance.choice(("calibre1", "indent"))}">{"".join(f"<span>{html.escape(piece)}</span>" for piece in _cut(chance, text))}</p>\n'  # noqa: E501
            for text in texts[at : at + 15]
        )
        chapters[f"part{at:04}.xhtml"] = (
            '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml" '
            'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title><link href="../a.css"/>'
            f'</head><body><section epub:type="chapter"><h2>{author.title()}</h2>{body}</section></body>'
            "</html>"
        )
    return "novel.epub", book(chapters), author


def mail(chance: random.Random) -> tuple[str, bytes, Author]:
    author, made = Author(chance), EmailMessage()
    made["Subject"], made["From"] = f"Re: {author.title()} – Grüße", "Ida Bränd <ida@example.org>"
    made["To"], made["Date"] = "office@example.org", "Tue, 4 Jun 2024 10:00:00 +0200"
    texts = author.paragraphs(chance.randint(40, 90))
    encoding = chance.choice(("quoted-printable", "base64", "8bit"))
    charset = chance.choice(("utf-8", "utf-8", "windows-1252"))
    made.set_content("\n\n".join(texts) + "\n", cte=encoding, charset=charset)
    if chance.random() < 0.6:
        made.add_alternative("<html><body>" + "".join(f"<p>{html.escape(text)}</p>" for text in texts), subtype="html",
                             cte="quoted-printable")  # fmt: skip
    if chance.random() < 0.7:
        made.add_attachment(chance.randbytes(2_000), maintype="image", subtype="png", filename="Foto ü.png")
    if chance.random() < 0.3:
        made.add_attachment("Day;Place\n1;Pier\n", subtype="csv", filename="list.csv")
    return "letter.eml", made.as_bytes(), author


def marked(chance: random.Random) -> tuple[str, bytes, Author]:
    author = Author(chance)
    forms: Sequence[Callable[[str], str]] = (
        str, str, str, lambda text: f"> {text}", lambda text: f"- {text}", lambda text: f"1. {text}",
        lambda text: f"| Note | Text |\n|---|---|\n| 1 | {text} |", lambda text: text.replace(". ", ".\n", 2),
        lambda text: f"```\n{text}\n```", lambda text: f"- [ ] {text}", lambda text: f"**Note** {text}",
        lambda text: f"{text}[^1]", lambda text: f"* one\n  * {text}",
    )  # fmt: skip
    parts = []
    for text in author.paragraphs(chance.randint(60, 140)):
        if chance.random() < 0.1:
            parts.append(
                chance.choice((f"## {author.title()}", f"{author.title()}\n-----", f"### {author.title()} ###"))
            )
        parts.append(chance.choice(forms)(text))
    front = f"---\ntitle: {author.title()}\nupdated: {author.day()}\n---\n\n" if chance.random() < 0.5 else ""
    end = chance.choice(("\n", "\r\n"))
    return "notes.md", (front + "\n\n".join(parts) + "\n\n[^1]: x\n").replace("\n", end).encode(), author


def plain(chance: random.Random) -> tuple[str, bytes, Author]:
    author = Author(chance)
    texts = author.paragraphs(chance.randint(60, 140))
    if chance.random() < 0.6:
        texts = ["\n".join(_lines(text, chance.choice((60, 72, 78)))) for text in texts]
    end, indent = chance.choice(("\n", "\r\n")), chance.choice(("", "  "))
    whole = "\n\n".join(indent + text.replace("\n", f"\n{indent}") for text in texts) + "\n"
    return (
        "readme.txt",
        whole.replace("\n", end).encode(chance.choice(("utf-8", "cp1252", "utf-16", "utf-8-sig"))),
        author,
    )


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for one in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(one) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {one}".strip()
    return lines


KINDS: Mapping[str, Callable[[random.Random], tuple[str, bytes, Author]]] = {
    "saved page": saved_page, "PDF": two_columns, "docx": word, "xlsx": sheets, "csv": comma_separated, "pptx": slides,
    "epub": novel, "eml": mail, "md": marked, "txt": plain,
}  # fmt: skip


def mixed(chance: random.Random, count: int) -> list[Made]:
    """Make files of all kinds in turn."""
    kinds = list(KINDS.values())
    found = []
    for number in range(count):
        name, data, author = kinds[number % len(kinds)](chance)
        found.append(Made(f"{number:02}-{name}", data, tuple(author.planted)))
    return found
