"""Where the milliseconds of one question go: ``make profile`` writes it to ``PROFILE.md``.

The shipped corpus, or any index that the settings name; every starter question of its documents, many times, on one
thread. The share of a step is what it takes with all that it calls, as the profiler counts it; the profiler itself
slows Python more than what runs outside of it, so Python's share is too high rather than too low.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path
from statistics import median

from bot.api.schemas import AnswerOut
from bot.engine import open_bot
from bot.settings import load_settings

_ROUNDS = 20

#: Steps in the order of a question's life: what they are called, file and function.
_STEPS = (
    ("read the question: spelling, short forms, terms", "conversation.py", "in_context"),
    ("encode it", "encoder.py", "encode_question"),
    ("nearest passages (FAISS)", "vectors.py", "nearest"),
    ("passages with its words (tantivy)", "lexical.py", "search"),
    ("choose those worth reading", "search.py", "_promising"),
    ("score them and what stands around", "search.py", "_score"),
    ("leave out what says the same", "search.py", "_distinct"),
    ("mark the sentences that answer", "marking.py", "mark"),
    ("confidence", "confidence.py", "judge"),
    ("citations", "answer.py", "_cite"),
    ("make JSON", "schemas.py", "of"),
    ("", "main.py", "model_dump_json"),
)


def main() -> None:
    bot = open_bot(load_settings())
    questions = [question for record in bot.snapshot.documents.records for question in record.questions]

    def answer(question: str) -> str:
        return AnswerOut.of(bot.ask(question), took_ms=0).model_dump_json()

    for question in questions:
        answer(question)
    times, encoding = [], []
    for _ in range(_ROUNDS):
        for question in questions:
            began = time.perf_counter()
            answer(question)
            times.append(time.perf_counter() - began)
            began = time.perf_counter()
            bot.encoder.encode_question(question)
            encoding.append(time.perf_counter() - began)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(_ROUNDS):
        for question in questions:
            answer(question)
    profile.disable()
    page = _page(pstats.Stats(profile), len(bot.snapshot.passages), median(times) * 1e3, median(encoding) * 1e3)
    Path("tests/benchmarks/PROFILE.md").write_text(page, encoding="utf-8")
    print(page)


def _page(stats: pstats.Stats, passages: int, whole: float, encoding: float) -> str:
    spent: dict[tuple[str, str], float] = {}
    for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items():  # type: ignore[attr-defined]
        key = (Path(file).name, name)
        spent[key] = max(spent.get(key, 0.0), cumulative)
    total: float = stats.total_tt  # type: ignore[attr-defined]
    shares: dict[str, float] = {}
    named = ""
    for what, file, name in _STEPS:
        named = what or named
        shares[named] = shares.get(named, 0.0) + spent.get((file, name), 0.0) / total
    rows = [f"| {what} | {share:.0%} | {share * whole:.2f} |" for what, share in shares.items()]
    rest = 1 - sum(shares.values())
    return "\n".join(
        [
            "# Where the milliseconds of a question go",
            "",
            f"Made by `make profile` on {passages} passages, one thread: median {whole:.2f} ms from question to JSON, "
            f"{encoding:.2f} ms to encode it alone (timed without the profiler).",
            "",
            "| step | share under the profiler | ms of the median |",
            "|---|---:|---:|",
            *rows,
            f"| all else | {rest:.0%} | {rest * whole:.2f} |",
            "",
        ]
    )


if __name__ == "__main__":
    main()
