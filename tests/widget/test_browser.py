"""The pages in a real browser with JavaScript switched off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from bot.settings import load_settings
from tests.conftest import FILES, write_files
from tests.widget.conftest import served

pytestmark = pytest.mark.browser

QUESTION = "How fast may a boat go in the harbour?"
ANSWER = "Boats may go at most 5 knots inside the harbour."
#: Words that do not fit on a narrow page, and a name that every part of an address treats in its own way.
WIDE = (
    f"---\ntitle: {'Donau' * 40}\npublisher: {'Dampf' * 40}\n---\n\n# {'Schiff' * 40}\n\nThe {'fahrt' * 40} is long.\n"
)
ODD = "50%25 off #1?/Ünï cødé & more.txt"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server, on a free port of the loopback interface."""
    home = tmp_path_factory.mktemp("browser")
    filler = "\n## The sea\n" + "\nThe sea is wide.\n" * 60 + "\n## In the harbour\n"
    harbour = FILES["harbour.md"].replace("# Harbour rules\n", f"# Harbour rules\n{filler}", 1)
    files = {**FILES, "harbour.md": harbour, "wide.md": WIDE, ODD: "The red dinghy is blue below the water."}
    settings = load_settings(corpus=write_files(home / "corpus", files), index=home / "index")
    with served(settings) as address:
        yield address


@pytest.fixture
def context(browser: Browser, origin: str) -> Iterator[BrowserContext]:
    """A visitor without JavaScript. Whatever the visit was, it asks nothing of other servers and leaves no cookie."""
    visitor = browser.new_context(java_script_enabled=False, base_url=origin)
    requested: list[str] = []
    visitor.on("request", lambda request: requested.append(request.url))
    yield visitor
    cookies = visitor.cookies()
    visitor.close()
    assert requested
    assert [url for url in requested if not url.startswith((f"{origin}/", "data:,"))] == []
    assert cookies == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def ask(page: Page, question: str) -> None:
    page.goto("/")
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def assert_in_view(page: Page, locator: Locator) -> None:
    box, view = locator.bounding_box(), page.viewport_size
    assert box is not None
    assert view is not None
    assert box["width"] > 0
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= view["height"]


def test_a_person_asks_reads_the_marked_sentence_and_follows_it_into_the_document(page: Page) -> None:
    ask(page, QUESTION)
    expect(page.get_by_role("heading", level=1)).to_have_text("Answer")
    assert page.title() == "Answer – Signpost"
    expect(page.locator("mark").first).to_have_text(ANSWER)

    page.get_by_role("link", name="Read it in the document").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour rules")
    mark = page.locator("mark", has_text=ANSWER)
    expect(mark).to_have_count(1)
    assert page.url.endswith(f"#{page.locator('mark').first.get_attribute('id')}")
    assert_in_view(page, page.locator("mark").first)
    page.get_by_role("link", name="Ask a question").click()
    expect(page.get_by_label("Your question")).to_be_visible()


def test_an_answer_far_down_is_in_view(page: Page) -> None:
    ask(page, "How many moorings are there for visitors?")
    expect(page.locator("mark").first).to_have_text("There are 42 moorings for visitors.")
    page.get_by_role("link", name="Read it in the document").first.click()
    mark = page.locator("mark").first
    assert "42 moorings" in mark.inner_text()
    assert_in_view(page, mark)
    assert page.evaluate("scrollY") > 0


def test_a_file_of_any_name_can_be_opened(page: Page) -> None:
    ask(page, "Is the red dinghy blue below the water?")
    page.get_by_role("link", name="Read it in the document").first.click()
    expect(page.locator("mark")).to_have_text("The red dinghy is blue below the water.")
    assert_in_view(page, page.locator("mark"))


def test_a_starter_question_is_one_click(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name=QUESTION).click()
    expect(page.locator("mark").first).to_have_text(ANSWER)


