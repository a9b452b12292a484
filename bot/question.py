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
    "contact", "sum", "frequency", "duration", "measure", "number", "date", "time", "country", "place", "name",
    "reason", "definition",
]  # fmt: skip

#: Kinds whose presence in a sentence is plain to tell.
PLAIN_KINDS: frozenset[Kind] = frozenset(
    {"contact", "sum", "frequency", "duration", "measure", "number", "date", "country"}
)

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
    "detail details describe explain list tell main primary key overall "
    "old long per happen happens happened belong belongs contact".split()
)

#: The same, as the index knows them.
ASKING_TERMS = frozenset(
    [
        *terms_of(" ".join(sorted(ASKING_WORDS))),
        *"cant cannot isn isnt arent wasn wasnt dont doesn doesnt didn didnt hasn".split(),
    ]
)

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
            r"|\b(?=[pftew](?:hone|ele|ax|-?mail|eb))"  # what rules most out comes first
            r"(?<!\bmy )(?<!\bown )(?<!\bthe )(?<!\bby )(?<!\bvia )(?<!\bper )(?<!\bon )(?<!\bor )(?<!\bpersonal )"
            r"(?:phone|telephone|fax|e-?mail|web ?site)\W*$",  # one that is asked for, not one that plays a part
            re.I,
        ),
        "contact",
    ),
    (
        re.compile(
            r"\bhow much (?:\w+ ){0,3}?(?:money|funding|costs?|paid|pay|budget|receive|spend|spent|give|given)\b"
            r"|\b(?:what|which)(?:['’]s)? (?:[\w’'-]+ ){0,5}?(?:budget|price|fee|costs?|salary|funding|revenue|fine)\b"
            r"|\bhow much (?:is|are|does|do|for)\b|\bis (?:\w+ ){1,3}free\b|\b(?:price|costs?|fees?) (?:of|for)\b",
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
    (re.compile(r"\bhow (?:long(?! ago)|old|soon|quick(?:ly)?)\b", re.I), "duration"),
    (
        re.compile(
            r"\bhow (?:far|fast|warm|hot|cold|tall|high|deep|wide|broad|thick|heavy)\b"
            r"|\b(?:(?:what|which)(?:['’]?s| is| are)?(?: the)?|min(?:imum)?|max(?:imum)?) (?:\w+ )?"
            r"(?:temperature|height|length|width|depth|distance|speed|weight)\b",
            re.I,
        ),
        "measure",
    ),
    (
        re.compile(
            r"\bhow (?:many|much|early|late|big|large|small)\b|\b(?:number|total|count|percentage|proportion) of\b"
            r"|\b(?:what|which|what['’]?s the) (?:\w+ )?(?:age|size|limit)\b"
            r"|\b(?:min(?:imum)?|max(?:imum)?|daily|upper|lower) (?:\w+ )?(?:age|size|limit|number|amount)\b",
            re.I,
        ),
        "number",
    ),
    (
        re.compile(
            r"\bwhen (?:was|were|did|has|have|had)\b|^\W*when (?:[\w’'-]+ ){1,6}?(?:was|were)\b"
            r"|\b(?:what|which) (?:\w+ )?(?:year|month|date)\b"
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
    (
        re.compile(
            r"^\W*(?:(?:and|so|but|or) )?(?:what(?:['’]?s| (?:is|are|was|were)|(?= (?:does|do) .*\bmean\W*$))"
            r"|define|describe|explain|(?:tell (?:me|us) )?(?:more )?about) ",
            re.I,
        ),
        "definition",
    ),
)

#: What a question begins and ends with that asks nothing: greetings, and asking to be told.
_POLITE = re.compile(
    r"^\W*(?:(?:"
    r"hello|hi|hey|greetings|dear (?:all|team|sir|madam)|good (?:morning|afternoon|evening|day)|excuse me|sorry|please|"
    r"pls|plz|thanks|thank you|thx|(?:just )?(?:a |one )?quick question|(?:i have )?a question|"
    r"(?:can|could|would|will) (?:you|someone|anyone|somebody|anybody)(?: please| kindly)?(?: tell| explain| say)"
    r"(?: to)?(?: me| us)?|(?:please )?(?:tell|let) (?:me|us)(?: know)?|(?:do|does) (?:you|anyone|anybody) know|"
    r"i(?: just)?(?: want| need| wanted|['’]d like| would like) to (?:know|find out|ask|understand)|"
    r"i(?: was|['’]m| am)? wonder(?:ing)?"
    r")(?! (?:more )?about\b)\b\W*)+(?:(?:that|if|whether)\b\W*)?",
    re.I,
)
_POLITE_END = re.compile(r"[\s,]*\b(?:please|pls|plz|thanks|thank you|thx)\b[\s.!]*$", re.I)

#: Where a question is cut: at the end of a sentence, and at what may stand for it.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s+[-–—]+\s+|(?<=[:;])\s+")
_ASKING = r"(?:who(?:m|se)?|what|which|when|where|why|how)\b"
_ASKS_SOMETHING = re.compile(
    rf"^\W*(?:(?:and|or|but|so|in|of|for|from|at|on|to|with|by)\s+)*(?:{_ASKING}"
    r"|(?:is|are|was|were|do|does|did|has|have|can|could|may|must|should|will|would)(?:n['’]?t)?\b)",
    re.I,
)
_WHETHER = re.compile(
    r"^\W*(?:(?:and|or|but|so)\s+)*"
    r"(?:is|are|was|were|do|does|did|has|have|can|could|may|must|should|will|would)(?:n['’]?t)?\b",
    re.I,
)
_AFTER_COMMA = re.compile(rf",\s+(?={_ASKING})", re.I)


def without_politeness(question: str) -> str:
    """Return a question without greetings and words that ask to be told; as it is if nothing else would be left."""
    parts = _SENTENCE_END.split(question)
    bare = [_POLITE_END.sub("", _POLITE.sub("", part)) for part in parts]
    if bare == parts:
        return question
    return " ".join(part for part in bare if any(map(str.isalnum, part))) or question


def core_of(question: str) -> str:
    """Return the last part of a question that asks something, without what is told before it: "In the club, who ...?"
    and "I read about the club. Who ...?" ask who. The whole if no part asks."""
    asking = [
        part for part in _SENTENCE_END.split(question) if _ASKS_SOMETHING.search(part) or _AFTER_COMMA.search(part)
    ]
    return _AFTER_COMMA.split(asking[-1])[-1] if asking else question


_HOLDS: dict[Kind, re.Pattern[str]] = {
    "duration": re.compile(
        rf"(?:\d|\b(?:an?|one|half|few|several|{_NUMBER_WORDS}))[ -](?:\w+ )?"
        r"(?:seconds?|minutes?|hours?|days?|weeks?|fortnights?|months?|years?|decades?|m|met(?:re|er)s?|km|miles?|feet|foot)\b",
        re.I,
    ),
    "number": re.compile(  # not a telephone's
        rf"(?<![\d+])(?<!\d[ )/-])(?<!\d\) )(?!0\d)\d|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE
    ),
    "measure": re.compile(
        rf"(?:\d|\b(?:half an?|{_NUMBER_WORDS}))[ -]?(?:\w+ )?"
        r"(?:[cmk]?m|(?:kilo|centi|milli)?(?:met(?:re|er)|lit(?:re|er)|gram(?:me)?)s?|feet|foot|ft|inch(?:es)?|yards?|miles?"
        r"|mph|knots?|fathoms?|storeys?|k?g|kilos?|ton(?:ne)?s?|degrees?)\b|°",
        re.I,
    ),
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
        r"\b(?:(?<!at )once|twice|\w+ times|every|each|per)\b"
        r"|\b(?:dai|week|month|quarter|year|annual|biannual|bi-?annual)ly\b|\bannual\b|\ba (?:year|month|week|day)\b",
        re.IGNORECASE,
    ),
    "contact": re.compile(r"[\w.+-]+@[\w-]+\.\w|(?:\+|\b0|\b1[38]00)[\d ()/-]{5,}\d|\bwww\.|https?://|\b\d{5}\b"),
    "sum": re.compile(
        rf"[$€£¥]|\b(?:dollars?|euros?|pounds?|cents?|USD|EUR|AUD|GBP)\b"
        rf"|(?:\d|\b(?:{_NUMBER_WORDS})) (?:million|billion)|\bfree\b|\bpence\b|\d ?p\b|per ?cent|%",
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
    "definition": re.compile(
        r"\b(?:is|are|was|were) (?:(?:also|still|now) )?"
        r"(?:an?|the|one|any|both|part|what|when|where|how|\d+|[A-Z]\w+)\b"
        r"|\b(?:means?|refers? to|stands? for|consists? of)\b"
    ),
}

#: Words that a subject has at most; what is longer tells more than what something is.
_LONGEST_SUBJECT = 20


def asks_for(question: str) -> Kind | None:
    """Return what kind of thing a question asks for, or ``None`` if its words do not tell."""
    core = core_of(question)
    return next((kind for pattern, kind in _ASKS if pattern.search(core)), None)


def focus_of(question: str) -> frozenset[str]:
    """Return the terms of the first word after the question word that says what about: what an answer to "which
    companies ...?" or "who chairs ...?" is, or does. Empty where there is none.

    The question focus of Moldovan et al., "The Structure and Performance of an Open-Domain Question Answering System"
    (ACL 2000).
    """
    asked = _FOCUS.match(core_of(question))
    words = (frozenset(terms_of(word)) for word in (words_of(asked[1]) if asked else ()))
    return next((terms for terms in words if terms - ASKING_TERMS - _ANYBODY), frozenset())


def asks_whether(question: str) -> bool:
    """Whether a question is answered by yes or no."""
    return _WHETHER.match(core_of(question)) is not None


def is_question(sentence: str) -> bool:
    """Whether a sentence of a document asks, so that what answers comes after it."""
    return sentence.rstrip("*_\"'”’)]} ").endswith(("?", "？", "؟"))


def holds(sentence: str, kind: Kind) -> bool:
    """Whether a sentence holds a thing of this kind."""
    return bool(_HOLDS[kind].search(sentence))


def holds_besides(sentence: str, kind: Kind, asked: Set[str]) -> bool:
    """Whether a sentence holds a thing of this kind besides the question's own words, which can not be the answer.

    Of a country's name some words may be the question's: "New Zealand" answers which new countries there are.

    :param asked: the terms of the question.
    """
    if kind == "definition":
        return _defines(sentence, asked)
    if kind != "country":
        return holds(_without(sentence, asked), kind)
    names = (set(terms_of(name[0])) for name in COUNTRY.finditer(" ".join(sentence.split())))
    return any(not name or not name <= asked for name in names)  # "US" has no term: as a word it says nothing


def _defines(sentence: str, asked: Set[str]) -> bool:
    """Whether a sentence says of the very thing that is asked about what it is."""
    said = _HOLDS["definition"].search(sentence)
    subject = sentence[: said.start()] if said else ""
    return len(subject.split()) <= _LONGEST_SUBJECT and set() < asked - ASKING_TERMS <= set(terms_of(subject))


def _without(sentence: str, terms: Set[str]) -> str:
    return " ".join(word for word in sentence.split() if not terms_of(word) or not set(terms_of(word)) <= terms)
