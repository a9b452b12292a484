"""Every quote is exact, every source is the stated one, and every link leads to the quote."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

from bot.documents import read_corpus
from bot.engine import Bot
from bot.publish import publish
from bot.snapshot import open_snapshot
from bot.types import Answer, Encoder
from tests.conftest import FILES, REPOSITORY, write_files

#: Text that makes offsets slip: characters beyond the BMP, combining marks, Windows line ends, tables, lists, links.
AWKWARD: Mapping[str, str] = {
    "emoji.txt": "👩‍🚀 met 👨‍👩‍👧 at 9. 🏴󠁧󠁢󠁳󠁣󠁴󠁿 won 3:0!  Nobody   cheered.\r\n\r\n𝔗𝔥𝔢 𝔢𝔫𝔡 came… late\u00a0– very late.",
    "marks.md": "# Cafe\u0301s\r\n\r\nThe cafe\u0301 in A\u030angstro\u0308m is **old**. It `opens` at [ten](http://x.y).\r\n",
    "lists.md": "# Lists\n\n1. One *thing*. And more.\n2. Two\n   - Three\n   - 4\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "rtl.html": "<html lang='ar'><p>مرحبا بالعالم. كيف&nbsp;الحال؟<p>x<sub>2</sub> &lt;b&gt; y<br>z.</html>",
    "long.txt": "Sand, " * 400 + "sea.",
}


def bot_of(home: Path, files: Mapping[str, str], words: Encoder) -> Bot:
    documents = read_corpus(write_files(home / "corpus", files)).documents
    name = publish(documents, words, home / "index", aim=160)
    return Bot(words, open_snapshot(home / "index", name, words, aim=160), starters=("Which questions are answered?",))


def verbatim(text: str, url: str = "https://port.example/rules") -> str:
    return f"---\ntitle: Rules\nurl: {url}\nverbatim: true\n---\n\n{text}\n"


def generated_questions(bot: Bot, count: int) -> list[str]:
    """Questions of 1 to 9 words: of the documents and, one in five, of none."""
    chance = random.Random(count)
    known = sorted({word for document in bot.snapshot.documents.values() for word in document.text.split()})
    lengths = [chance.randint(1, 9) for _ in range(count)]
    chosen = [[chance.choice(known) if chance.random() < 0.8 else "qwxyz" for _ in range(n)] for n in lengths]
    return [" ".join([*words, "it?"]) for words in chosen]


def words_in(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def assert_exact(answer: Answer, bot: Bot) -> None:
    for cited in answer.passages:
        citation, passage = cited.citation, cited.hit.passage
        document = bot.snapshot.documents[citation.document]
        assert passage.text == document.text[citation.start : citation.end] != ""
        assert cited.highlights
        for start, end in cited.highlights:
            assert 0 <= start < end <= len(passage.text)
            assert passage.text[start:end] == passage.text[start:end].strip()
        for other in cited.elsewhere:
            assert other.end > other.start
            assert set(words_in(bot.snapshot.documents[other.document].text[other.start : other.end])) & set(
                words_in(passage.text)
            )
    if answer.quote is not None:
        first, quote = answer.passages[0], answer.quote
        document = bot.snapshot.documents[first.citation.document]
        assert quote.text == document.text[quote.start : quote.end] != ""
        assert quote.passage == first.hit.passage.id
        assert (quote.start - first.citation.start, quote.end - first.citation.start) == first.highlights[0]


def test_every_quote_of_the_shipped_corpus_is_exact(shipped: Bot) -> None:
    answers = [shipped.ask(question) for question in generated_questions(shipped, 200)]
    for answer in answers:
        assert_exact(answer, shipped)
    assert {answer.quote is None for answer in answers} == {True, False}


def test_every_quote_of_awkward_text_is_exact(tmp_path: Path, words: Encoder) -> None:
    bot = bot_of(tmp_path, AWKWARD, words)
    quoted = set()
    for question in generated_questions(bot, 200):
        answer = bot.ask(question, top_k=20)
        assert_exact(answer, bot)
        quoted |= {cited.citation.document for cited in answer.passages}
    assert quoted == set(AWKWARD)


def test_what_is_marked_stands_in_the_file(shipped: Bot, bot: Bot) -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "corpus").iterdir()}
    for asked, texts in ((shipped, files), (bot, FILES)):
        for question in generated_questions(asked, 50):
            for cited in asked.ask(question).passages:
                for start, end in cited.highlights:
                    assert cited.hit.passage.text[start:end] in texts[cited.citation.document]


def test_a_source_is_named_as_its_file_states_it(shipped: Bot, bot: Bot) -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "corpus").iterdir()}
    stated = {"ferry.txt": {"title": "Island ferry"}, "birds.html": {"title": "Birds of the island", "language": "en"}}
    for asked, texts in ((shipped, files), (bot, FILES)):
        for question in generated_questions(asked, 50):
            for cited in asked.ask(question).passages:
                name, source = cited.citation.document, cited.citation.source
                record = stated.get(name) or yaml.safe_load(texts[name].split("---\n")[1])
                for key in ("title", "publisher", "url", "published", "updated", "retrieved", "language", "licence"):
                    assert getattr(source, key) == record.get(key), (name, key)
                assert source.verbatim is record.get("verbatim")
                assert cited.citation.links.source == record.get("url")


def target_of(link: str, text: str) -> str:
    """Find a link's text fragment as a browser does, in any case (wicg.github.io/scroll-to-text-fragment)."""
    ends = [unquote(end) for end in link.partition(":~:text=")[2].split(",")]
    plain = " ".join(text.split())
    start = plain.lower().index(ends[0].lower())
    end = start + len(ends[0])
    for last in ends[1:]:
        end = plain.lower().index(last.lower(), end) + len(last)
    return plain[start:end]


