"""What a question is searched for: its words mended and spelt out, and what they ask for.

The question itself is never changed; what was searched for instead is said in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from string import ascii_lowercase

from rapidfuzz import process
from rapidfuzz.distance import OSA

from bot.countries import COUNTRY
from bot.folding import fold
from bot.language import ENGLISH, language_of
from bot.lexical import Terms, read_terms, terms_of
from bot.lists import Lookup, look_up
from bot.question import ASKING_TERMS, Kind, asks_for, core_of, focus_of, without_politeness
from bot.snapshot import Snapshot
from bot.types import Correction, Encoder

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

#: What questions begin with, whatever other word of the corpus a slip at the beginning is as near to. Shorter ones are
#: too near to others.
_OPENERS = frozenset(["what", "which", "when", "where"])

#: "whats", which is no slip: only its apostrophe is missing.
_RUN_TOGETHER = re.compile(r"\b(what|where|when|who|why|how)s\b", re.IGNORECASE)

#: Shorter words have too many neighbours; longer ones may hold two slips.
_SHORTEST_MENDED, _TWO_SLIPS_FROM = 4, 6

#: What stands after and before words to make others of them.
_ENDINGS = ("s", "es", "d", "ed", "ing", "ings", "er", "ers", "ly", "ness", "ful", "less", "able", "ment", "ments")
_FRONTS = (
    "anti",
    "counter",
    "cyber",
    "down",
    "inter",
    "multi",
    "non",
    "off",
    "on",
    "out",
    "over",
    "post",
    "pre",
    "un",
    "under",
    "up",
)


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it is searched for. ``corrections`` and ``expansions`` say what differs from what was asked.

    ``kind`` is the kind of thing that is asked for, and ``focus`` the terms of the word that says what the answer is or
    does, where the question's own words tell.
    ``lookup`` is what a list says of the name that the question asks about, if it asks whether a name stands in one.
    ``foreign`` is the code of the language that the question seems to be in, if the encoder does not know it.
    ``borrowed`` are words of earlier questions, as searched for, that this one is read with; ``lent`` is what they add,
    turn by turn, each with what a full match of it counts where the question's own counts 1. A question that ``leans``
    means little without them, and is compared with the passages both as it is and together with them.
    """

    text: str
    terms: Terms
    kind: Kind | None
    focus: frozenset[str] = frozenset()
    corrections: tuple[Correction, ...] = ()
    expansions: tuple[Correction, ...] = ()
    lookup: Lookup | None = None
    foreign: str | None = None
    borrowed: tuple[str, ...] = ()
    lent: tuple[tuple[Terms, float], ...] = ()
    leans: bool = False

    @property
    def about(self) -> frozenset[str]:
        """The content words of what is asked, as the index knows them.

        Borrowed ones are among them only where its own name no topic ("what is their mission?"): what was lent is found
        where it was shown, so only the question's own words tell whether it is answered.
        """
        own = frozenset(self.terms.words)
        return own if own - ASKING_TERMS or not self.leans else own.union(*(terms.words for terms, _ in self.lent))


