"""Long lists of names, and whether a question asks if a name stands in one.

"Is Kenya a member?" is answered by the list, whether Kenya stands in it or not: by the entry, or by the place between
its alphabetical neighbours where it would stand.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise

from bot.countries import COUNTRY_ADJECTIVE
from bot.folding import fold
from bot.lexical import Lexical, terms_of
from bot.types import Block, Document, Passage, Span

#: Fewer entries are no list to be looked up in; longer entries are no names.
_FEWEST_ENTRIES, _MOST_WORDS = 12, 6
_IN_ORDER = 0.9  # share of neighbours in alphabetical order

#: Questions that plainly ask about belonging; that may, if a name and nothing else is asked about; that ask for
#: something and not whether; that are small talk; and the words that only say so.
_PLAINLY = re.compile(
    r"\b(?:members?|membership|part of|belongs?|belonging|join(?:ed|s)?|listed|included?|inside|take[sn]? part)\b"
    r"|\bin (?:the|this|that|your) (?:list|network|alliance|club|group|organi[sz]ation)\b"
    r"|^\W*(?:\w[\w’'.-]*\W+){1,4}is (?:in|on)\b",  # what is left of "tell me if Narnia is in it"
    re.IGNORECASE,
)
_PERHAPS = re.compile(
    r"^\W*(?:and|or|but|also)\b|^\W*(?:so )?(?:is|are|was|were|does|do|did|has|have|what about|how about)\b",
    re.IGNORECASE,
)
_ASKS_ELSE = re.compile(r"^\W*(?:(?:how|what)(?! about)|which|who\w*|when|where|why)\b", re.IGNORECASE)
_TALK = re.compile(r"\b(?:you|your|me|i|i'm)\b", re.IGNORECASE)
_BELONGING_WORDS = frozenset(
    terms_of(
        "member members membership part belong belongs join joined listed list included include inside country state "
        "among amongst actually really already officially isn't aren't wasn't hasn't doesn't didn't"
    )
)
_PART = re.compile(r"[^\W_]+")
_NAME = re.compile(r"[A-ZÀ-Þ][\w’'.-]*(?:(?: (?:of|and|the|&))* (?:[dl]['’])?[A-ZÀ-Þ][\w’'.-]*)*")

#: Whether something is so is asked with one of these.
_ASKS_WHETHER = re.compile(
    r"\b(?:is|are|was|were|do|does|did|has|have|if|whether|about|and|or)\b|n['’]t\b", re.IGNORECASE
)

#: A name in small letters stands between a verb and what is asked of it: "is narnia a member?".
_SUBJECT = re.compile(
    r"\b(?:is|was|has|does|did|about|if|whether) (?:the )?(?P<name>\w[\w’'.-]*(?: \w[\w’'.-]*){0,3}?)"
    r"(?: (?:also|now|still|actually|really|already|officially|currently))* "
    r"(?:an? |part\b|in\b|on\b|among|listed|included?\b|inside|one of|members?\b|belongs?\b|join|take)",
    re.IGNORECASE,
)
#: Or before one, in what is left of "tell me if narnia is in it".
_STATED = re.compile(r"^\W*(?:the )?(?P<name>\w[\w’'.-]*(?: \w[\w’'.-]*){0,3}?) is (?:in|on|part|an?)\b", re.IGNORECASE)

_GENERIC = frozenset(terms_of("republic kingdom state states united people democratic federal islands the of"))

#: What makes another name of one: South Sudan is not Sudan.
_MODIFIERS = frozenset(
    terms_of(
        "north south east west northern southern eastern western central new equatorial papua upper lower great greater"
    )
)

_SENTENCE = re.compile(r"(?<=[.!?])\s")

#: "U.S.A."
_WITH_DOTS = re.compile(r"\b(?:[A-Z]\.){2,}")

#: Names of the same country, in small letters.
_SAME = (
    ("us", "usa", "united states", "united states of america", "america"),
    ("uk", "united kingdom", "great britain", "britain"),
    ("uae", "united arab emirates", "emirates"),
    ("netherlands", "holland"),
    ("south korea", "korea", "republic of korea", "korea, republic of"),
    ("turkey", "türkiye"),
    ("czechia", "czech republic"),
    ("ivory coast", "côte d'ivoire"),
    ("cape verde", "cabo verde"),
    ("burma", "myanmar"),
    ("swaziland", "eswatini"),
    ("east timor", "timor-leste"),
    ("macedonia", "north macedonia"),
    ("vatican", "holy see"),
    ("russia", "russian federation"),
)


@dataclass(frozen=True, slots=True)
class NameList:
    """A list of names in alphabetical order.

    ``keys`` are the names in that order; ``heading`` is the one above, if any; ``named`` leads from the words of each
    name, and of other names of the same, to its entry; ``subject`` are the content words of what says what the list is
    of: the document's title and first sentence, the heading above, and the words that lead to the list.
    """

    document: str
    heading: Span | None
    entries: tuple[Span, ...]
    keys: tuple[str, ...]
    named: Mapping[frozenset[str], Span]
    subject: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a list says of a name. ``entry`` is where it stands, ``None`` if it does not; ``place`` holds the entry, or
    the neighbours between which it would stand. ``told`` is whether the question says which list it means."""

    name: str
    list: NameList
    entry: Span | None
    place: Span
    told: bool

    def is_in(self, passage: Passage) -> bool:
        """Whether a passage holds the place."""
        here = passage.document == self.list.document
        return here and passage.start <= self.place.start and self.place.end <= passage.end


