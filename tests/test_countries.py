from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from bot.countries import COUNTRY

#: Regions of CLDR that nobody means by a country: unions, seas, parts, outlying islands, tests of software.
NO_COUNTRIES = set("AC AQ BV CC CP CQ CX DG EA EU EZ GS HM IC QO SJ TA UN XA XB ZZ".split())

NAMES_OF_REGIONS = """() => {
    const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
    const named = new Intl.DisplayNames(["en"], {type: "region", fallback: "none"});
    const codes = letters.flatMap(one => letters.map(other => one + other));
    return Object.fromEntries(codes.filter(code => named.of(code)).map(code => [code, named.of(code)]));
}"""


def test_every_country_that_the_browser_knows_is_recognised(browser: Browser) -> None:
    with browser.new_page() as page:
        regions: dict[str, str] = page.evaluate(NAMES_OF_REGIONS)
    assert len(regions) > 200
    for named in (regions, {code: name.upper() for code, name in regions.items()}):
        assert {code for code, name in named.items() if not COUNTRY.search(name)} == NO_COUNTRIES


@pytest.mark.parametrize(
    "sentence",
    [
        "Members are the UK and Fiji.",
        "It was founded in Côte d'Ivoire",
        "made by a Swiss company",
        "(United Kingdom)",
        "in the U.S. alone",
        "It began in Czechoslovakia.",
        "GERMANY",
        "Germans and Yemenis came.",
        "Northern Ireland and South Africa",
    ],
)
def test_a_country_is_recognised_however_it_is_written(sentence: str) -> None:
    assert COUNTRY.search(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "WeProtect Global Alliance supports governments in Europe and Asia.",
        "Tell us about it in May.",
        "A turkey and some fine china.",
        "Nigel, Austrial, USB and UKIP",  # they only begin like one
        "the United Nations",
        "in Latin America and New Mexico",
        "across the Indian Ocean to British Columbia",
    ],
)
def test_what_is_no_country_is_not_recognised(sentence: str) -> None:
    assert not COUNTRY.search(sentence)