def understand(question: str, snapshot: Snapshot, encoder: Encoder, languages: Collection[str] = (ENGLISH,)) -> Query:
    """Mend misspelt words and spell out short forms that the corpus explains.

    Only words that no document uses are touched. A word that the encoder's tokenizer knows whole is not misspelt,
    whatever word of the corpus it resembles: "Chile" is not a slip for "China". The words of a language that the
    encoder does not know are not misspelt either.

    :param languages: codes of the languages that the encoder knows; empty if it knows any.
    """
    question = _RUN_TOGETHER.sub(r"\1's", without_politeness(question))
    spoken = language_of(question)
    foreign = spoken if languages and spoken not in languages else None
    corrections: list[Correction] = []
    expansions: list[Correction] = []
    words = list(_WORD.finditer(question))
    shouted = all(word[0].isupper() for word in words)

    def replaced(match: re.Match[str]) -> str:
        word = match[0]
        terms = terms_of(word)
        if not terms or any(map(snapshot.lexical.knows, terms)):
            return word
        long = snapshot.vocabulary.short_forms.get(fold(word), ())
        meant = word.isupper() and not shouted and fold(word) in snapshot.vocabulary.explained
        if long and (meant or not _is_whole(word, encoder)):  # "BMW" may have the initials of what is no BMW
            expansions.append(Correction(word, long[0]))
            return long[0]
        likelier = _OPENERS if match.start() == words[0].start() else frozenset()
        mended = None if foreign else _mended(word, snapshot, encoder, likelier)
        if mended is None:
            return word
        corrections.append(Correction(word, mended))
        return mended

    text = _WORD.sub(replaced, question)
    kind = asks_for(text)
    return Query(
        text=text,
        terms=read_terms([text], encoder.pieces)[0],
        kind=kind,
        focus=focus_of(text),
        corrections=tuple(corrections),
        expansions=tuple(expansions),
        lookup=None if kind else look_up(core_of(text), snapshot.lists, snapshot.documents, snapshot.lexical),
        foreign=foreign,
    )


def _is_whole(word: str, encoder: Encoder) -> bool:
    return _are_whole([word], encoder)[0]


def _are_whole(words: Sequence[str], encoder: Encoder) -> list[bool]:
    """Whether the encoder's tokenizer has each word in one piece, as it has common words and well-known names."""
    empty, *full = encoder.count_tokens(["", *words])
    return [tokens - empty <= 1 for tokens in full]


def _made_of(word: str, encoder: Encoder) -> list[str]:
    """The words that the tokenizer has, of which a word may be made: "groom" of "grooming", "line" of "offline"."""
    stems = {word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)}
    stems |= {stem + "e" for stem in stems} | {stem[:-1] for stem in stems if stem[-2:-1] == stem[-1:]}
    stems |= {word[:-3] + "y"} if word.endswith(("ies", "ied")) else set()
    stems |= {word.removeprefix(front) for front in _FRONTS if word.startswith(front)}
    return [stem for stem in stems if len(stem) >= _SHORTEST_MENDED and _is_whole(stem, encoder)]


def _mended(word: str, snapshot: Snapshot, encoder: Encoder, likelier: Set[str]) -> str | None:
    """The word of the corpus, or of those that are likelier here, that was meant; ``None`` if there is none."""
    folded = fold(word)
    if len(folded) < _SHORTEST_MENDED or not folded.isalpha() or _is_whole(word, encoder):
        return None
    if COUNTRY.fullmatch(word.title()):
        return None
    slips = 2 if len(folded) >= _TWO_SLIPS_FROM else 1
    counts = snapshot.vocabulary.words
    known = snapshot.vocabulary.beginning_with(folded[0], len(folded) - slips, len(folded) + slips)
    if stems := _made_of(folded, encoder):  # "grooming" is no slip for "growing", but "visiters" for "visitors"
        known = [one for one in known if one.startswith(tuple(stems))]
    words = [*sorted(one for one in likelier if one[0] == folded[0]), *(one for one in known if one not in likelier)]
    near = process.extract(folded, words, scorer=OSA.distance, score_cutoff=slips, limit=20)
    likely = [
        (distance, found not in likelier, not found.startswith(folded), -counts.get(found, 0), found)
        for found, distance, _ in near
        if len(found) >= _SHORTEST_MENDED and not found.isdigit()
    ]
    if not likely:
        return None
    distance, *_, found = min(likely)
    nearer = distance > 1 and any(_are_whole([*_one_slip_away(folded)], encoder))
    return None if nearer else found  # "adress" is a slip for "address", which no document has, not for "access"


def _one_slip_away(word: str) -> set[str]:
    """What a word would be without one slip: a letter too many, too few, or wrong, or two that changed places."""
    parts = [(word[:cut], word[cut:]) for cut in range(len(word) + 1)]
    return (
        {before + after[1:] for before, after in parts}
        | {before + after[1::-1] + after[2:] for before, after in parts}
        | {before + letter + after[skip:] for before, after in parts for letter in ascii_lowercase for skip in (0, 1)}
    ) - {word}
