"""Makes the README's pictures from the running service: ``make screenshots``."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

HERE = Path(__file__).parent
PICTURES = HERE.parent / ".readme"
README = HERE.parent / "README.md"
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = (980, 720), (390, 760)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(page: Page, question: str) -> Locator:
    """Ask in the widget and return the answer."""
    page.get_by_role("textbox", name="Your question").fill(question)
    page.keyboard.press("Enter")
    answer = page.locator("[part=log] li").last
    answer.locator("article").first.wait_for()
    return answer


def picture(browser: Browser, name: str, address: str, size: tuple[int, int], theme: str) -> None:
    """Keep a picture of a short conversation."""
    dark = theme == "dark"
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=1.5,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page.goto(address)
    if address.startswith("file:"):
        page.get_by_role("button", name="Ask a question").click()
    ask(page, "How many hotlines does INHOPE have?")
    if size == DESKTOP:
        ask(page, "and in how many countries?")
    page.screenshot(path=PICTURES / f"{name}-{theme}.png")
    page.close()


def main() -> None:
    """Serve the shipped corpus; look at the README's example page and at the chat page in Chromium."""
    port = free_port()
    example = re.search(r"```html\n(<!doctype.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    work = tempfile.TemporaryDirectory()
    settings = {"SIGNPOST_ORIGINS": '["null"]', "SIGNPOST_INDEX": work.name}
    server = subprocess.Popen(
        [sys.executable, "-m", "bot", "serve", "--port", str(port)], cwd=HERE.parent, env=os.environ | settings
    )
    service = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{service}/health/ready")
                break
            except OSError:
                continue
        PICTURES.mkdir(exist_ok=True)
        with sync_playwright() as playwright:
            page = Path(work.name) / "try.html"
            page.write_text(example[1].replace("http://127.0.0.1:8000", service), encoding="utf-8")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
            picture(browser, "desktop", page.as_uri(), DESKTOP, "light")
            picture(browser, "desktop", service, DESKTOP, "dark")
            picture(browser, "phone", page.as_uri(), PHONE, "light")
            picture(browser, "phone", page.as_uri(), PHONE, "dark")
            browser.close()
    finally:
        server.terminate()
        server.wait()
        work.cleanup()


if __name__ == "__main__":
    main()
