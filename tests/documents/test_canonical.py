"""What every quote rests on: the one text that is made of a file's bytes."""

from __future__ import annotations

import codecs
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.documents.canonical import clean, counting, decode, line, prose
from bot.documents.formats import read
from bot.errors import DocumentError

#: Letters, marks that compose, joiners, odd spaces, line ends, what hides or reorders words, and anything else.
_TRICKY = "aeé\u0301\u0327ſکमन्👩\u200c\u200d\xa0\u3000\t\r\n\x0b\x85\u2028\u200b\u202e\u2066\ufeff\xad\x00\U000e0041 "
texts = st.text(st.one_of(st.sampled_from(_TRICKY), st.characters()), max_size=60)

#: Format characters that a script needs: joiners, direction marks, signs before numbers, joins of hieroglyphs.
_MEANT = set("\u200c\u200d\u200e\u200f") | {
    chr(code)
    for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440))
}
#: Hangul fillers are letters that show nothing.
_FILLERS = "\u115f\u1160\u3164\uffa0"


def unseen(text: str) -> list[str]:
    """The oracle: what Unicode calls a control, a format character, a surrogate or a separator, but for plain ones."""
    return [
        f"U+{ord(c):04X}"
        for c in text
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs") and c not in {"\n", " ", *_MEANT}
    ]


@settings(deadline=None)
@given(texts)
@example("=\u200d\u0338\u200d")
@example("e\u200b\u0301\u200c")
@example("har\u202e\u200dbour")
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    for make in (clean, prose, line):
        assert make(make(text)) == make(text)


def test_what_cannot_be_seen_is_counted() -> None:
    with counting() as removed:
        assert clean("har\u202ebour\u200b a\u200db \tof\r\nstone") == "harbour ab  of\nstone"
        clean("क्\u200dष")
    assert sum(removed) == 3
    clean("har\u202ebour")
    assert sum(removed) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "The har\u202ebour\u200b is deep."), ("a.md", "# Har\xadbour\n\nIt is\ufeff deep."),
     ("a.html", "<h1>Har&shy;bour</h1><p>It is &#x202e;deep.")],
)  # fmt: skip
def test_the_operator_is_told_how_much_could_not_be_seen(name: str, text: str) -> None:
    content = read(name, text.encode())
    assert content is not None
    assert content.notes == ("2 characters that cannot be seen were removed",)
    plain = read("a.txt", b"The harbour is deep.")
    assert plain is not None and plain.notes == ()


@settings(deadline=None)
@given(texts)
def test_canonical_text_is_in_nfc(text: str) -> None:
    for make in (clean, prose, line):
        assert unicodedata.is_normalized("NFC", make(text))


@settings(deadline=None)
@given(st.text(st.sampled_from(_TRICKY) | st.characters(max_codepoint=0xFFFF), max_size=60))
def test_no_character_that_hides_or_reorders_words_survives(text: str) -> None:
    for make in (clean, prose, line):
        assert unseen(make(text)) == []


def test_no_invisible_character_of_all_of_unicode_survives() -> None:
    assert unseen(clean("".join(map(chr, range(0x110000))))) == []


def test_no_noncharacter_survives() -> None:
    nothing = [*range(0xFDD0, 0xFDF0), *(plane * 0x10000 + last for plane in range(17) for last in (0xFFFE, 0xFFFF))]
    assert clean("".join(map(chr, nothing))) == ""


@settings(deadline=None)
@given(texts)
def test_prose_has_single_spaces_and_bare_line_edges_and_few_blank_lines(text: str) -> None:
    result = prose(text)
    assert "  " not in result
    assert "\n\n\n\n" not in result
    assert all(row == row.strip() for row in result.split("\n"))
    assert result == result.strip()


@settings(deadline=None)
@given(texts)
def test_no_letter_or_number_is_lost(text: str) -> None:
    def letters(words: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFD", words) if c.isalnum() and c not in _FILLERS)

    assert letters(clean(text)) == letters(prose(text)) == letters(line(text)) == letters(text)


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم کتاب‌ها",  # Persian: zero-width non-joiners shape the words
        "क्‍ष क्‌ष",  # Hindi: both joiners choose between forms
        "👩‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀",  # emoji: joiners make one picture of several
        "العربية\u200f (RTL)\u200e",
    ],
)
def test_the_joiners_and_marks_that_a_script_needs_stay(text: str) -> None:
    assert clean(text) == prose(text) == line(text) == text


@pytest.mark.parametrize(
    "word", ["har\u200dbour", "har\u200cbour", "\u200dharbour", "har\u200c\u200dbour\u200c", "har\u202e\u200dbour"]
)
def test_joiners_between_latin_letters_do_not_split_a_word(word: str) -> None:
    assert clean(word) == "harbour"


@pytest.mark.parametrize("space", ["\xa0", "\u2009", "\u202f", "\u3000", "\t"])
def test_every_kind_of_space_is_a_plain_one(space: str) -> None:
    assert clean(f"12{space}euros") == "12 euros"


@pytest.mark.parametrize("end", ["\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_every_kind_of_line_end_is_a_plain_one(end: str) -> None:
    assert clean(f"one{end}two") == "one\ntwo"
    assert line(f"one{end}two") == "one two"


def test_indentation_of_code_is_kept_and_of_prose_is_not() -> None:
    assert clean("if x:\n    y") == "if x:\n    y"
    assert prose("if x:\n    y") == "if x:\ny"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-8"),
    ],
)
@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), min_size=1))
def test_a_byte_order_mark_tells_the_encoding_and_is_not_text(mark: bytes, encoding: str, text: str) -> None:
    assert decode(mark + text.encode(encoding)) == text


@pytest.mark.parametrize(
    "text",
    [
        "Der Bürgermeister grüßt die Gäste in München und lädt alle über die Straße zum Essen ein.",
        "Les élèves mangent à midi près de l'école; ils ont déjà vu la forêt et le château très tôt.",
        "El niño comió piña por la mañana; después se fue a la montaña con los demás niños.",
    ],
)
def test_text_of_an_older_western_encoding_is_read(text: str) -> None:
    for encoding in ("latin-1", "cp1252"):
        assert decode(text.encode(encoding)) == text


def test_typographic_quotes_of_cp1252_are_read() -> None:
    text = "“It’s the keeper’s lamp” – so she said…"
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    "data",
    [
        b"words\0and more",
        "words".encode("utf-16-le"),  # without its mark
        b"caf\xe9\0",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        codecs.BOM_UTF16_LE + b"a",
        codecs.BOM_UTF8 + b"caf\xe9",
        codecs.BOM_UTF32_BE + b"words",
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match="not"):
        decode(data)


def test_nul_bytes_are_refused_after_a_byte_order_mark_too() -> None:
    with pytest.raises(DocumentError, match="NUL"):
        decode(codecs.BOM_UTF8 + b"words\0and more")
