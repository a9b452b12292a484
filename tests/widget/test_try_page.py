"""The page that the README gives to be opened with a double click."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bot.settings import load_settings
from tests.conftest import REPOSITORY
from tests.widget.conftest import CORPUS, served

pytestmark = pytest.mark.browser


def test_the_page_in_the_readme_works_when_it_is_opened_as_a_file(browser: Browser, tmp_path: Path) -> None:
    example = re.search(
        r"```html\n(<!doctype.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert example is not None
    settings = load_settings(corpus=CORPUS, index=tmp_path / "index", origins=("null",))
    with served(settings) as service:
        page = tmp_path / "try.html"
        page.write_text(example[1].replace("http://127.0.0.1:8000", service), encoding="utf-8")
        visit = browser.new_page()
        faults: list[str] = []
        visit.on("pageerror", lambda error: faults.append(str(error)))
        visit.on("requestfailed", lambda request: faults.append(request.url))
        visit.goto(page.as_uri())
        visit.get_by_role("link", name="ask a question").click()
        visit.get_by_role("textbox", name="Your question").fill("How many hotlines does INHOPE have?")
        visit.keyboard.press("Enter")
        expect(visit.locator("[part=quote]")).to_have_text("INHOPE consists of 54 hotlines in 50 countries.")
        visit.close()
        assert faults == []
