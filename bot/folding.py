"""Different spellings of the same thing -> one form, for searching only: what is quoted is never touched.

Case and accents; "four" and 4; 1,000 and 1000; 04/03/2024 and 4 March 2024; co-operation and cooperation.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

_ONES = "two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
#: "one" is left out: it is mostly no number.
_NUMBERS = {
    **{word: number for number, word in enumerate(_ONES, 2)},
    **{word: number for number, word in enumerate(_TEENS, 10)},
    **{word: number * 10 for number, word in enumerate(_TENS, 2)},
}
_NUMBER_WORDS = frozenset(_NUMBERS)
_MONTHS = "january february march april may june july august september october november december".split()

#: What tells cheaply that a text has nothing of a kind, as most sentences have not.
_LETTERS, _DIGIT, _JOINT = re.compile("[a-z]+"), re.compile(r"\d"), re.compile("[-‐‑'’]")

_GROUPED = re.compile(r"\b\d{1,3}(?:[,\u00a0\u202f]\d{3})+\b")
_COMPOUND_NUMBER = re.compile(rf"\b({'|'.join(_TENS)})[- ](one|{'|'.join(_ONES)})\b", re.IGNORECASE | re.ASCII)
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE | re.ASCII)
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in _MONTHS) + "|sept"
_WRITTEN_DATE = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})"
    rf"|(?P<first>{_MONTH})\.? (?P<second>\d{{1,2}})(?:st|nd|rd|th)?),?\.? (?P<year>(?:1[5-9]|20)\d\d)\b",
    re.IGNORECASE | re.ASCII,
)
_NUMERIC_DATE = re.compile(
    r"\b(?:(?P<year>(?:1[5-9]|20)\d\d)-(?P<month>\d\d?)-(?P<day>\d\d?)"
    r"|(?P<one>\d\d?)(?P<dot>[./-])(?P<other>\d\d?)(?P=dot)(?P<last>(?:1[5-9]|20)\d\d))\b"
)
_JOINED = re.compile(r"\b[^\W_]+(?:[-‐‑'’][^\W_]+)+\b")


def fold(text: str) -> str:
    """Return text in small letters, without accents."""
    if text.isascii():
        return text.lower()
    spread = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    accents = {ord(character): None for character in set(spread) if unicodedata.combining(character)}
    return spread.translate(accents) if accents else spread


def with_other_forms(text: str) -> str:
    """Return text with numbers in digits, and at its end the other forms of its dates and hyphenated words.

    A date that may be read in two ways (04/03/2024) gets both.
    """
    if text.isalpha() and text.casefold() not in _NUMBERS:
        return text
    if not _NUMBER_WORDS.isdisjoint(_LETTERS.findall(text.casefold())):
        text = _COMPOUND_NUMBER.sub(_compound_number, text)
        text = _NUMBER_WORD.sub(lambda match: str(_NUMBERS[match[0].casefold()]), text)
    others: list[str] = []
    if _DIGIT.search(text):
        text = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text)
        others += [day for match in _WRITTEN_DATE.finditer(text) for day in _written_date(match)]
        others += [day for match in _NUMERIC_DATE.finditer(text) for day in _numeric_date(match)]
    if _JOINT.search(text):
        others += [word for match in _JOINED.finditer(text) for word in _joined(match)]
    return " ".join([text, *dict.fromkeys(others)]) if others else text


def _compound_number(match: re.Match[str]) -> str:
    return str(_NUMBERS[match[1].casefold()] + _NUMBERS.get(match[2].casefold(), 1))


def _written_date(match: re.Match[str]) -> list[str]:
    month = next(
        number for number, name in enumerate(_MONTHS, 1)
        if name.startswith((match["month"] or match["first"]).casefold()[:3])
    )  # fmt: skip
    return _days(int(match["year"]), month, int(match["day"] or match["second"]))


def _numeric_date(match: re.Match[str]) -> list[str]:
    if match["year"]:
        return _days(int(match["year"]), int(match["month"]), int(match["day"]))
    one, other, year = int(match["one"]), int(match["other"]), int(match["last"])
    return [*_days(year, other, one), *_days(year, one, other)]


def _days(year: int, month: int, day: int) -> list[str]:
    """The one word that stands for a day, with its month's name; nothing if there is no such day."""
    try:
        return [f"{date(year, month, day):day%Y%m%d}", _MONTHS[month - 1]]
    except ValueError:
        return []


def _joined(match: re.Match[str]) -> list[str]:
    """A hyphenated word or one with an apostrophe, in one piece; not for 's, which is no part of it."""
    parts = re.split("[-‐‑'’]", match[0])
    if parts[-1] in ("s", "S"):
        parts.pop()
    return ["".join(parts)] if len(parts) > 1 else []
