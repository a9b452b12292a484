"""The words and the short forms that a corpus uses, learnt when it is built.

Short forms come from "Long Form (LF)" (Schwartz and Hearst, "A simple algorithm for identifying abbreviation
definitions", PSB 2003) and from the initials of names: nobody writes "MNR" in the documents, yet "Model National
Response" can only be that.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from bot.folding import fold

_WORD = re.compile(r"[^\W_]+")
_DEFINED = re.compile(r"\(([A-Z][A-Za-z0-9&-]{1,9})\)")

#: A name: capitalised words, small words between them, no punctuation inside. A word of more letters than any has would
#: be looked through again from each capital in it.
_NAME = re.compile(r"[A-Z][\w’'-]{0,80}+(?:(?: (?:of|for|the|and|on|to|in|at|&)){0,2} [A-Z][\w’'-]{0,80}+)+")
#: A term of art in small letters: hyphenated words, then one more.
_COMPOUND = re.compile(r"\b(?:[a-z]{1,40}(?:-[a-z]{1,40}){1,12} ){1,3}[a-z]+")

#: Where a name begins within what is matched, of which the first word may be no part; and where one may begin and end
#: that is a part of a longer one: at a small word, but not after an "and". Nobody calls what the Office on Theft and
#: Damage of Lost Boats is about DLB.
_BEFORE_NAME = re.compile(
    r"^(?:(?:The|An?|Our|Its|Their|Your|This|That|In|On|At|By|For|From|With|Under|As|When|While|Since|And|But) )?$"
)
_BEGINS, _ENDS = (
    re.compile(r" (?:of|for|the|on|to|in|at) $|['’]s? $"),
    re.compile(r"$| (?:of|for|the|and|on|to|in|at|&) "),
)

_SHORTEST, _LONGEST = 3, 8  # letters of a short form made of initials
_FORMS = 3  # long forms kept for each short one
_EXPLAINED = 1_000  # what an explanation counts, where initials count one
_LIST = 40  # capitalised words in a row that are no name any more


@dataclass(frozen=True)
class Vocabulary:
    """``words`` are folded, with how often they occur; ``short_forms`` lead, folded, to long forms, likeliest first;
    ``explained`` are those that a text explains, where of others the initials are all that tells."""

    words: Mapping[str, int]
    short_forms: Mapping[str, tuple[str, ...]]
    explained: tuple[str, ...]

    def beginning_with(self, letter: str, shortest: int, longest: int) -> list[str]:
        """Return the words that begin with a letter and have so many letters, shorter ones first."""
        lengths = range(shortest, longest + 1)
        return [word for length in lengths for word in self._groups.get((letter, length), ())]

    @cached_property
    def _groups(self) -> dict[tuple[str, int], list[str]]:
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        for word in self.words:
            groups[word[0], len(word)].append(word)
        return dict(groups)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one text tells: how often it uses each word, folded, and how surely each short form stands for what."""

    words: Mapping[str, int]
    forms: Mapping[str, Mapping[str, int]]


def learn(text: str) -> Learnt:
    """Collect the words and short forms of a text."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for short, long in _defined(text):
        forms[fold(short)][long] += _EXPLAINED  # the author says so; initials are only a guess
    for short, long in _initials(text):
        forms[fold(short)][long] += 1
    return Learnt(Counter(_WORD.findall(fold(text))), forms)


class Tally:
    """Puts together what texts tell, whatever their order."""

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._forms: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, learnt: Learnt) -> None:
        """Count what one more text tells."""
        self._words.update(learnt.words)
        for short, long in learnt.forms.items():
            self._forms[short].update(long)

    def vocabulary(self) -> Vocabulary:
        """Return what all of them tell."""
        short_forms = {
            short: tuple(long for long, _ in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:_FORMS])
            for short, found in sorted(self._forms.items())
        }
        explained = sorted(short for short, found in self._forms.items() if max(found.values()) >= _EXPLAINED)
        return Vocabulary(dict(sorted(self._words.items())), short_forms, tuple(explained))


def _defined(text: str) -> Iterator[tuple[str, str]]:
    """Yield short forms in brackets with the words before them that they stand for."""
    for match in _DEFINED.finditer(text):
        short = match[1]
        letters = [letter for letter in short.casefold() if letter.isalnum()]
        most = min(len(letters) + 5, 2 * len(letters))
        before = re.findall(r"\S+", text[max(0, match.start() - 200) : match.start()])[-most:]
        long = _spelt_by(letters, " ".join(before))
        if long and len(long) > len(short):
            yield short, long


def _spelt_by(letters: list[str], before: str) -> str | None:
    """The end of ``before`` whose letters, from right to left, spell a short form; its first letter begins a word."""
    text = before.casefold()
    place = len(text)
    for number, letter in reversed(list(enumerate(letters))):
        place -= 1
        while place >= 0 and not (text[place] == letter and (number or place == 0 or not text[place - 1].isalnum())):
            place -= 1
        if place < 0:
            return None
    return before[place:] if len(before) == len(text) else None


def _initials(text: str) -> Iterator[tuple[str, str]]:
    for match in _COMPOUND.finditer(text):
        parts = re.split("[ -]", match[0])
        if _SHORTEST <= len(parts) <= _LONGEST:
            yield "".join(part[0] for part in parts), match[0]
    for match in _NAME.finditer(text):
        name = match[0]
        starts = [(m.start(), m.end(), m[0][0]) for m in re.finditer(r"(?<![\w’'])[A-Z][\w’']*", name)]
        for first in range(len(starts) if len(starts) <= _LIST else 0):
            for last in range(first + _SHORTEST - 1, min(len(starts), first + _LONGEST)):
                start, end = starts[first][0], starts[last][1]
                inside = _BEGINS.search(name[:start]) and _ENDS.match(name[end:])
                if inside or _BEFORE_NAME.match(name[:start]):
                    yield "".join(letter for _, _, letter in starts[first : last + 1]), name[start:end]
