"""What was measured -> Markdown. A value is the median over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.contestants import Contestant
from tests.benchmarks.load import Load

CLIENTS = (1, 8, 32)


@dataclass(slots=True)
class Figures:
    """What was measured of one contestant; lists hold an entry for each round.

    ``starts`` are seconds to the first answer, ``indexed`` passages per second, ``loads`` by number of clients;
    ``ndcg`` and ``hit`` are shares, ``memory`` megabytes, ``errors`` questions that were not answered.
    """

    starts: list[float] = field(default_factory=list)
    indexed: list[float] = field(default_factory=list)
    loads: dict[int, list[Load]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})
    ndcg: float = 0.0
    hit: float = 0.0
    memory: float = 0.0
    errors: int = 0


@dataclass(slots=True)
class Results:
    """All that was measured. Rates per second: ``floor`` of questions, by what uses the cores; ``embedded`` of
    passages, by encoder. ``cosine`` is that between our vectors and torch's, on average."""

    contestants: dict[Contestant, Figures]
    floor: dict[str, list[float]] = field(default_factory=dict)
    embedded: dict[str, list[float]] = field(default_factory=dict)
    cosine: float = 0.0

    def rate(self, name: str) -> float | None:
        """Return questions per second at 8 clients."""
        found = self._sound(name)
        return median(load.per_second for load in found.loads[8]) if found else None

    def p50(self, name: str) -> float | None:
        """Return milliseconds at 1 client."""
        found = self._sound(name)
        return median(load.p50 for load in found.loads[1]) if found else None

    def _sound(self, name: str) -> Figures | None:
        """Who errs is not ranked."""
        return next((one for who, one in self.contestants.items() if who.name == name and not one.errors), None)

    def goals(self) -> Iterator[tuple[str, float | None, str, float]]:
        """Yield what is judged: its name, the value if it was measured, which way it should lie, and of what."""
        ours = self._sound("ours")
        floor = max(map(median, self.floor.values()), default=None)  # the faster of the two
        embedded = {name: median(rates) for name, rates in self.embedded.items()}
        yield "questions per second at 8 clients, over txtai's", _ratio(self.rate("ours"), self.rate("txtai")), "≥", 10
        yield "p50 at 1 client, over txtai's", _ratio(self.p50("ours"), self.p50("txtai")), "≤", 1 / 6
        yield "questions per second at 8 clients, over the floor's", _ratio(self.rate("ours"), floor), "≥", 0.45
        yield "passages embedded per second, over torch's", _ratio(embedded.get("ours"), embedded.get("torch")), "≥", 4
        yield "start to first answer, seconds", median(ours.starts) if ours else None, "≤", 1.5
        yield "resident memory, MB", ours.memory if ours else None, "≤", 250


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other is not None else None


def write(results: Results, about: Mapping[str, str]) -> str:
    """Return the page; ``about`` tells how it came to be."""
    return "\n\n".join(["# Side by side", *_sections(results, about)]) + "\n"


def _sections(results: Results, about: Mapping[str, str]) -> Iterator[str]:
    yield "\n".join(f"- {name}: {value}" for name, value in about.items())
    yield "## What is judged"
    yield _table(
        ("", "value", "goal", "met"),
        (
            (what, f"{value:.3g}", f"{way} {goal:.3g}", "yes" if (value >= goal) == (way == "≥") else "no")
            for what, value, way, goal in results.goals()
            if value is not None
        ),
    )
    named = {
        f"{who.label}{' (errs, so not ranked)' * (found.errors > 0)}": found
        for who, found in results.contestants.items()
    }
    yield "## Questions per second, over HTTP"
    yield _table(
        ("clients", *map(str, CLIENTS)),
        ((label, *(_spread([load.per_second for load in one.loads[clients]]) for clients in CLIENTS))
         for label, one in named.items()),
    )  # fmt: skip
    for name, rates in results.floor.items():
        yield f"The floor, the encoder of questions alone in a loop, with {name} on all cores: {_spread(rates)}."
    for clients in CLIENTS:
        yield f"## Milliseconds to an answer, {clients} client{'s' * (clients > 1)}"
        yield _table(
            ("", "p50", "p95", "p99"),
            ((label, *(f"{median(getattr(load, p) for load in one.loads[clients]):.1f}" for p in ("p50", "p95", "p99")))
             for label, one in named.items()),
        )  # fmt: skip
    yield "## What is found, over HTTP"
    yield _table(
        ("", "nDCG@10", "hit@1", "questions that were not answered"),
        ((label, f"{one.ndcg:.4f}", f"{one.hit:.4f}", str(one.errors)) for label, one in named.items()),
    )
    yield "## To run it"
    yield _table(
        ("", "start to first answer, s", "resident memory, MB", "passages indexed per second"),
        ((label, _spread(one.starts, 2), f"{one.memory:.0f}", _spread(one.indexed)) for label, one in named.items()),
    )
    if results.embedded:
        yield "## Passages embedded per second, without anything else"
        yield _table(("encoder", "median"), ((name, _spread(rates)) for name, rates in results.embedded.items()))
        yield f"Cosine between the vectors of both, on average: {results.cosine:.5f}."
    yield "## Versions"
    yield "\n".join(f"- {who.label}: {who.versions}" for who in results.contestants)


def _spread(values: Sequence[float], digits: int = 1) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))
