"""What the widget costs the page it stands on, the CPU slowed down four times: ``python -m tests.widget.cost``.

Before the panel is opened: CPU time of the page's main thread, from a trace, times four; time on the clock would tell
more of the machine's other work. A page with the widget and the same one without are visited by turns, each in a
context of its own whose process has shown a page before; what is printed is the median of the differences. The page is
written in the system's font, as the widget is; in any other page the widget's font costs some 7 ms more. What the time
is made of is measured in visits of its own, since tracing it in detail takes time too. After that, on the clock: from
the click to a painted panel with the focus in the question, to the question in the log, and from the reply to the
painted answer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Browser, Page, sync_playwright

from bot.settings import load_settings
from tests.conftest import ARGUMENTS
from tests.widget.conftest import CORPUS, served

VISITS, SLOWER = 15, 4

#: The tasks of a thread; and what they do, of which one thing may lie within another (the script asks for styles).
TASKS = {"ThreadControllerImpl::RunTask": "main thread before opening, ms"}
DETAILS = {
    "EvaluateScript": "- script, ms",
    "V8.CompileCode": "- compiling, ms",
    "UpdateLayoutTree": "- style, ms",
    "Layout": "- layout, ms",
    "Paint": "- painting, ms",
}
CATEGORIES = {"toplevel": TASKS, "devtools.timeline,v8,disabled-by-default-v8.compile": DETAILS}

PLAIN = """<!doctype html><html lang=en><title>A page</title><style>body { font-family: system-ui, sans-serif }</style>
<h1>A page</h1>""" + "<p>Some text of the page.</p>" * 50  # fmt: skip

SEEN = """() => new Promise(done => {
    const seen = { "largest paint, ms": 0, "layout shift before opening": 0 };
    const watch = (type, note) => new PerformanceObserver(list => list.getEntries().forEach(note)).observe({ type, buffered: true });
    watch("layout-shift", one => { seen["layout shift before opening"] += one.value; });
    watch("largest-contentful-paint", one => { seen["largest paint, ms"] = one.startTime; });
    setTimeout(() => done(JSON.stringify(seen)), 100);
})"""  # noqa: E501

CLICKED = """async () => {
    const widget = document.querySelector("signpost-chat");
    const started = performance.now();
    widget.shadowRoot.querySelector("button").click();
    while (widget.shadowRoot.activeElement?.tagName !== "TEXTAREA") await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now() - started;
}"""

ASKED = """async () => {
    const root = document.querySelector("signpost-chat").shadowRoot;
    root.querySelector("textarea").value = "How many hotlines does INHOPE have?";
    const started = performance.now();
    root.querySelector("form").requestSubmit();
    const echoed = root.querySelector("li") ? performance.now() - started : Infinity;
    while (!root.querySelector("article")) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    const [reply] = performance.getEntriesByType("resource").filter(one => one.name.endsWith("/v1/ask"));
    return [echoed, performance.now() - reply.responseEnd];
}"""


def spent(trace: bytes) -> Counter[str]:
    """Return the milliseconds of CPU that the page's main thread spent, by the kind of event."""
    events = json.loads(trace)["traceEvents"]
    named = [one for one in events if one.get("name") == "thread_name" and one["args"]["name"] == "CrRendererMain"]
    threads = {(one["pid"], one["tid"]) for one in named}
    found: Counter[str] = Counter()
    for one in events:
        if one.get("ph") == "X" and (one["pid"], one["tid"]) in threads:
            found[one["name"]] += one.get("tdur", 0) / 1_000
    assert found, "this Chromium does not tell the time of threads"
    return found


def visit(browser: Browser, address: str, warm: str, category: str) -> tuple[Page, dict[str, float]]:
    """Load a page in a process that has shown one before; return its figures, times as on the slower CPU."""
    page = browser.new_page()
    page.goto(warm)
    page.wait_for_timeout(200)
    browser.start_tracing(page=page, categories=category.split(","))
    page.goto(address)
    page.wait_for_timeout(400)
    times = spent(browser.stop_tracing())
    seen: dict[str, float] = json.loads(page.evaluate(SEEN))
    return page, {name: SLOWER * times[event] for event, name in CATEGORIES[category].items()} | seen


def used(page: Page) -> dict[str, float]:
    """Open the widget and ask, the CPU slowed down."""
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    opened = page.evaluate(CLICKED)
    echoed, painted = page.evaluate(ASKED)
    return {
        "click to painted panel with focus, ms": opened,
        "asked to question in the log, ms": echoed,
        "reply to painted answer, ms": painted,
    }


def main() -> None:
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        settings = load_settings(corpus=CORPUS, index=Path(work) / "index", origins=("null",))
        plain, own = Path(work) / "plain.html", Path(work) / "own.html"
        with served(settings) as service:
            plain.write_text(PLAIN, encoding="utf-8")
            own.write_text(f'{PLAIN}<script src="{service}/widget/signpost-chat.js" defer></script>', encoding="utf-8")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            for turn in range(VISITS):
                found: dict[str, float] = {}
                for category in CATEGORIES:
                    pages = {}
                    for one in (plain, own) if turn % 2 else (own, plain):
                        page, pages[one] = visit(browser, one.as_uri(), plain.as_uri(), category)
                        if one == own and category == "toplevel":
                            found |= used(page)
                        page.close()
                    found |= {name: value - pages[plain][name] for name, value in pages[own].items()}
                for name, value in found.items():
                    figures.setdefault(name, []).append(value)
            browser.close()
    for name, values in figures.items():
        low, _, high = quantiles(values)
        print(f"{name}: {median(values):.1f} (of {len(values)} visits, half of them {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
