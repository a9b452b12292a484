"""What the battery's cases share: chance that can be replayed, the long form, and figures that are kept."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path


def dice(case: str) -> random.Random:
    """Return chance of a case's own; its seed is printed, and ``BATTERY_SEED`` replays it.

    Another seed each time in the long form only, so that ``make test`` says the same of the same code.
    """
    seed = os.environ.get("BATTERY_SEED") or (str(random.SystemRandom().getrandbits(32)) if long() else "1")
    print(f"{case}: BATTERY_SEED={seed}")  # pytest shows it when the case fails
    return random.Random(f"{case}/{seed}")


def long() -> bool:
    """Whether the long forms run, as in ``make soak``."""
    return os.environ.get("SOAK") == "1"


def figure(case: str, name: str, value: float | str, passes: bool) -> None:
    """Keep a figure as a line of the file that ``BATTERY_FIGURES`` names, if it does, and assert that it passes.

    :param case: the case's id, such as ``A1``.
    :param name: what the figure says, and what passes.
    """
    figures(case, (name, value, passes))


def figures(case: str, *found: tuple[str, float | str, bool]) -> None:
    """Keep several figures, each with its name and whether it passes, before any is asserted."""
    if kept := os.environ.get("BATTERY_FIGURES"):
        with Path(kept).open("a", encoding="utf-8") as file:
            for name, value, passes in found:
                line = {"case": case, "name": name, "value": value, "passes": bool(passes), "long": long()}
                file.write(json.dumps(line) + "\n")
    failed = [f"{case}: {name}: {value}" for name, value, passes in found if not passes]
    assert not failed, "; ".join(failed)
