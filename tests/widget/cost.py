"""What the widget costs the page it stands on, the CPU slowed down four times: ``python -m tests.widget.cost``.

Before the panel is opened: CPU time of the page's main thread, from a trace, times four; time on the clock would tell
more of the machine's other work. A page with the widget and the same one without are visited by turns, each in a
context of its own whose process has shown a page before; what is printed is the median of the differences. After that,
on the clock: from the click to a painted panel with the focus in the question, to the question in the log, and from the
reply to the painted answer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Browser, Page, sync_playwright

from bot.settings import load_settings
from tests.widget.conftest import ARGUMENTS, CORPUS, served

VISITS, SLOWER = 15, 4

#: What is traced, and the events told apart; one may lie within another (the script asks for styles).
CATEGORIES = ["toplevel", "devtools.timeline", "v8", "disabled-by-default-v8.compile"]
ALL = "ThreadControllerImpl::RunTask"
PARTS = {
    ALL: "main thread",
    "EvaluateScript": "- script",
    "V8.CompileCode": "- compiling",
    "UpdateLayoutTree": "- style",
    "Layout": "- layout",
    "PrePaint": "- before painting",
    "Paint": "- painting",
}

PLAIN = "<!doctype html><html lang=en><title>A page</title><h1>A page</h1>" + "<p>Some text of the page.</p>" * 50

SEEN = """() => new Promise(done => {
    const seen = { shift: 0, largest: 0 };
    const watch = (type, note) => new PerformanceObserver(list => list.getEntries().forEach(note)).observe({ type, buffered: true });
    watch("layout-shift", one => { seen.shift += one.value; });
    watch("largest-contentful-paint", one => { seen.largest = one.startTime; });
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
    assert found[ALL], "this Chromium does not tell the time of threads"
    return found


def visit(browser: Browser, address: str, warm: str) -> tuple[Page, Mapping[str, float]]:
    """Load a page in a process that has shown one before; return its figures, times as on the slower CPU."""
    page = browser.new_page()
    page.goto(warm)
    page.wait_for_timeout(200)
    browser.start_tracing(page=page, categories=CATEGORIES)
    page.goto(address)
    page.wait_for_timeout(400)
    times = spent(browser.stop_tracing())
    seen = json.loads(page.evaluate(SEEN))
    figures = {f"{name} before opening, ms": SLOWER * times[event] for event, name in PARTS.items()}
    return page, {**figures, "largest paint, ms": seen["largest"], "layout shift before opening": seen["shift"]}


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
                pages = {}
                for one in (plain, own) if turn % 2 else (own, plain):
                    page, pages[one] = visit(browser, one.as_uri(), plain.as_uri())
                    if one == own:
                        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
                        opened = page.evaluate(CLICKED)
                        echoed, painted = page.evaluate(ASKED)
                    page.close()
                for name, value in {
                    **{name: value - pages[plain][name] for name, value in pages[own].items()},
                    "click to painted panel with focus, ms": opened,
                    "asked to question in the log, ms": echoed,
                    "reply to painted answer, ms": painted,
                }.items():
                    figures.setdefault(name, []).append(float(value))
            browser.close()
    for name, values in figures.items():
        low, _, high = quantiles(values)
        print(f"{name}: {median(values):.1f} (of {len(values)} visits, half of them {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
