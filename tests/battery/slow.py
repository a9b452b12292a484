"""``signpost`` whose every question takes a fixed time: it can answer as many on any machine."""

from __future__ import annotations

import time

from bot import cli, engine
from bot.engine import Bot
from bot.settings import Settings
from tests.conftest import Overheard

#: Seconds that a question takes at least.
SECONDS = 0.1


class Slow(Overheard):
    def overhear(self, question: str) -> None:
        time.sleep(SECONDS)


_open = engine.open_bot


def _open_slow(settings: Settings) -> Bot:
    opened = _open(settings)
    return Slow(opened.encoder, opened.snapshot, opened.calibration, opened.starters, opened.languages)


if __name__ == "__main__":
    engine.open_bot = _open_slow  # type: ignore[assignment]
    cli.main()
