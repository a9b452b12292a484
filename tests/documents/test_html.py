"""What a reader of a saved web page may rely on: its words as the page shows them, without its machinery."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.frontmatter import source_record
from bot.documents.html import read_html
from bot.errors import DocumentError
from tests.documents import pieces

PAGE = """\
<!doctype html><html lang="en-GB"><head>
<meta charset="utf-8"><title>Birds | Island</title>
<meta property="og:title" content="Birds of the island"><meta property="og:site_name" content="Island Society">
<link rel="canonical" href="https://island.example/birds"><style>p { color: red }</style>
</head><body>
<nav><a href="/">Home</a></nav>
<h1>Birds of <em>the</em> island</h1>
<script>track("visitor")</script><noscript>Switch scripts on</noscript>
<p>Puffins breed on the western&nbsp;cliffs<!-- no --> &amp; the pier.</p>
Loose words <b>count</b> too.
<p hidden>Not shown</p>
<ul><li>Gulls<ul><li>Herring gulls</li></ul></li><li><p>Terns</p><p>in summer</p></li></ul>
<ol><li>Look</li><li>Listen</li></ol>
<table><caption>Counts</caption><tr><th>Bird</th><th>Pairs</th></tr><tr><td>Puffin</td><td>310</td></tr></table>
<pre>one
  two</pre>