def test_a_link_into_a_verbatim_source_leads_to_the_marked_sentence(tmp_path: Path, words: Encoder) -> None:
    sentences = [
        "Well-known, so-called 'fees' are 100% & more.",
        "Pay #1: €5?!",
        "Boats that stay for more than a night in the old harbour pay twelve-fifty, mooring included, to Ida & Sons.",
        "Ölförbud gäller.",
    ]
    bot = bot_of(tmp_path, {"rules.md": verbatim("\n\n".join(sentences))}, words)
    for sentence in sentences:
        cited = bot.ask(sentence).passages[0]
        link = cited.citation.links.source_at_passage
        assert link is not None
        address, _, fragment = link.partition("#:~:text=")
        assert address == "https://port.example/rules"
        assert re.fullmatch(r"(?:[\w.~,]|%[0-9A-F]{2})+", fragment, re.ASCII), "a dash or & would end the text"
        assert fragment.count(",") <= 1
        assert target_of(link, "\n\n".join(sentences)) == sentence


def test_a_source_with_an_anchor_of_its_own_keeps_it(tmp_path: Path, words: Encoder) -> None:
    bot = bot_of(tmp_path, {"a.md": verbatim("Boats go slowly.", "https://port.example/r?a=1#top")}, words)
    link = bot.ask("How do boats go?").passages[0].citation.links.source_at_passage
    assert link == "https://port.example/r?a=1#top:~:text=Boats%20go%20slowly."


@pytest.mark.parametrize(
    "file",
    [
        "---\ntitle: Rules\nurl: https://port.example/rules\n---\n\nBoats go slowly.\n",
        "---\ntitle: Rules\nurl: https://port.example/rules\nverbatim: false\n---\n\nBoats go slowly.\n",
        "---\ntitle: Rules\nverbatim: true\n---\n\nBoats go slowly.\n",
        verbatim("Boats go slowly.", "javascript:alert(1)"),
        verbatim("Boats go slowly.\n\n## Ferries\n\nBoats go slowly.\n"),
        verbatim("Boats go slowly.\n\n## Ferries\n\nHere, too, Boats go slowly. They have to.\n"),
    ],
    ids=["unstated", "restated", "no url", "no web address", "twice", "inside another"],
)
def test_there_is_no_link_into_a_source_where_it_could_mislead(tmp_path: Path, words: Encoder, file: str) -> None:
    cited = bot_of(tmp_path, {"rules.md": file}, words).ask("How do boats go?").passages[0]
    assert cited.hit.passage.text.startswith("Boats go slowly.")
    assert cited.citation.links.source_at_passage is None


def test_there_is_no_link_into_a_source_where_the_words_stand_earlier_in_another_case(
    tmp_path: Path, words: Encoder
) -> None:
    text = "Mind that boats may go at most five knots.\n\nBoats may go at most nine knots outside the harbour wall."
    bot = bot_of(tmp_path, {"rules.md": verbatim(text)}, words)
    answer = bot.ask("nine knots outside the harbour wall")
    link = answer.passages[0].citation.links.source_at_passage
    assert answer.quote is not None
    assert link is None or target_of(link, text) == answer.quote.text


