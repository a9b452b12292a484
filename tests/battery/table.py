"""Figures that the battery has kept -> a table: ``make soak`` writes it to ``RESULTS.md``."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.battery.supply import parts

#: Cases that have no figure here, and why.
_NOT_HERE = {
    "D1": "tests/widget/test_embedding.py, in every `make test`",
    "D2": "tests/widget/test_embedding.py, in every `make test`",
    "B10": "answers are not streamed",
    "D6": "questions are not logged, so that nothing is kept that would have to expire",
    "D7": "tests/widget/test_embedding.py, in every `make test`",
    "D11": "no help card yet: comes with the operators' contacts",
}


def order(case: str) -> tuple[str, int]:
    return case[0], int(case[1:])


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).replace("|", "/").split())


def main(kept: Path, page: Path) -> None:
    lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    worst: dict[tuple[str, str], dict[str, object]] = {}
    for line in lines:  # of a case that ran several times, the one that failed, else the last
        key = (line["case"], line["name"])
        if key not in worst or worst[key]["passes"]:
            worst[key] = line
    rows = [
        f"| {case} | {name} | {_shown(line['value'])} | {'long' if line['long'] else 'short'} | "
        f"{'passes' if line['passes'] else '**does not pass**'} |"
        for (case, name), line in sorted(worst.items(), key=lambda item: (order(item[0][0]), item[0][1]))
    ]
    rows += [f"| {case} | not here: {why} | | | |" for case, why in _NOT_HERE.items() if not _has(worst, case)]
    text = "\n".join(
        [
            "# What the service withstands",
            "",
            f"Made by `make soak` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}. "
            "Each case is a test of the same name in this folder; its seed is printed when it fails.",
            "",
            "| case | figure, and what passes | value | form | |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## What it is made of",
            "",
            "All that an installation needs, as it was here; for D10. Looking them up among the known faults of others",
            "takes a network and is not done here: `pip-audit` does it.",
            "",
            "| part | version | licence |",
            "|---|---|---|",
            *(f"| {one.name} | {one.version} | {one.licence} |" for one in parts().values()),
            "",
        ]
    )
    page.write_text(text, encoding="utf-8")
    print(text)


def _has(worst: dict[tuple[str, str], dict[str, object]], case: str) -> bool:
    return any(found == case for found, _ in worst)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