def name_lists(document: Document) -> Iterator[NameList]:
    """Yield the lists of names in a document."""
    heading: Span | None = None
    opening = leading = ""
    for kind, blocks in groupby(document.blocks, key=lambda block: block.kind):
        run = list(blocks)
        if kind == "heading":
            named = [block for block in run if block.end > block.start]
            heading = Span(named[-1].start, named[-1].end) if named else None
        elif kind == "paragraph":
            opening = opening or _SENTENCE.split(document.text[run[0].start : run[0].end], maxsplit=1)[0]
            leading = document.text[run[-1].start : run[-1].end]
        elif kind == "item" and _is_list_of_names(document, run):
            entries = tuple(Span(block.start, block.end) for block in run)
            names = [document.text[start:end] for start, end in entries]
            above = document.text[slice(*heading)] if heading else ""
            yield NameList(
                document.id,
                heading,
                entries,
                tuple(map(_key, names)),
                _by_name(names, entries),
                frozenset(terms_of(f"{document.source.title} {opening} {above} {leading}")),
            )


def _telling(name: str) -> frozenset[str]:
    """The words of a name, but for those of many names; of "US" and the like the letters, which are no words."""
    parts = _PART.findall(fold(name))
    terms = {term for part in parts for term in terms_of(part)} - _GENERIC
    return frozenset(terms or {" ".join(parts).removeprefix("the ")})


#: The same, by the words that tell them.
_SAME_TELLING = [frozenset(map(_telling, same)) for same in _SAME]


def _by_name(names: Sequence[str], entries: Sequence[Span]) -> dict[frozenset[str], Span]:
    """Each name's words to its entry; those that two entries have lead to none."""
    own = [frozenset([_telling(name)]) for name in names]
    others = [frozenset[frozenset[str]]().union(*(same for same in _SAME_TELLING if its & same)) for its in own]
    found: dict[frozenset[str], Span] = {}
    for of_each in (own, others):  # another name gives way to a name
        counts = Counter(chain.from_iterable(of_each))
        for its, entry in zip(of_each, entries, strict=True):
            found |= {words: entry for words in its if words and counts[words] == 1 and words not in found}
    return found


def _is_list_of_names(document: Document, run: Sequence[Block]) -> bool:
    if len(run) < _FEWEST_ENTRIES:
        return False
    names = [document.text[block.start : block.end] for block in run]
    ordered = sum(_key(one) <= _key(other) for one, other in pairwise(names)) / (len(names) - 1)
    return ordered >= _IN_ORDER and all(len(name.split()) <= _MOST_WORDS for name in names)


def _key(name: str) -> str:
    return "".join(character for character in fold(name) if character.isalnum())


