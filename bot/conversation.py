"""Earlier turns -> what a question really asks, without a language model and without memory between requests.

"And who chairs it?" means little alone. Such a question borrows the words of the questions before it: only those that
stand in passages that were shown, only beside its own words, which count more, and never so that it cannot be told:
every borrowed word is said in the answer. Gluing whole questions together harms more than it helps (MTRAG, Katsis et
al. 2025). A question that names what it is about borrows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import replace

from bot.language import ENGLISH
from bot.lexical import WORD, read_terms, terms_of, words_of
from bot.lists import Lookup
from bot.query import Query, understand
from bot.question import ASKING_WORDS
from bot.snapshot import Snapshot
from bot.types import Encoder, Turn

#: What a full match of borrowed words adds, where a full match of the question's own is 1: for a question that leans on
#: what came before, and for one that is only short. Each turn further back counts half.
_LEANING_WEIGHT, _SHORT_WEIGHT, _FADE = 0.4, 0.2, 0.5

#: Turns that are looked at.
_MOST_TURNS = 20

#: Turns that lend words, and passages of each that words are looked for in.
_TURNS, _SHOWN = 2, 5

#: A question of this many content words leans on what came before, whatever they are; one of that many may.
_FEW, _SHORT = 2, 4

#: A pronoun is explained by the question itself if this many content words stand before it, or it is long.
_EXPLAINED, _LONG = 2, 6

_OPENING = re.compile(
    r"\W*(?:and|but|or|so|also|then|ok|okay|yes|no|not|oh|what about|how about|what if|i mean|i meant|are you sure)\b",
    re.I,
)
#: "What about Kenya?": another name for the question before.
_INSTEAD = re.compile(r"\W*(?:and|or|what about|how about|and (?:what|how) about)\s+(?P<name>[^?!.]{1,60}?)\W*", re.I)

_PRONOUNS = frozenset("it its they them their theirs he she him his her hers".split())
_POINTERS = frozenset(
    "this that these those one ones other others another else same such former latter both either neither".split()
)
#: "Is it possible", "does it mean", "its own": pronouns that point to nothing before the question.
_EMPTY = re.compile(
    r"\b(?:is|was|does|did|will|would|can)\s+it\s+"
    r"(?:true|possible|legal|illegal|worth|necessary|mean|take|snow|rain)\b|\b(?:its|their|his|her) own\b",
    re.I,
)

_ASKING = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.I)
_NAME = re.compile(r"(?<=[\w,;]\s)(?!I\b)[A-Z][\w-]*[A-Za-z]|\b[A-Z]{2,}\w*|\b[a-z]+[A-Z]\w*")
_DEFINE = re.compile(
    r"\W*(?:wh(?:at|o)(?:\s+(?:is|are|was|were|does)|['’]s)"
    r"|(?:please )?(?:define|explain|describe|tell me (?:more )?about))"
    r"\s+(?!the\b|it\b|this\b|that\b|these\b|those\b|them\b|they\b)",
    re.I,
)


def in_context(
    question: str,
    turns: Sequence[Turn],
    snapshot: Snapshot,
    encoder: Encoder,
    languages: Collection[str] = (ENGLISH,),
) -> Query:
    """Understand a question as part of a conversation, of which ``turns`` are what came before, oldest first.

    Turns are hostile input like any other: passages that this snapshot does not have lend nothing.
    """

    def understood(text: str) -> Query:
        return understand(text, snapshot, encoder, languages)

    if not turns:
        return understood(question)
    turns = turns[-_MOST_TURNS:]
    name = _INSTEAD.fullmatch(question)
    if name:
        before = _whole(turns, understood)
        instead = understood(_with_name(before, name["name"]))
        if before.lookup is not None and instead.lookup is not None and _was_shown(before.lookup, turns[-1], snapshot):
            names = set(terms_of(f"{before.lookup.name} {name['name']}"))
            return replace(instead, borrowed=_new_words(before.text, names))
    query = understood(question)
    if query.lookup is not None and not query.lookup.told and _is_about_else(query.lookup, turns, snapshot, understood):
        query = replace(query, lookup=None)
    weight = _weight(query) if query.lookup is None else 0.0
    lent = list(_lent(query, turns, snapshot, understood)) if weight else []
    if not any(lent):
        return query
    terms = read_terms([" ".join(words) for words in lent], encoder.pieces)
    return replace(
        query,
        borrowed=tuple(word for words in lent for word in words),
        lent=tuple((its, weight * _FADE**back) for back, its in enumerate(terms)),
        leans=weight == _LEANING_WEIGHT,
    )


def converse(questions: Iterable[str], shown: Callable[[str, tuple[Turn, ...]], Sequence[str]]) -> tuple[Turn, ...]:
    """Return the turns that asking some questions in a row makes.

    :param shown: given a question and the turns before it, returns the ids of the passages that are shown.
    """
    turns: tuple[Turn, ...] = ()
    for question in questions:
        turns += (Turn(question, tuple(shown(question, turns))),)
    return turns


def _whole(turns: Sequence[Turn], understood: Callable[[str], Query]) -> Query:
    """What the last of some turns asked, its own "what about" put in place."""
    *before, last = turns
    name = _INSTEAD.fullmatch(last.question)
    query = understood(last.question)
    if name and before:
        instead = understood(_with_name(_whole(before, understood), name["name"]))
        return instead if instead.lookup is not None else query
    return query


def _with_name(query: Query, name: str) -> str:
    """A question about a name in a list, with another name instead; the name alone if it is no such question."""
    if query.lookup is None:
        return name
    named = set(terms_of(query.lookup.name))
    words = [match for match in WORD.finditer(query.text) if named.intersection(terms_of(match[0]))]
    return query.text[: words[0].start()] + name + query.text[words[-1].end() :]


def _is_about_else(
    lookup: Lookup, turns: Sequence[Turn], snapshot: Snapshot, understood: Callable[[str], Query]
) -> bool:
    """Whether the last turn asked something and was answered from elsewhere than where the list stands."""
    return bool(understood(turns[-1].question).terms.words) and not _was_shown(lookup, turns[-1], snapshot)


def _was_shown(lookup: Lookup, turn: Turn, snapshot: Snapshot) -> bool:
    """Whether the turn showed passages of the document that the list stands in."""
    shown = (snapshot.passage(name) for name in turn.passages)
    return any(passage is not None and passage.document == lookup.list.document for passage in shown)


def _weight(query: Query) -> float:
    """How much a question borrows: nothing if it stands on its own."""
    content = len(set(query.terms.words))
    if content <= _LONG and _points_back(query.text):
        return _LEANING_WEIGHT
    if not content:  # "and when?", or small talk
        return _LEANING_WEIGHT if _ASKING.search(query.text) else 0.0
    opening = _OPENING.match(query.text)
    named = not query.text.isupper() and _NAME.search(query.text)
    if opening:
        rest = query.text[opening.end() :]
        return 0.0 if named and (content > _FEW or _ASKING.search(rest)) else _LEANING_WEIGHT
    if content > _SHORT or named:
        return 0.0
    if content > _FEW:
        return _SHORT_WEIGHT
    return 0.0 if _DEFINE.match(query.text) else _LEANING_WEIGHT


def _points_back(question: str) -> bool:
    """Whether a pronoun stands for something that the question has not named before it."""
    explained, after_content = 0, False
    for word in words_of(question.casefold()):
        stem = re.split("['’]", word)[0]
        if stem in _PRONOUNS and not _EMPTY.search(question):
            return True
        if stem in _POINTERS and not after_content:  # "the list that they keep" points nowhere
            return True
        after_content = bool(terms_of(word))
        explained += after_content
        if explained == _EXPLAINED:
            return False
    return False


def _lent(
    query: Query, turns: Sequence[Turn], snapshot: Snapshot, understood: Callable[[str], Query]
) -> Iterator[tuple[str, ...]]:
    """What each of the last turns lends, the latest first: words that its passages hold and that are new."""
    known = set(query.terms.words)
    for turn in reversed(turns[-_TURNS:]):
        shown = [passage for name in turn.passages[:_SHOWN] if (passage := snapshot.passage(name))]
        held = {term for passage in shown for term in terms_of(snapshot.context(passage) + passage.text)}
        words = _new_words(understood(turn.question).text, known, held)
        known.update(terms_of(" ".join(words)))
        yield words


def _new_words(text: str, known: Set[str], held: Set[str] | None = None) -> tuple[str, ...]:
    """The words of a text that say what it is about and are not known; held somewhere, if that is given."""
    new: dict[str, None] = {}
    seen = set(known)
    for word in words_of(text):
        terms = set(terms_of(word))
        if terms - seen and word.casefold() not in ASKING_WORDS and (held is None or terms <= held):
            new[word] = None
            seen |= terms
    return tuple(new)
