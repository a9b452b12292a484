"""``signpost`` whose every question takes a fixed time: it can answer as many on any machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bot import cli, engine
from bot.engine import Bot
from bot.settings import Settings
from bot.types import Answer, Filters, Turn

#: Seconds that a question takes at least.
SECONDS = 0.1


class Slow(Bot):
    def ask(
        self,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        top_k: int = 5,
        filters: Filters | None = None,
        explain: bool = False,
    ) -> Answer:
        time.sleep(SECONDS)
        return Bot.ask(self, question, turns=turns, top_k=top_k, filters=filters, explain=explain)


_open = engine.open_bot


def _open_slow(settings: Settings) -> Bot:
    opened = _open(settings)
    return Slow(opened.encoder, opened.snapshot, opened.calibration, opened.starters, opened.languages)


if __name__ == "__main__":
    engine.open_bot = _open_slow  # type: ignore[assignment]
    cli.main()
