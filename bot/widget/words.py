"""What the pages and the widget say, one table for each language.

The script repeats the English one, for when nothing can be fetched. Notes and the details of errors come from the
service, in English, and are marked so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

#: Languages that come with the package; the first is taken when none of them is asked for.
LANGUAGES = ("en", "ar", "de", "es", "fr")


@cache
def words(language: str) -> Mapping[str, str]:
    """Return the table of a language, one of ``LANGUAGES``; ``lang`` and ``dir`` are for the page's own attributes."""
    text = files("bot.widget").joinpath("strings", f"{language}.json").read_text(encoding="utf-8")
    table: dict[str, str] = json.loads(text)
    return table


def chosen_language(accepted: str) -> str:
    """Return the language of ours that an Accept-Language header (RFC 9110) wants most.

    :param accepted: hostile like any header; what cannot be read is passed over.
    """
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:50]:
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().casefold().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        language = tag.strip().casefold().split("-")[0]
        if language in LANGUAGES and 0 < weight <= 1:
            wanted.append((weight, language))
    return max(wanted, key=lambda pair: pair[0], default=(0.0, LANGUAGES[0]))[1]
