"""What a reader of Word documents and presentations may rely on: what a person sees, in the order of reading."""

from __future__ import annotations

from io import BytesIO

import docx
import pytest
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from docx.shared import Inches as DocxInches
from hypothesis import given, settings
from hypothesis import strategies as st
from pptx import Presentation
from pptx.presentation import Presentation as Deck
from pptx.util import Inches

from bot.documents.content import Content
from bot.documents.office import read_docx, read_pptx
from tests.documents import pieces
from tests.documents.test_zipped import changed

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738"
    "550000000049454e44ae426082"
)
W = nsdecls("w")


def read(document: Document) -> Content:
    data = BytesIO()
    document.save(data)
    return read_docx(data.getvalue())


def read_body(*elements: str) -> Content:
    """Read a Word document with this XML in its body."""
    document = docx.Document()
    for element in elements:
        document.element.body.insert(len(document.element.body) - 1, parse_xml(element.replace(">", f" {W}>", 1)))
    return read(document)


def p(inside: str) -> str:
    return f"<w:p>{inside}</w:p>"


def r(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_a_document_becomes_blocks_in_its_order() -> None:
    document = docx.Document()
    document.add_heading("Birds of the island", 0)
    document.add_heading("Puffins", 1)
    document.add_paragraph("Puffins breed on the\twestern\ncliffs.")
    document.add_paragraph("They eat:")
    document.add_paragraph("fish", "List Bullet")
    document.add_paragraph("more fish", "List Bullet")
    table = document.add_table(3, 2, "Light Grid Accent 1")
    for row, words in zip(table.rows, [("Bird", "Nests"), ("Puffin", "in holes"), ("Tern", "on sand")], strict=True):
        for cell, word in zip(row.cells, words, strict=True):
            cell.text = word
    document.add_heading("Counting", 2)
    document.add_paragraph("look", "List Number")
    document.add_paragraph("listen", "List Number")
    document.sections[0].header.paragraphs[0].text = "Island Society"
    document.sections[0].footer.paragraphs[0].text = "Page 1"
    content = read(document)
    assert pieces(content) == [
        ("h1", "Birds of the island"),
        ("h1", "Puffins"),
        ("paragraph", "Puffins breed on the western cliffs."),
        ("paragraph", "They eat:"),
        ("item", "fish"),
        ("item", "more fish"),
        ("row", "Bird: Puffin | Nests: in holes"),
        ("row", "Bird: Tern | Nests: on sand"),
        ("h2", "Counting"),
        ("item", "look"),
        ("item", "listen"),
    ]
    assert "• fish\n• more fish" in content.text and content.text.endswith("1. look\n2. listen")
    assert content.notes == ()


def test_what_was_deleted_or_hidden_is_left_out_and_what_was_inserted_stays() -> None:
    content = read_body(
        p(
            r("Puffins ")
            + f'<w:ins w:id="1" w:author="a">{r("often ")}</w:ins>'
            + '<w:del w:id="2" w:author="a"><w:r><w:delText>never </w:delText></w:r></w:del>'
            + f'<w:moveFrom w:id="3" w:author="a">{r("moved ")}</w:moveFrom>'
            + r("secret ", "<w:vanish/>")
            + r("breed ", '<w:vanish w:val="0"/>')
            + r("here.")
        )
    )
    assert pieces(content) == [("paragraph", "Puffins often breed here.")]


def test_links_fields_and_controls_keep_their_words() -> None:
    control = "<w:sdt><w:sdtPr>{}</w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>"
    content = read_body(
        p(f'<w:hyperlink w:anchor="x">{r("Our page")}</w:hyperlink>{r(" of ")}{control.format("", r("May"))}'),
        control.format("", p(r("A paragraph in a control."))),
        control.format("<w:showingPlcHdr/>", p(r("Click here to enter text."))),
        p(
            '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>REF x</w:instrText></w:r>'
            f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{r("Chapter 2")}'
            '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
        ),
        p(r("10") + r("3", '<w:vertAlign w:val="superscript"/>') + "<w:r><w:noBreakHyphen/></w:r>" + r("fold")),
    )
    assert [words for _, words in pieces(content)] == [
        "Our page of May",
        "A paragraph in a control.",
        "Chapter 2",
        "10³-fold",
    ]


def test_a_text_box_is_read_once_after_its_paragraph() -> None:
    box = f"<w:txbxContent>{p(r('In the box.'))}</w:txbxContent>"
    content = read_body(
        p(
            r("Before.")
            + '<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
            + f'<mc:Choice Requires="wps"><w:drawing>{box}</w:drawing></mc:Choice>'
            + f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
        ),
        p(r("After.")),
    )
    assert [words for _, words in pieces(content)] == ["Before.", "In the box.", "After."]


def test_headings_are_told_by_the_outline_whatever_their_style_is_called() -> None:
    document = docx.Document()
    mine = document.styles.add_style("Überschrift der Abteilung", 1)
    mine.base_style = document.styles["Heading 3"]
    document.add_paragraph("By its base", mine)
    outlined = document.add_paragraph("By itself")
    outlined.paragraph_format.element.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {W} w:val="1"/>'))
    quiet = document.styles.add_style("Quiet", 1)  # based on a heading, and said to be none
    quiet.base_style = mine
    quiet.element.append(parse_xml(f'<w:pPr {W}><w:outlineLvl w:val="9"/></w:pPr>'))
    document.add_paragraph("Not in the outline", quiet)
    document.add_paragraph("A clause. " * 30, "Heading 1")
    assert [kind for kind, _ in pieces(read(document))] == ["h3", "h2", "paragraph", "paragraph"]


def test_styles_based_on_each_other_end() -> None:
    document = docx.Document()
    one, two = document.styles.add_style("One", 1), document.styles.add_style("Two", 1)
    one.base_style, two.base_style = two, one
    document.add_paragraph("Round and round.", one)
    assert pieces(read(document)) == [("paragraph", "Round and round.")]


def test_a_table_of_contents_is_not_read_twice() -> None:
    document = docx.Document()
    document.styles.add_style("toc 1", 1)
    document.add_paragraph("Puffins 3", "toc 1")
    document.add_heading("Puffins", 1)
    assert pieces(read(document)) == [("h1", "Puffins")]


def test_a_numbered_outline_counts_as_it_is_shown() -> None:
    document = docx.Document()
    numbering = document.part.numbering_part.element
    levels = ["%1.", "%1.%2", "(%3)"]
    forms = ["decimal", "decimal", "lowerLetter"]
    level = '<w:lvl w:ilvl="{}"><w:start w:val="1"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'
    inside = "".join(level.format(n, form, text) for n, (form, text) in enumerate(zip(forms, levels, strict=True)))
    numbering.insert(0, parse_xml(f'<w:abstractNum {W} w:abstractNumId="77">{inside}</w:abstractNum>'))
    numbering.append(parse_xml(f'<w:num {W} w:numId="77"><w:abstractNumId w:val="77"/></w:num>'))
    for depth, text in [(0, "Fees"), (1, "Entry"), (1, "Hire"), (2, "boats"), (2, "bikes"), (0, "Rules"), (1, "Dogs")]:
        properties = document.add_paragraph(text).paragraph_format.element.get_or_add_pPr()
        properties.append(parse_xml(f'<w:numPr {W}><w:ilvl w:val="{depth}"/><w:numId w:val="77"/></w:numPr>'))
    content = read(document)
    assert content.text.split("\n") == "1. Fees|1.1 Entry|1.2 Hire|(a) boats|(b) bikes|2. Rules|2.1 Dogs".split("|")
    assert {kind for kind, _ in pieces(content)} == {"item"}


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def tc(text: str, properties: str = "", run: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{p(r(text, run))}</w:tc>"


def test_merged_cells_are_read_once_and_under_their_column() -> None:
    content = read_body(
        table(
            tc("Region") + tc("Country") + tc("Members"),
            tc("East", '<w:vMerge w:val="restart"/>') + tc("Kenya") + tc("12"),
            tc("East", "<w:vMerge/>") + tc("Uganda") + tc("5"),
            tc("In all", '<w:gridSpan w:val="2"/>') + tc("17"),
        )
    )
    assert [words for _, words in pieces(content)] == [
        "Region: East | Country: Kenya | Members: 12",
        "Country: Uganda | Members: 5",
        "Region: In all | Members: 17",
    ]


@pytest.mark.parametrize("bold", [True, False])
def test_a_first_row_in_bold_type_is_a_header(bold: bool) -> None:
    head = "<w:b/>" if bold else ""
    content = read_body(
        table(tc("Day", run=head) + tc("Open", run=head), tc("Monday") + tc("closed"), tc("Tuesday") + tc("all day"))
    )
    assert pieces(content)[-1] == ("row", "Day: Tuesday | Open: all day" if bold else "Tuesday | all day")


def test_a_header_that_is_repeated_on_each_page_is_a_header() -> None:
    rows = (
        f"<w:tr><w:trPr><w:tblHeader/></w:trPr>{tc('Day')}{tc('Open')}</w:tr><w:tr>{tc('Monday')}{tc('closed')}</w:tr>"
    )
    assert pieces(read_body(f"<w:tbl>{rows}</w:tbl>")) == [("row", "Day: Monday | Open: closed")]


def test_a_deleted_row_is_left_out_and_a_frame_is_no_table() -> None:
    gone = f'<w:tr><w:trPr><w:del w:id="1" w:author="a"/></w:trPr>{tc("Gone")}{tc("1")}</w:tr>'
    rows = f"<w:tr>{tc('Kept')}{tc('2')}</w:tr>"
    heading = f'<w:p><w:pPr><w:pStyle w:val="Heading2"/></w:pPr>{r("Boxed")}</w:p>'
    frame = f"<w:tbl><w:tr><w:tc>{heading}{p(r('In a frame.'))}</w:tc></w:tr></w:tbl>"
    assert pieces(read_body(f"<w:tbl>{gone}{rows}</w:tbl>", p(""), frame)) == [
        ("row", "Kept | 2"),
        ("h2", "Boxed"),
        ("paragraph", "In a frame."),
    ]


def test_a_footnote_stands_at_the_end_of_its_section() -> None:
    document = docx.Document()
    reference = f'<w:r {W}><w:footnoteReference w:id="2"/></w:r>'
    document.add_heading("Puffins", 1)
    document.add_paragraph("They breed here")._p.append(parse_xml(reference))
    document.add_paragraph("They eat fish.")
    document.add_heading("Terns", 1)
    document.add_paragraph("They come in May.")
    data = BytesIO()
    document.save(data)
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    link = f'<Relationship Id="f1" Type="{kind}/footnotes" Target="theme/theme1.xml"/></Relationships>'.encode()
    note = p("<w:r><w:footnoteRef/></w:r>" + r(" Only in summer."))
    notes = f'<w:footnotes {W}><w:footnote w:id="0" w:type="separator">{p(r("---"))}</w:footnote>'
    notes += f'<w:footnote w:id="2">{note}</w:footnote></w:footnotes>'

    def plant(name: str, content: bytes) -> bytes:
        if name == "word/_rels/document.xml.rels":
            return content.replace(b"</Relationships>", link)
        return notes.encode() if name == "word/theme/theme1.xml" else content

    found = read_docx(changed(data.getvalue(), plant))
    assert [words for _, words in pieces(found)] == [
        "Puffins",
        "They breed here",
        "They eat fish.",
        "Only in summer.",
        "Terns",
        "They come in May.",
    ]


def test_formulas_on_one_line_are_read_and_others_noted() -> None:
    maths = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    flat = f"<m:oMath {maths}><m:r><m:t>x=2</m:t></m:r></m:oMath>"
    part = "<m:{0}><m:r><m:t>{1}</m:t></m:r></m:{0}>"
    half = f"<m:oMath {maths}><m:f>{part.format('num', 1)}{part.format('den', 2)}</m:f></m:oMath>"
    content = read_body(p(r("Here ") + flat + r(" and ") + half + r(" count.")))
    assert pieces(content) == [("paragraph", "Here x=2 and count.")]
    assert content.notes == ("holds 1 formula, which is not read",)


def test_what_a_document_says_of_itself_and_what_is_not_read_in_it() -> None:
    document = docx.Document()
    document.core_properties.title = "Birds of the island"
    document.core_properties.language = "en-GB"
    document.core_properties.author = "Anna"
    document.add_paragraph("Puffins")
    document.add_picture(BytesIO(PIXEL), DocxInches(1))
    content = read(document)
    assert content.details == {"title": "Birds of the island", "language": "en-GB"}
    assert content.notes == ("holds 1 image, which is not read",)


@pytest.mark.parametrize(
    "title", ["PowerPoint Presentation", "Document1", "Microsoft Word - letter.doc", "untitled", ""]
)
def test_a_title_that_names_nothing_is_none(title: str) -> None:
    document = docx.Document()
    document.core_properties.title = title
    assert read(document).details == {}


def test_a_document_with_macros_is_read_and_no_more() -> None:
    document = docx.Document()
    document.add_paragraph("Puffins breed here.")
    data = BytesIO()
    document.save(data)
    main = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    found = read_docx(changed(data.getvalue(), lambda name, content: content.replace(main, macros)))
    assert pieces(found) == [("paragraph", "Puffins breed here.")]


def test_planted_sentences_are_found_wherever_they_stand() -> None:
    planted = {2: "The lamp is lit at dusk.", 200: "The keeper has a dog.", 398: "The stairs have 214 steps."}
    document = docx.Document()
    deck = Presentation()
    for number in range(400):
        document.add_paragraph(planted.get(number, f"Filler {number}."))
        if number % 20 in (2, 0, 18):
            slide(deck, f"Slide {number}", planted.get(number, f"Filler {number}."))
    for content in (read(document), read_deck(deck)):
        for sentence in planted.values():
            assert sentence in [words for _, words in pieces(content)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))), min_size=1, max_size=4))