def test_a_keyboard_is_enough(page: Page) -> None:
    page.goto("/")
    focused = page.locator(":focus")
    for _ in range(2):  # the name of the service, then the field
        page.keyboard.press("Tab")
    expect(focused).to_have_id("question")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Ask")
    page.keyboard.press("Enter")
    expect(page.locator("mark").first).to_have_text(ANSWER)
    for _ in range(10):
        page.keyboard.press("Tab")
        if "Read it in the document" in focused.inner_text():
            break
    page.keyboard.press("Enter")
    expect(page.locator("mark", has_text=ANSWER)).to_have_count(1)
    assert_in_view(page, page.locator("mark").first)


def test_a_refused_question_can_be_mended(page: Page) -> None:
    ask(page, "?!")
    expect(page.get_by_role("alert")).to_contain_text("at least one letter or number")
    field = page.get_by_label("Your question")
    expect(field).to_have_value("?!")
    field.fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("mark").first).to_have_text(ANSWER)


def test_the_widget_s_place_is_taken_by_the_form(page: Page) -> None:
    """The element of the widget stays without a script what it holds: a form that anybody can use."""
    page.goto("/")
    inside = page.locator("signpost-chat")
    expect(inside.get_by_label("Your question")).to_be_visible()
    expect(inside.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    expect(inside.get_by_role("button", name=QUESTION)).to_be_visible()


def test_the_citations_of_an_answer_are_read_one_after_the_other(page: Page) -> None:
    ask(page, "Who gives out the moorings for boats in the harbour?")
    page.locator("summary").click()
    links = page.locator("article.card .links a[href^='/documents/harbour.md']")
    links.first.click()
    while page.get_by_role("link", name="Previous citation").count():
        page.get_by_role("link", name="Previous citation").click()
    seen = [page.locator("mark").first.get_attribute("id")]
    while page.get_by_role("link", name="Next citation").count():
        page.get_by_role("link", name="Next citation").click()
        assert_in_view(page, page.locator("mark").first)
        seen.append(page.locator("mark").first.get_attribute("id"))
    assert len(seen) > 1
    assert seen == sorted(set(seen), key=lambda place: int((place or "p0-0")[1:].split("-")[0]))


def test_the_browser_has_nothing_to_complain_about(page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    ask(page, QUESTION)
    page.get_by_role("link", name="Read it in the document").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour rules")
    assert complaints == []


def test_a_page_that_is_not_there_leads_back(page: Page) -> None:
    reply = page.goto("/documents/nowhere.md")
    assert reply is not None
    assert reply.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")


@pytest.mark.parametrize("address", ["/", "/documents/wide.md", "/documents/harbour.md", "/nowhere"])
def test_a_narrow_page_never_scrolls_sideways(page: Page, address: str) -> None:
    page.set_viewport_size(ViewportSize(width=320, height=640))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize(
    "question", [QUESTION, f"How long is the {'fahrt' * 40}?", "Zorbing in Patagonia?" + "y" * 900]
)
def test_a_narrow_answer_never_scrolls_sideways(page: Page, question: str) -> None:
    page.set_viewport_size(ViewportSize(width=320, height=640))
    ask(page, question)
    page.locator("summary").click()
    assert page.locator("article").count() > 1
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    for target in ("Ask", "Read it in the document"):
        box = page.get_by_text(target).last.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320


def test_a_follow_up_is_read_with_what_was_asked_before_and_can_be_asked_on_its_own(page: Page) -> None:
    ask(page, "How many moorings are there for visitors?")
    page.get_by_label("Ask another question").fill("who gives them out?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("Read together with what you asked before: moorings, visitors.")).to_be_visible()
    expect(page.locator("mark").first).to_have_text("The harbour master, Ida Brandt, gives them out each morning.")
    page.get_by_role("button", name="Ask it on its own").click()
    expect(page.locator(".asked").first).to_have_text("You asked: who gives them out?")
    expect(page.get_by_text("Read together with")).to_have_count(0)
    page.get_by_role("link", name="Start over").click()
    expect(page.locator("input[name=turns]")).to_have_count(0)
