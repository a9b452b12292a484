"""What the words of a line tell, wherever it stands: an item's mark, the end of a sentence, a broken word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BULLET = re.compile("[•‣◦▪●○■□➢➤✓·\ue000-\uf8ff]\\s*(?=\\S)|[–—*-]\\s+(?=\\S)")
_NUMBER = re.compile(r"(?:\d{1,3}[.)]|\(?[a-z][.)]|[A-Z]\)|\((?:\d{1,3}|[ivx]{1,5})\)|[ivx]{1,5}\))\s+(?=\S)")
_SENTENCE_END = re.compile(r"[.!?:;…][\"”’»)\]]*$")
_SECTION = re.compile(r"(?:\d+|[A-Z])(?:\.\d+)*\.?(?!\S)")
_BROKEN_WORD = re.compile(r"([\w-]*[^\W\d_])-$")
#: Before these, a hyphen at the end of a line stands for a part of a word that comes later: "in- and outside".
_SUSPENDING = frozenset("and or und oder bzw sowie et ou y o e en of to".split())
#: After these, a hyphen nearly always belongs to the word.
_HYPHENATED = frozenset("self well non cross ex all half high low long short one two three".split())


def letters(text: str) -> str:
    """Return the bare letters of a text, in lower case."""
    return "".join(filter(str.isalpha, text.casefold()))


def item_mark(text: str) -> str:
    """Return the bullet or number that a line begins with, with the space after it; "" if there is none."""
    found = _BULLET.match(text) or _NUMBER.match(text)
    return found[0] if found else ""


def is_bullet(mark: str) -> bool:
    """Whether the mark of an item is a bullet rather than a number or a letter."""
    return mark != "" and not any(map(str.isalnum, mark))


def is_dash(mark: str) -> bool:
    """Whether the mark of an item may also stand within a sentence – as here."""
    return mark.strip() in ("–", "—", "-")


def section_number(text: str) -> str | None:
    """Return the number of a chapter or section that a line begins with, if there is one."""
    found = _SECTION.match(text)
    return found[0] if found else None


def ends_sentence(text: str) -> bool:
    """Whether a line ends as sentences do."""
    return _SENTENCE_END.search(text) is not None


def vocabulary(lines: Sequence[str]) -> frozenset[str]:
    """Return the words that stand within lines: they tell which of those broken at a line's end have a hyphen."""
    words: set[str] = set()
    if any(line.endswith("-") for line in lines):
        for line in lines:
            whole = line.rpartition(" ")[0] if line.endswith("-") else line
            words.update(re.findall(r"\w+(?:-\w+)*", whole.casefold()))
    return frozenset(words)


def mended(lines: Iterable[str], words: frozenset[str]) -> str:
    """Join lines; a hyphen at the end of one stays where it is part of the word, by the other ``words`` of the text."""
    text = ""
    for line in lines:
        broken = _BROKEN_WORD.search(text[-60:])
        first = re.match(r"\w+", line)
        if not text or (text[-1] > "\u2e80" and line[:1] > "\u2e80" and not "\uac00" <= text[-1] <= "\ud7a3"):
            text += line  # no space between words of Chinese or Japanese
        elif not broken or not first:
            text += ("" if text.endswith("-") and first else " ") + line
        elif first[0].casefold() in _SUSPENDING:
            text += " " + line
        elif _keeps_hyphen(broken[1].casefold(), first[0], words):
            text += line
        else:
            text = text[:-1] + line
    return text


def _keeps_hyphen(before: str, after: str, words: frozenset[str]) -> bool:
    """Whether a word broken at its hyphen has it elsewhere too. In doubt it does if both halves are words."""
    if not after[0].islower() or "-" in before or before in _HYPHENATED:
        return True
    after = after.casefold()
    if before + after in words:
        return False
    halves = before in words and after in words and min(len(before), len(after)) > 2
    return halves or f"{before}-{after}" in words
