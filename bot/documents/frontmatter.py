"""What a file says of itself -> a checked source record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from bot.documents.canonical import line
from bot.errors import DocumentError
from bot.types import Source

#: Front matter is metadata; more than this is an attack or a mistake.
_MAX_CHARACTERS = 32_768
_MAX_BRACKETS = 200
_FENCE = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
#: Follows a key, or begins a list or mapping in brackets. Without either, what stands between is text: in Markdown a
#: line of dashes is a rule as well.
_KEY = re.compile(r":(?:\s|$)|^\s*[{\[]", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Leaves dates as they are written: of one that cannot be, PyYAML would refuse the whole."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def split_front_matter(raw: str) -> tuple[dict[str, object], str]:
    """Return the front matter as a mapping (empty when there is none) and the text after it.

    :raises DocumentError: if it is not a YAML mapping of plain values.
    """
    raw = raw.replace("\r\n", "\n").replace("\r", "\n")
    match = _FENCE.match(raw)
    if match is None or not _is_stated(match[1]):
        return {}, raw
    if len(match[1]) > _MAX_CHARACTERS:
        raise DocumentError(f"front matter has more than {_MAX_CHARACTERS:,} characters")
    if max(match[1].count("["), match[1].count("{")) > _MAX_BRACKETS:  # PyYAML takes quadratic time for nested ones
        raise DocumentError(f"front matter is not valid YAML: it has more than {_MAX_BRACKETS} opening brackets")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(match[1], Loader=_Loader)):
            raise DocumentError("front matter uses YAML aliases, which are not allowed")
        details = yaml.load(match[1], Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # PyYAML raises them all
        problem = getattr(error, "problem", None) or type(error).__name__
        raise DocumentError(f"front matter is not valid YAML: {line(problem)}") from error
    if details is None:
        details = {}
    if not isinstance(details, dict):
        raise DocumentError("front matter is not a list of `key: value` lines")
    return {str(key): value for key, value in details.items()}, raw[match.end() :]


def _is_stated(between: str) -> bool:
    """Whether what stands between two rules is front matter: it has a key, or no more than comments."""
    lines = (text.lstrip() for text in between.splitlines())
    return _KEY.search(between) is not None or not any(text and not text.startswith("#") for text in lines)


def is_web_address(url: str) -> bool:
    """Whether a link to this URL may be shown: http or https, a plain host, no user name, no blanks or controls."""
    if not url.isprintable() or any(character in url for character in " <>\"'\\^`{|}"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _web(value: str) -> str:
    if not is_web_address(value):
        raise ValueError("is not an http or https address")
    return value


Text = Annotated[str, BeforeValidator(lambda value: line(value) if isinstance(value, str) else value)]
ShortText = Annotated[Text, Field(min_length=1, max_length=300)]


def _written_out(value: object) -> object:
    """Refuse a bare number, which would be read as seconds since 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().lstrip("+-.").isdigit()):
        raise ValueError("is not a date like 2024-03-04")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]


class FrontMatter(BaseModel):
    """The keys that a document may state. Unknown keys are left alone: other tools have theirs."""

    title: ShortText | None = None
    publisher: ShortText | None = None
    url: Annotated[str, Field(max_length=2_000), AfterValidator(_web)] | None = None
    published: Day | None = None
    updated: Day | None = None
    retrieved: Day | None = None
    language: Annotated[str, Field(pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    verbatim: bool | None = None
    licence: ShortText | None = None
    questions: Annotated[tuple[ShortText, ...], Field(max_length=20)] = ()


_Model = TypeVar("_Model", bound=BaseModel)


def source_record(details: Mapping[str, object], fallback_title: str) -> tuple[Source, tuple[str, ...], list[str]]:
    """Return the source record, the questions that the document says it answers, and notes on what was left out.

    A value that is wrong costs that value alone and is noted; the document is still read.
    """
    details = {key: value for key, value in details.items() if value is not None}
    notes = []
    try:
        stated = FrontMatter.model_validate(details)
    except ValidationError as error:
        wrong = {str(fault["loc"][0]): fault["msg"] for fault in error.errors()}
        notes = [f"{key} left out: {message}" for key, message in wrong.items()]
        stated = FrontMatter.model_validate({key: value for key, value in details.items() if key not in wrong})
    source = Source(
        title=stated.title or fallback_title,
        publisher=stated.publisher,
        url=stated.url,
        published=stated.published,
        updated=stated.updated,
        retrieved=stated.retrieved,
        language=stated.language,
        verbatim=stated.verbatim,
        licence=stated.licence,
    )
    return source, stated.questions, notes