def test_any_text_can_be_read(texts: list[str]) -> None:
    document = docx.Document()
    for text in texts:
        document.add_paragraph(text)
    pieces(read(document))


def read_deck(deck: Deck) -> Content:
    data = BytesIO()
    deck.save(data)
    return read_pptx(data.getvalue())


def slide(deck: Deck, title: str, *points: str, notes: str = "") -> None:
    added = deck.slides.add_slide(deck.slide_layouts[1])
    added.shapes.title.text = title
    added.placeholders[1].text_frame.text = "\n".join(points)
    if notes:
        added.notes_slide.notes_text_frame.text = notes


def test_a_presentation_becomes_a_section_for_each_slide() -> None:
    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[0])
    first.shapes.title.text = "Birds of\vthe island"
    first.placeholders[1].text = "Island Society"
    slide(deck, "Puffins", "They breed here", "They eat fish", notes="Ask who has seen one.")
    content = read_deck(deck)
    assert pieces(content) == [
        ("h2", "Birds of the island"),
        ("paragraph", "Island Society"),
        ("h2", "Puffins"),
        ("item", "They breed here"),
        ("item", "They eat fish"),
        ("paragraph", "Ask who has seen one."),
    ]
    assert [block.page for block in content.blocks] == [1, 1, 2, 2, 2, 2]
    assert content.details == {}