def test_the_viewer_link_of_any_file_name_is_a_valid_address(tmp_path: Path, words: Encoder) -> None:
    names = "a b|what?|part #2|50%25 off|a&b=c;d+e|quote'\"<x>|back\\slash|Ünïcødé/日本語|e\u0301|(1)/[2]/@:!$*,"
    files = {f"{name}.txt": f"Boat number {number} is red." for number, name in enumerate(names.split("|"))}
    bot = bot_of(tmp_path, files, words)
    for number, name in enumerate(files):
        cited = bot.ask(f"Which boat has number {number}?").passages[0].citation
        assert cited.document == name
        link = cited.links.viewer
        assert re.fullmatch(r"(?:[\w/.~!$&'()*+,;=:@?#-]|%[0-9A-F]{2})+", link, re.ASCII), link
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc) == ("", "")
        assert unquote(parts.path) == f"/documents/{name}"
        query = {"passage": [f"{cited.start}-{cited.end}"], "of": [cited.sha256[:12]]}
        assert parse_qs(parts.query, strict_parsing=True) == query
        assert parts.fragment == f"p{cited.start}-{cited.end}"


def test_where_there_is_no_answer_nothing_is_quoted_as_one(bot: Bot) -> None:
    answer = bot.ask("Did Zelda win the zorbing championship in Patagonia?")
    assert answer.status == "not_found"
    assert answer.quote is None
    assert {"Zelda", "zorbing", "Patagonia"} <= set(answer.unknown_words)
    assert answer.suggestions == bot.starters
    assert answer.passages, "near misses are still shown"
    assert_exact(answer, bot)


def test_unknown_words_are_words_of_the_question_that_no_document_holds(shipped: Bot) -> None:
    text = " ".join(document.text for document in shipped.snapshot.documents.values()).lower()
    seen = 0
    for question in generated_questions(shipped, 50):
        answer = shipped.ask("Zorbing? " + question)
        for word in answer.unknown_words:
            assert word in answer.question
            assert word.lower() not in re.findall(r"\w+", text)
        seen += len(answer.unknown_words)
    assert seen


def test_an_answer_comes_without_unknown_words_and_suggestions(bot: Bot) -> None:
    answer = bot.ask("How fast may a boat go in the harbour?")
    assert answer.status == "answered"
    assert (answer.unknown_words, answer.suggestions) == ((), ())
    assert answer.snapshot == bot.snapshot.id


# --- the same elsewhere -----------------------------------------------------------------------------------------------

SAID = "Boats may go at most 5 knots inside the harbour. Lights are switched on at dusk. Dogs stay on the lead, please."


def test_what_stands_in_several_places_is_cited_from_each(tmp_path: Path, words: Encoder) -> None:
    files = {
        "a.md": verbatim(SAID, "https://port.example/a"),
        "b.md": verbatim(f"## Kept\n\n{SAID}", "https://port.example/b"),
        "c.md": verbatim(SAID.replace("please", "always"), "https://port.example/c"),
        "d.md": verbatim("Boats may go at most 9 knots outside of it, and never by night.", "https://port.example/d"),
    }
    bot = bot_of(tmp_path, files, words)
    answer = bot.ask("How many knots may boats go inside the harbour?")
    first = answer.passages[0]
    places = {first.citation.document: first.citation, **{other.document: other for other in first.elsewhere}}
    assert set(places) == {"a.md", "b.md", "c.md"}
    assert len(first.elsewhere) == 2
    assert answer.quote is not None
    for name, citation in places.items():
        document = bot.snapshot.documents[name]
        assert document.text[citation.start : citation.end].startswith(SAID.removesuffix("please."))
        assert citation.sha256 == document.sha256
        assert citation.source.url == citation.links.source == f"https://port.example/{name[0]}"
        assert citation.links.viewer.endswith(
            f"?passage={citation.start}-{citation.end}&of={document.sha256[:12]}#p{citation.start}-{citation.end}"
        )
        assert citation.links.source_at_passage is not None
        assert target_of(citation.links.source_at_passage, document.text) == answer.quote.text
    shown = [cited.citation.document for cited in answer.passages]
    assert len(shown) == len(set(shown)) == 2, "a place is named once"


# --- other languages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele Hotlines hat INHOPE?", "German"),
        ("كم عدد الخطوط الساخنة في INHOPE؟", "Arabic"),
        ("INHOPEには何か国が参加していますか", "Japanese"),
    ],
)
def test_a_question_in_a_language_that_is_not_known_is_never_answered_and_says_so(
    shipped: Bot, question: str, language: str
) -> None:
    answer = shipped.ask(question)
    assert answer.status != "answered"
    [note] = answer.notes
    assert f"seems to be in {language}, which this search does not understand" in note
    assert answer.unknown_words == (), "all words would be"
    for languages in ((), ("de", "ar", "ja", "en")):
        assert replace(shipped, languages=languages).ask(question).notes == ()


def test_a_question_in_a_language_that_is_known_gets_no_note(shipped: Bot) -> None:
    assert shipped.ask("How many hotlines does INHOPE have?").notes == ()
    german = replace(shipped, languages=("de",)).ask("How many hotlines does INHOPE have?")
    assert "English" in german.notes[0]
    assert german.status != "answered"