<form><label>Your bird</label><button>Send</button><select><option>Gull</option></select></form>
<template><p>Blank</p></template><svg><text>Chart</text></svg><iframe>frame</iframe>
</body></html>
"""


def test_a_page_becomes_blocks_that_say_what_a_reader_sees() -> None:
    assert pieces(read_html(PAGE)) == [
        ("h1", "Birds of the island"),
        ("paragraph", "Puffins breed on the western cliffs & the pier."),
        ("paragraph", "Loose words count too."),
        ("item", "Gulls"),
        ("item", "Herring gulls"),
        ("item", "Terns"),
        ("paragraph", "in summer"),
        ("item", "Look"),
        ("item", "Listen"),
        ("paragraph", "Counts"),
        ("row", "Bird | Pairs"),
        ("row", "Bird: Puffin | Pairs: 310"),
        ("code", "one\n  two"),
        ("paragraph", "Your bird"),
    ]


def test_a_line_break_or_an_image_does_not_end_a_block() -> None:
    raw = '<h1>Birds<br>of it</h1><p>Puffins <img alt="(two)"> breed<br>here.</p><table><tr><td>a<br>b<td>c</table>'
    assert pieces(read_html(raw)) == [
        ("h1", "Birds of it"),
        ("paragraph", "Puffins (two) breed here."),
        ("row", "a b | c"),
    ]


def test_what_the_page_says_of_itself_is_its_source() -> None:
    source, _, notes = source_record(read_html(PAGE).details, "birds")
    assert (source.title, source.publisher, source.url, source.language) == (
        "Birds of the island",
        "Island Society",
        "https://island.example/birds",
        "en-GB",
    )
    assert notes == []


def test_a_page_cannot_plant_a_link_that_runs_code() -> None:
    content = read_html('<link rel="canonical" href="javascript:alert(1)"><title>Birds</title><p>Puffins</p>')
    source, _, notes = source_record(content.details, "birds")
    assert source.url is None
    assert len(notes) == 1 and notes[0].startswith("url left out")


def words(count: int, name: str = "word") -> str:
    return " ".join(f"{name}{number}" for number in range(count))


@pytest.mark.parametrize(
    ("raw", "anchor"),
    [
        ("<h2 id=own>Terns</h2>", "own"),
        ("<section id=around><h2>Terns</h2></section>", "around"),
        ("<section id=around><h2 id=own>Terns</h2></section>", "own"),
        ("<h2>The <span id=inside>terns</span></h2>", "inside"),
        ("<section id=around><h2><a name=inside></a>Terns</h2></section>", "inside"),
        ("<a name=before></a><h2>Terns</h2>", "before"),
        ("<section id=far><p>Gulls</p><h2>Terns</h2></section>", None),
        ("<h2 id=''>Terns</h2>", None),
    ],
)
def test_a_heading_keeps_the_name_by_which_a_link_finds_it(raw: str, anchor: str | None) -> None:
    (heading,) = (block for block in read_html(f"<h1 id=top>Birds</h1><p>Gulls</p>{raw}").blocks if block.level == 2)
    assert heading.anchor == anchor


GOVERNMENT = """\
<title>Permits</title><body class="cookie-banner-visible has-sidebar"><a href="#main" class="skip">Skip to content</a>
<div id="cookie-message" role="region"><h2>Cookies on port.example</h2><p>We would like to set additional cookies to
remember your settings and improve services.</p><button>Accept</button> <a href="/cookies">View cookies</a></div>
<header role="banner"><a href="/">Port Authority</a><button>Menu</button><form role="search"><label>Search</label>
</form></header><div class="breadcrumbs"><ol><li><a href="/">Home</a><li><a href="/f">Fishing</a></ol></div>
<main id="main"><h1>Fishing permits</h1><p>You need a permit to fish from the pier.</p><nav><h2>Contents</h2><ol><li>
<a href="#fees">Fees</a></ol></nav><section id="fees"><h2>Fees</h2><p>A permit costs 12 pounds a year.</p></section>
<div class="share-links"><h2>Share this page</h2><a href="x">Facebook</a> <a href="y">Mail</a></div></main>
<div class="related"><h2>Related</h2><ul><li><a href="1">Boat licences</a></ul></div>
<footer role="contentinfo"><h2>Support links</h2><p>All content is free, except where stated.</p></footer>
"""
NEWS = """\
<title>Storm</title><body><div id="cmp" class="gdprOverlay"><p>We value your privacy. We and our 812 partners store
information on a device.</p><button>OK</button></div><div class="topbar"><a>Log in</a> <a>Subscribe</a></div>
<div class="mainMenu nav-menu"><ul><li><a>News</a><li><a>Sport</a></ul></div><div class="content has-sidebar">
<div class="article"><h1>Storm hits pier</h1><div class="social-share"><a>Tweet</a> <a>Mail</a></div>
<p>The storm took 12 planks on Monday night.</p><aside><p>The pier was built in 1912.</p></aside>
<figure><figcaption>The pier on Tuesday</figcaption></figure><blockquote>It was loud<footer>Jo</footer></blockquote>
<div class="share-price">Shares fell to 310 pence</div></div>
<div class="sidebar"><h3>Most read</h3><ul><li><a>Five dogs found</a><li><a>Mayor resigns</a></ul></div></div>
<div id="footer">© 2024 Echo Media. <a>Imprint</a></div>
"""
WIKI = """\
<title>Puffin</title><body><a class="mw-jump-link" href="#search">Jump to search</a><div id="content" role="main">
<h1>Puffin</h1><p>The puffin<sup><a href="#c1">[1]</a></sup> lays one egg; 10<sup>6</sup> pairs live here.</p>
<div id="toc" role="navigation"><h2>Contents</h2><ul><li><a href="#B">1 Breeding</a></ul></div>
<h2>Breeding<span class="mw-editsection">[<a>edit</a>]</span></h2><p>They breed in burrows.</p>
<div class="navbox"><a>Auks</a> <a>Gulls</a></div></div><div id="mw-panel"><h2>Navigation</h2><a>Main page</a></div>
<div id="footer" role="contentinfo"><ul><li>This page was last edited on 3 May 2024.</ul></div>
"""
DOCS = """\
<body><div class="sphinxsidebar" role="navigation"><ul><li><a>Install</a></ul></div><div class="document" role="main">
<h1>Install<a class="headerlink" href="#install">¶</a></h1><p>Run it:</p><pre>pip install x</pre>
<dl><dt>port</dt><dd>The TCP port.</dd><dt>host<dd><p>Its name.</p><p>Or number.</p></dl></div>
<div class="footer">© 2020 Ida. Built with care.</div>
"""
FORUM = """\
<body><div id="nav"><a>Forum</a> » <a>Boats</a></div><h1>Leaking dinghy</h1><div class="pagination"><a>1</a> <a>2</a>
</div><div class="post"><div>ida</div><div>My dinghy leaks.<br><br>What now?</div><div class="post-menu"><a>Quote</a>
</div></div><div class="post"><div>jo</div><div>Use tar.</div></div>
"""


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (GOVERNMENT, "Fishing permits|You need a permit to fish from the pier.|Fees|A permit costs 12 pounds a year."),
        (
            NEWS,
            "Storm hits pier|The storm took 12 planks on Monday night.|The pier was built in 1912.|"
            "The pier on Tuesday|It was loud|Jo|Shares fell to 310 pence",
        ),
        (
            WIKI,
            "Puffin|The puffin[1] lays one egg; 10⁶ pairs live here.|Breeding|They breed in burrows.",
        ),
        (DOCS, "Install|Run it:|pip install x|port: The TCP port.|host: Its name.|Or number."),
        (FORUM, "Leaking dinghy|ida|My dinghy leaks.|What now?|jo|Use tar."),
    ],
)
def test_of_a_page_from_the_web_only_what_it_is_about_is_read(raw: str, expected: str) -> None:
    content = read_html(raw)
    assert [text for _, text in pieces(content)] == expected.split("|")
    assert content.notes == ()


@pytest.mark.parametrize("tag", "aside footer header nav main article section".split())
@pytest.mark.parametrize("count", [3, 50, 300])
def test_a_page_whose_text_is_in_the_wrong_element_is_read(tag: str, count: int) -> None:
    raw = f"<nav><a>Home</a></nav><{tag}><p>{words(count)}</p></{tag}><div class=menu><a>a</a></div>"
    assert words(count) in read_html(raw).text


@pytest.mark.parametrize("hint", "sidebar cookie-info navigation footer related share menu".split())
@pytest.mark.parametrize("count", [3, 50, 300])
def test_a_page_whose_text_has_the_wrong_class_is_read(hint: str, count: int) -> None:
    raw = f"<h1>Title</h1><div class={hint}><p>{words(count)} <a href=x>link</a></p></div>"
    assert words(count) in read_html(raw).text


def test_of_what_stands_beside_main_only_running_text_is_read() -> None:
    raw = f"<main><h1>Title</h1><p>{words(80)}</p></main><div>{words(45, 'long')}</div><div>Short and beside it.</div>"
    assert [text for _, text in pieces(read_html(raw))] == ["Title", words(80), words(45, "long")]


def test_a_title_above_main_is_read() -> None:
    raw = f"<div><div>Logo</div><h1>Title</h1></div><main><p>{words(80)}</p></main>"
    assert [text for _, text in pieces(read_html(raw))] == ["Title", words(80)]


def test_what_is_left_out_although_it_looks_like_text_is_noted() -> None:
    content = read_html(f"<main><p>{words(200)}</p></main><footer>{words(45, 'w')}</footer>")
    assert "w0" not in content.text
    assert content.notes == (f"left out as page furniture: 45 words, such as “{words(45, 'w')[:60]}”",)
    content = read_html(f"<p>{words(20)}</p><p style='display: none'>{words(45, 'w')}</p>")
    assert content.text == words(20)
    assert [note[:46] for note in content.notes] == ["left out as hidden on the page: 45 words, such"]


def test_what_a_click_opens_is_read() -> None:
    raw = (
        "<h3><button aria-controls=a>May I bring a dog?</button></h3><div id=a hidden>Yes, on a lead.</div>"
        "<details><summary>And a cat?</summary>No.</details><div hidden=until-found>Nor a bird.</div>"
        "<p><i class=icon aria-hidden=true>pets</i> <span aria-hidden=true>2</span> pets</p>"
    )
    found = [text for _, text in pieces(read_html(raw))]
    assert found == ["May I bring a dog?", "Yes, on a lead.", "And a cat?", "No.", "Nor a bird.", "2 pets"]


def rows(raw: str) -> list[str]:
    return [text for kind, text in pieces(read_html(f"<table>{raw}</table>")) if kind == "row"]


def test_a_row_is_read_with_the_names_of_its_columns() -> None:
    raw = """<thead><tr><th rowspan=2>Bird</th><th colspan=2>Pairs:</th></tr><tr><th>2023</th><th>2024</th></tr></thead>
    <tr><th colspan=3>North</th></tr><tr><td rowspan=2>Puffin</td><td>1<td>2</tr><tr><td>3<td></tr>
    <tr><td>Tern<td colspan=2>none</tr><tr><td><td>7<td>8</tr>"""
    assert rows(raw) == [
        "Bird | Pairs:",
        "2023 | 2024",
        "North",
        "Bird: Puffin | Pairs: 2023: 1 | Pairs: 2024: 2",
        "Bird: Puffin | Pairs: 2023: 3",
        "Bird: Tern | none",
        "Pairs: 2023: 7 | Pairs: 2024: 8",
    ]


def test_a_table_without_a_header_is_read_cell_by_cell() -> None:
    assert rows("<tr><th>Length<td>30 cm<tr><th>Weight<td>500 g") == ["Length | 30 cm", "Weight | 500 g"]
    assert rows(f"<tr><th>a<th>{'b' * 81}<tr><td>1<td>2")[1] == "1 | 2"


def test_a_table_that_lays_out_the_page_is_no_table() -> None:
    raw = "<table><tr><td><a>x</a><td><h1>T</h1>one<p>two</p><table><tr><th>A<th>B<tr><td>1<td>2</table></table>"
    assert pieces(read_html(raw)) == [
        ("paragraph", "x"),
        ("h1", "T"),
        ("paragraph", "one"),
        ("paragraph", "two"),
        ("row", "A | B"),
        ("row", "A: 1 | B: 2"),
    ]
    assert pieces(read_html("<table><tr><td><p>one</p><p>two</p></table>")) == [
        ("paragraph", "one"),
        ("paragraph", "two"),
    ]


@pytest.mark.parametrize("kind", ["<div>", "<span>", "<table><tr><td>", "<ul><li>", "<b><div>", "<dl><dd>"])
@pytest.mark.parametrize("depth", [255, 256, 300, 2_500])
def test_no_depth_loses_a_word(kind: str, depth: int) -> None:
    content = read_html(f"<p>before</p>{kind * depth}deep{''.join(reversed(CLOSED[kind])) * depth}<p>after</p>")
    assert [text for _, text in pieces(content)] == ["before", "deep", "after"]


CLOSED = {kind: [f"</{tag}>" for tag in re.findall(r"\w+", kind)] for kind in (
    "<div>", "<span>", "<table><tr><td>", "<ul><li>", "<b><div>", "<dl><dd>"
)}  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [
        "<div>" * 100_000,
        "<table>" * 60_000,
        "<table><tr><td>" * 60_000,
        "".join(f"<p><font size={number}>x" for number in range(4_000)),
    ],
)
def test_a_page_that_would_take_minutes_or_all_memory_is_refused(raw: str) -> None:
    with pytest.raises(DocumentError, match="nested too deeply"):
        read_html(raw)


def test_a_long_page_with_elements_left_open_is_read() -> None:
    raw = "<body><table>" + "<tr><td>a<td><p>b<b>c" * 10_000 + "</table>" + "<p><b>x" * 10_000
    assert len(read_html(raw).blocks) == 20_000


def test_where_in_a_long_page_a_sentence_stands_does_not_matter() -> None:
    body = [f"<p>Filler {number} is here.</p>" for number in range(1_000)]
    for place in (3, 500, 995):
        body[place] = f"<div><p>Needle {place} is found.</p></div>"
    text = read_html("".join(body)).text
    assert all(f"Needle {place} is found." in text for place in (3, 500, 995))


def test_a_page_in_xhtml_is_not_swallowed_by_an_empty_element() -> None:
    raw = '<?xml version="1.0"?><html><head><script src="x"/><title/></head><body><p>Terns<br/>and gulls</p></body>'
    assert read_html(raw).text == "Terns and gulls"


@pytest.mark.parametrize(
    "tag", "script style noscript template svg math iframe object canvas select button dialog nav".split()
)
def test_the_machinery_of_a_page_is_not_text(tag: str) -> None:
    assert "secret" not in read_html(f"<p>before</p><{tag}>secret</{tag}><p>after</p>").text


def test_what_visitors_type_into_is_not_text() -> None:
    assert "draft" not in read_html("<p>Write to us</p><textarea>draft</textarea>").text


def test_a_numbered_list_keeps_its_numbers() -> None:
    assert read_html("<ol start=5><li>five<li>six</ol>").text == "5. five\n6. six"


@pytest.mark.parametrize("opening", ["<div>", "<b>", "<ul><li>", "<table><tr><td>", "<blockquote>"])
def test_a_page_nested_20_000_deep_is_read(opening: str) -> None:
    content = read_html(f"<p>before</p>{opening * (20_000 // opening.count('<'))}deep")
    assert [words for _, words in pieces(content)] == ["before", "deep"]


@pytest.mark.parametrize("raw", ["", " ", "<p></p>", "<html>", "<script>x</script>", "<!-- x"])
def test_a_page_without_words_has_no_blocks(raw: str) -> None:
    assert pieces(read_html(raw)) == []


TAGS = "p div h2 ul ol li table tr td pre b span section blockquote em br dl dt".split()


@settings(deadline=None)
@given(st.lists(st.sampled_from([*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), None]), max_size=30))
def test_no_word_is_lost_or_doubled_in_any_soup_of_tags(soup: list[str | None]) -> None:
    """The oracle: numbered words, which a browser may move (out of a table) and never drops."""
    raw = "".join(f" w{number} " if tag is None else tag for number, tag in enumerate(soup))
    read = " ".join(words for _, words in pieces(read_html(raw)))
    assert sorted(re.findall(r"w\d+", read)) == sorted(re.findall(r"w\d+", raw))


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_can_be_read(text: str) -> None:
    pieces(read_html(text))