def test_shapes_are_read_from_top_to_bottom_and_left_to_right() -> None:
    deck = Presentation()
    added = deck.slides.add_slide(deck.slide_layouts[6])
    group = added.shapes.add_group_shape()
    shapes = [(added, 4, 4, "five"), (added, 1, 1, "one"), (added, 6, 1.1, "two"), (added, 1, 5, "six")]
    for place, left, top, text in [*shapes, (group, 5, 3, "four"), (group, 1, 3, "three")]:
        box = place.shapes.add_textbox(Inches(left), Inches(top), Inches(1), Inches(0.3))
        box.text_frame.text = text
    assert [words for _, words in pieces(read_deck(deck))] == ["", "one", "two", "three", "four", "five", "six"]


def test_a_slide_without_a_title_does_not_go_on_with_the_one_before() -> None:
    deck = Presentation()
    slide(deck, "Puffins", "They breed here.")
    box = deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, Inches(1), Inches(1))
    box.text_frame.text = "Thank you."
    content = read_deck(deck)
    assert pieces(content)[2:] == [("h2", ""), ("paragraph", "Thank you.")]
    assert content.blocks[2].page == 2


def test_a_table_on_a_slide_is_read_with_its_header() -> None:
    deck = Presentation()
    added = deck.slides.add_slide(deck.slide_layouts[5])
    added.shapes.title.text = "Nests"
    cells = added.shapes.add_table(3, 2, 0, Inches(2), Inches(4), Inches(1)).table
    for row, words in enumerate([("Bird", "Where"), ("Puffin", "in holes"), ("Tern", "on sand")]):
        for column, word in enumerate(words):
            cells.cell(row, column).text = word
    assert pieces(read_deck(deck))[1:] == [
        ("row", "Bird: Puffin | Where: in holes"),
        ("row", "Bird: Tern | Where: on sand"),
    ]
    cells.cell(1, 0).merge(cells.cell(2, 0))
    assert pieces(read_deck(deck))[2:] == [("row", "Where: on sand")]


def test_a_hidden_slide_and_pictures_are_noted() -> None:
    deck = Presentation()
    slide(deck, "Puffins", "They breed here.")
    slide(deck, "Secret", "Hush.")
    deck.slides[0].shapes.add_picture(BytesIO(PIXEL), 0, 0)
    deck.slides[1]._element.set("show", "0")
    content = read_deck(deck)
    assert pieces(content) == [("h2", "Puffins"), ("paragraph", "They breed here.")]
    assert content.notes == ("left out 1 hidden slide", "holds 1 image, which is not read")
