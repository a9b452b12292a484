"""What a question asks for, and whether a sentence holds such a thing.

Asked "how many", a sentence with a number is likelier to answer than one without, however near its meaning. After the
answer types of Li and Roth, "Learning Question Classifiers" (COLING 2002), told by plain patterns (English) and, for
countries, by their names.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Literal, TypeAlias

from bot.countries import COUNTRY
from bot.lexical import terms_of, words_of

Kind: TypeAlias = Literal[
    "contact", "sum", "frequency", "number", "date", "time", "country", "place", "name", "reason"
]  # fmt: skip

#: Kinds whose presence in a sentence is plain to tell.
PLAIN_KINDS: frozenset[Kind] = frozenset({"contact", "sum", "frequency", "number", "date", "country"})

_NUMBER_WORDS = (
    "one(?! another| of )|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen"
)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
#: Words that say what kind of thing is asked for, not what about: an answer need not hold them.
ASKING_WORDS = frozenset(
    "number total count amount percentage proportion share year month date day time aim aims purpose goal "
    "goals mission objective reason role involved involvement meaning mean means definition define "
    "abbreviation stand stands called name names known example examples kind type difference information "
    "detail details describe explain list tell main primary key overall".split()
)

#: The same, as the index knows them.
ASKING_TERMS = frozenset(terms_of(" ".join(sorted(ASKING_WORDS))))

#: Who or what in general: "which body ...?" is answered by the name of one.
_ANYBODY = frozenset(terms_of("body organisation organization person people"))

#: A question word that is followed by what its answer is, or does; and what follows it.
_FOCUS = re.compile(r"^\W*(?:(?:and|in|of|for|from|at|on|to|with|by) +)*(?:which|what|who|how many)\b(.*)", re.I | re.S)

#: The first pattern that fits tells what is asked for.
_ASKS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(
            r"\b(?:phone|telephone|fax|mobile|hotline|contact|call)(?:ing)? (?:number|details)\b|\baddress of\b"
            r"|\b(?:e-?mail|postal|street|mailing) address\b|\b(?:phone|telephone|fax|e-?mail|web ?site) (?:of|for)\b"
            r"|(?<!\bmy )(?<!\bown )(?<!\bthe )(?<!\bby )(?<!\bvia )(?<!\bper )(?<!\bon )(?<!\bor )(?<!\bpersonal )"
            r"\b(?:phone|telephone|fax|e-?mail|web ?site)\W*$",  # one that is asked for, not one that plays a part
            re.I,
        ),
        "contact",
    ),
    (
        re.compile(
            r"\bhow much (?:\w+ ){0,3}?(?:money|funding|costs?|paid|pay|budget|receive|spend|spent|give|given)\b"
            r"|\b(?:what|which)(?:['’]s)? (?:[\w’'-]+ ){0,5}?(?:budget|price|fee|costs?|salary|funding|revenue|fine)\b"
            r"|\bhow much (?:is|are|does|do|for)\b|\bis (?:\w+ ){1,3}free\b",
            re.I,
        ),
        "sum",
    ),
    (
        re.compile(
            r"\bhow (?:often|frequently|regularly)\b|\b(?:times|meetings) (?:a|per|each) (?:year|month|week)\b", re.I
        ),
        "frequency",
    ),
    (
        re.compile(
            r"\bhow (?:many|much|long(?! ago)|far|old|early|late|soon|quick(?:ly)?|fast|warm|hot|cold|big|large|small"
            r"|tall|high|deep|wide|thick|heavy)\b|\b(?:number|total|count|percentage|proportion) of\b"
            r"|\b(?:what|which|what['’]?s the) (?:\w+ )?(?:age|temperature|height|length|size|limit|speed|weight)\b"
            r"|\b(?:min(?:imum)?|max(?:imum)?|daily|upper|lower) (?:\w+ )?(?:age|size|limit|number|length|amount)\b",
            re.I,
        ),
        "number",
    ),
    (
        re.compile(
            r"\bwhen (?:was|were|did|has|have|had)\b|\b(?:what|which) (?:\w+ )?(?:year|month|date)\b"
            r"|\bhow (?:long ago|recent(?:ly)?)\b",
            re.I,
        ),
        "date",
    ),
    (
        re.compile(
            r"^\W*(?:(?:and|so|but|or|since|from|until|till|by) ){0,2}when\b|\bwhen\W*$"  # not "when travelling"
            r"|\bwhen (?:is|are|does|do|will|can|could|should|must|may|would)\b"
            r"|\b(?:what|which) (?:\w+ )?(?:day|time)\b|\b(?:what|which) are the (?:\w+ ){0,2}(?:times|hours)\b",
            re.I,
        ),
        "time",
    ),
    (
        re.compile(
            r"^\W*(?:(?:and|or|so|but|in|from|to|for|of|by|on|at) ){0,2}(?:which|what) (?:(?!united\b)\w+ )?"
            r"(?:countr(?:y|ys|ies)|nations?)\b(?!['’-]| codes?\b|.* or )",  # a choice names both itself
            re.I,
        ),
        "country",
    ),
    (
        re.compile(
            r"\bwhere\b(?! (?:can|do|could|should) (?:i|we|you)\b)|\b(?:which|what|in what) (?:city|town|place|venue)\b"
            r"|\b(?:head ?office|headquarters|headquartered)\b",
            re.I,
        ),
        "place",
    ),
    (
        re.compile(
            r"\bwho(?:m|se)?\b"
            r"|\b(?:which|what) (?:\w+ )?(?:person|people|organi[sz]ations?|department|body|agency)\b",
            re.I,
        ),
        "name",
    ),
    (re.compile(r"\bwhy\b|\bfor what\b|\bwhat for\b|\b(?:aim|purpose|goal|mission|reason)s?\b", re.I), "reason"),
)

_HOLDS: dict[Kind, re.Pattern[str]] = {
    "number": re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE),
    "date": re.compile(
        rf"\b(?:1[5-9]|20)\d\d\b|\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|\b(?:{_MONTHS}) \d|\d (?:{_MONTHS})\b"
        r"|\b\d{1,2}(?:st|nd|rd|th)\b",
        re.IGNORECASE,
    ),
    "time": re.compile(
        rf"\d(?::\d\d|(?:st|nd|rd|th)| ?[ap]\.?m\b)|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
        rf"|\b(?:{_MONTHS}|spring|summer|autumn|winter|noon|midnight|morning|evening|weekends?)\b"
        rf"|\b(?:daily|weekly|monthly|yearly|until|during|before|after|within|once|when|whenever|always|never)\b"
        rf"|\b(?:first|last|each|every) (?:\w+ )?(?:day|week|month|year)\b"
        rf"|(?:\d|\b(?:{_NUMBER_WORDS})) (?:\w+ )?(?:minute|hour|day|week|month|year)s?\b",
        re.IGNORECASE,
    ),
    "frequency": re.compile(
        r"\b(?:once|twice|\w+ times|every|each|per)\b|\b(?:dai|week|month|quarter|year|annual|biannual|bi-?annual)ly\b"
        r"|\bannual\b|\ba (?:year|month|week|day)\b",
        re.IGNORECASE,
    ),
    "contact": re.compile(r"[\w.+-]+@[\w-]+\.\w|(?:\+|\b0|\b1[38]00)[\d ()/-]{5,}\d|\bwww\.|https?://|\b\d{5}\b"),
    "sum": re.compile(
        rf"[$€£¥]|\b(?:dollars?|euros?|pounds?|cents?|USD|EUR|AUD|GBP)\b"
        rf"|(?:\d|\b(?:{_NUMBER_WORDS})) (?:million|billion)|free of charge|per ?cent|%",
        re.I,
    ),
    "country": COUNTRY,
    "place": re.compile(
        r"\b(?:in|at|near|from|to|of|on|within|across|outside) (?:the )?(?:[A-Z]\w+|(?:north|south|east|west)\w*)"
        r"|\b(?:located|based|held|situated)\b"
    ),
    "name": re.compile(r"(?<=[\w,;] )(?:the )?[A-Z]\w+|^(?:The )?[A-Z]\w+ [A-Z]"),
    "reason": re.compile(
        r"\b(?:because|since|so that|so as|in order|to (?:\w+ly )?[a-z]{3,}|aims?|mission|purpose|goals?|therefore|"
        r"due to|reasons?)\b",
        re.IGNORECASE,
    ),
}


def asks_for(question: str) -> Kind | None:
    """Return what kind of thing a question asks for, or ``None`` if its words do not tell."""
    return next((kind for pattern, kind in _ASKS if pattern.search(question)), None)


def focus_of(question: str) -> frozenset[str]:
    """Return the terms of the first word after the question word that says what about: what an answer to "which
    companies ...?" or "who chairs ...?" is, or does. Empty where there is none.

    The question focus of Moldovan et al., "The Structure and Performance of an Open-Domain Question Answering System"
    (ACL 2000).
    """
    asked = _FOCUS.match(question)
    words = (frozenset(terms_of(word)) for word in (words_of(asked[1]) if asked else ()))
    return next((terms for terms in words if terms - ASKING_TERMS - _ANYBODY), frozenset())


def holds(sentence: str, kind: Kind) -> bool:
    """Whether a sentence holds a thing of this kind."""
    return bool(_HOLDS[kind].search(sentence))


def holds_besides(sentence: str, kind: Kind, asked: Set[str]) -> bool:
    """Whether a sentence holds a thing of this kind besides the question's own words, which can not be the answer.

    Of a country's name some words may be the question's: "New Zealand" answers which new countries there are.

    :param asked: the terms of the question.
    """
    if kind != "country":
        return holds(_without(sentence, asked), kind)
    names = (set(terms_of(name[0])) for name in COUNTRY.finditer(" ".join(sentence.split())))
    return any(not name or not name <= asked for name in names)  # "US" has no term: as a word it says nothing


def _without(sentence: str, terms: Set[str]) -> str:
    return " ".join(word for word in sentence.split() if not terms_of(word) or not set(terms_of(word)) <= terms)
