"""Signpost beside others: the same documents, questions and model, on the same machine, in one run, alternating.

``python -m tests.benchmarks.compare`` prints the figures and writes them to ``RESULTS.md``. Beside Signpost it needs
``wrk`` (``apt-get install wrk``) and, the first time, PyPI: every rival is installed into an environment of its own.

Everybody searches dense and with BM25, for ten of the same passages, over HTTP; documents are ranked by their best
passage. One server is asked at a time, and only when all of them are idle.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

from bot.evaluate import RankingSet
from tests.benchmarks.contestants import CONTESTANTS, Contestant, Task, make_task
from tests.benchmarks.data import SETTINGS, first_documents, load_set, our_encoder, score
from tests.benchmarks.encoders import embedding, floor
from tests.benchmarks.load import press, write_script
from tests.benchmarks.processes import Server, settle
from tests.benchmarks.report import CLIENTS, Figures, Results, write

#: Most passages of which building an index is timed; and how often that, and a start, is timed.
_TIMED, _REPEATS = 500, 3

#: Seconds of load before anything counts.
_WARM_UP = 3

_ALL = (*(who.name for who in CONTESTANTS), "floor", "embedding")


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def time_builds(results: Results, task: Task, work: Path, repeats: int) -> None:
    for number in range(repeats):
        for who, found in results.contestants.items():
            found.indexed.append(who.build(task, work / f"{who.name}-{number}"))
            tell(f"{who.label}: {found.indexed[-1]:.1f} passages indexed per second")


def time_starts(
    results: Results, indexes: Mapping[Contestant, Path], question: str, repeats: int, workers: int
) -> None:
    for number in range(repeats + 1):
        for who, found in results.contestants.items():
            with who.serving(indexes[who], question, workers) as server:
                if number:  # the first one only brings the files into memory
                    found.starts.append(server.seconds)
                    tell(f"{who.label}: first answer after {server.seconds:.2f} s")


def judge(who: Contestant, found: Figures, server: Server, ranking: RankingSet) -> None:
    ranked: dict[str, list[str]] = {}
    for name, question in ranking.queries.items():
        try:
            ranked[name] = who.documents(server.ask(who.asked(question)))
        except (OSError, HTTPException) as error:
            ranked[name] = []
            found.errors += 1
            tell(f"{who.label}: {error}")
    found.ndcg, found.hit = score(ranking, ranked)
    tell(f"{who.label}: nDCG@10 {found.ndcg:.4f}, hit@1 {found.hit:.4f}")


def time_answers(
    results: Results, indexes: Mapping[Contestant, Path], ranking: RankingSet, work: Path, chosen: argparse.Namespace
) -> None:
    questions = _shuffled(ranking)
    with ExitStack() as stack:
        servers = {
            who: stack.enter_context(who.serving(index, questions[0], chosen.workers)) for who, index in indexes.items()
        }
        alone = stack.enter_context(floor()) if "floor" in chosen.only else None
        for who, server in servers.items():
            judge(who, results.contestants[who], server, ranking)
            write_script(work / who.name, [who.asked(question) for question in questions])
            press(server.port, work / who.name, max(CLIENTS), _WARM_UP)
        for number in range(1, chosen.rounds + 1):
            for clients in CLIENTS:
                for who, server in servers.items():
                    settle(list(servers.values()))
                    load = press(server.port, work / who.name, clients, chosen.seconds)
                    results.contestants[who].loads[clients].append(load)
                    results.contestants[who].errors += load.errors
                    tell(f"round {number}, {clients} clients, {who.label}: {load}")
            settle(list(servers.values()))
            for name, rate in (alone.rates(questions, chosen.seconds) if alone else {}).items():
                results.floor.setdefault(name, []).append(rate)
                tell(f"round {number}, the floor with {name}: {rate:.1f} questions per second")
        for who, server in servers.items():
            results.contestants[who].memory = server.memory()


def time_embedding(results: Results, ranking: RankingSet, rounds: int) -> None:
    with embedding(ranking.documents) as both:
        for number in range(rounds + 1):
            rates, results.cosine = both.rates()
            if number:  # the first one also loads the graphs
                for name, rate in rates.items():
                    results.embedded.setdefault(name, []).append(rate)
                    tell(f"{name}: {rate:.1f} passages embedded per second")


def _shuffled(ranking: RankingSet) -> Sequence[str]:
    questions = list(ranking.queries.values())
    random.Random(0).shuffle(questions)
    return questions


def measure(arguments: argparse.Namespace, work: Path) -> str:
    """Measure what was chosen, and return the page with the figures."""
    before = os.getloadavg()[0]
    ranking = load_set(arguments.data)
    encoder = our_encoder(ranking.documents)
    task = make_task(arguments.data, ranking.documents, encoder, work / "passages.jsonl")
    timed = first_documents(ranking.documents, encoder, _TIMED)
    sample = make_task(arguments.data, timed, encoder, work / "sample.jsonl")
    chosen = [who for who in CONTESTANTS if who.name in arguments.only]
    results = Results({who: Figures() for who in chosen})
    indexes = {}
    for who in chosen:
        tell(f"{who.label}: preparing")
        who.install()
        indexes[who] = who.index(task, rebuild=arguments.rebuild)
    repeats = min(_REPEATS, arguments.rounds)
    time_builds(results, sample, work, repeats)
    time_starts(results, indexes, _shuffled(ranking)[0], repeats, arguments.workers)
    time_answers(results, indexes, ranking, work, arguments)
    if "embedding" in arguments.only:
        time_embedding(results, ranking, arguments.rounds)
    processes = arguments.workers or f"as it starts by itself (ours {SETTINGS.processes}, others 1)"
    about = {
        "Measured": f"{datetime.now(UTC):%Y-%m-%d}, in {arguments.rounds} rounds of {arguments.seconds} s; "
        f"processes of each server: {processes}; "
        f"the machine's load before was {before:.1f}",
        "Machine": f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}",
        "Documents": f"{ranking.name}: {task.documents} in {task.count} passages; {len(ranking.queries)} questions; "
        f"building an index is timed with {sample.count} passages, with the model loaded",
        "Command": f"`python -m tests.benchmarks.compare {' '.join(sys.argv[1:])}`",
    }
    return write(results, about)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare Signpost with others and write down the figures.")
    parser.add_argument("--data", type=Path, help="a BEIR-style folder; without it, the shipped documents")
    parser.add_argument("--only", nargs="+", choices=_ALL, default=_ALL, help="what to measure (all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of each load (5)")
    parser.add_argument("--workers", type=int, default=0, help="processes of each server (0: as it starts)")
    parser.add_argument("--rebuild", action="store_true", help="build all indexes again")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("RESULTS.md"), help="file to write")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: apt-get install wrk")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was started is stopped
    with tempfile.TemporaryDirectory() as work:
        page = measure(arguments, Path(work))
    arguments.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