def look_up(question: str, lists: Sequence[NameList], texts: Mapping[str, Document], lexical: Lexical) -> Lookup | None:
    """Return what a list says of the one name that a question asks about, or ``None`` if it asks about something else.

    All that a question says besides the name must be words of belonging or of the list's own document.
    """
    question = _WITH_DOTS.sub(lambda match: match[0].replace(".", ""), question)
    plainly = bool(_PLAINLY.search(question))
    if not lists or not (plainly or (_PERHAPS.search(question) and not _TALK.search(question))):
        return None
    mentions = [(names, entry, said) for names in lists for entry, said in _mentions(question, names)]
    if not mentions:
        return _absent(question, lists, lexical, plainly)
    if len(mentions) > 1:
        return None
    [(names, entry, said)] = mentions
    rest = _rest(question, said)
    name = texts[names.document].text[entry.start : entry.end]
    return Lookup(name, names, entry, entry, told=bool(rest)) if rest <= names.subject else None


def _rest(question: str, name: str) -> frozenset[str]:
    """What a question says besides a name and words of belonging."""
    return frozenset(terms_of(question)) - frozenset(terms_of(name)) - _telling(name) - _GENERIC - _BELONGING_WORDS


def _mentions(question: str, names: NameList, *, parts: bool = False) -> Iterator[tuple[Span, str]]:
    """Yield the entries that a question names, with its words for them; those that are a part of a longer name only if
    ``parts`` are wanted."""
    words = list(_PART.finditer(question))
    end = 0
    for first in range(len(words)):
        for last in range(min(first + _MOST_WORDS, len(words)), max(first, end), -1):
            run = question[words[first].start() : words[last - 1].end()]
            if first < end or run == "us" or not (_tells(words[first][0]) and _tells(words[last - 1][0])):
                continue
            entry = names.named.get(_telling(run))
            if entry is not None:
                end = last
                longer = _goes_on(question, words, first - 1, names) or _goes_on(question, words, last, names, -1)
                if parts or not longer:
                    yield entry, run


def _tells(word: str) -> bool:
    return bool(terms_of(word)) or (word.isupper() and len(word) > 1)


def _goes_on(question: str, words: Sequence[re.Match[str]], number: int, names: NameList, side: int = 0) -> bool:
    """Whether a word makes a longer name of the one beside it, which begins after the word, or ends before it."""
    if not 0 <= number < len(words):
        return False
    between = question[words[number + side].end() : words[number + side + 1].start()]
    word = words[number][0]
    terms = set(terms_of(word))
    if not terms or between not in (" ", "-"):
        return False
    capital = word[0].isupper() and not question.isupper()
    return terms <= _MODIFIERS or (capital and not terms <= names.subject | _BELONGING_WORDS)


def _bare(name: str) -> str:
    """A name without the words at its ends that are none: a question's first word has a capital too."""
    words = name.split()
    for end in (0, -1):
        while words and set(terms_of(words[end])) <= _BELONGING_WORDS:
            words.pop(end)
    return " ".join(words)


def _absent(question: str, lists: Sequence[NameList], lexical: Lexical, plainly: bool) -> Lookup | None:
    """A name that is not an entry, looked for in the one list that the rest of the question can be about.

    No document holds any word of it, or it is a longer name than an entry's. One without a capital is taken for a name
    only where the question plainly asks about belonging, and whether: the unknown word of "how menny members" is a slip
    and no name.
    """

    def is_another(name: str) -> bool:
        terms = terms_of(name)
        unknown = bool(terms) and not any(map(lexical.knows, terms))
        return unknown or any(True for names in lists for _ in _mentions(name, names, parts=True))

    candidates: list[str] = []
    if _ASKS_WHETHER.search(question) and not question.isupper():
        candidates = list(filter(is_another, (_bare(match[0]) for match in _NAME.finditer(question))))
    if not candidates and plainly and not _ASKS_ELSE.search(question):
        subjects = (match["name"] for found in (_SUBJECT, _STATED) for match in found.finditer(question))
        candidates = [name for name in subjects if all(map(_tells, name.split())) and is_another(name)]
    if len(candidates) != 1 or COUNTRY_ADJECTIVE.fullmatch(candidates[0]):
        return None
    rest = _rest(question, candidates[0])
    about = [names for names in lists if rest <= names.subject]
    if len(about) != 1:
        return None
    [names] = about
    after = bisect_left(names.keys, _key(candidates[0]))
    before = max(0, after - 1)
    last = min(after, len(names.entries) - 1)
    place = Span(names.entries[before].start, names.entries[last].end)
    return Lookup(candidates[0], names, None, place, told=bool(rest))
