"""Chooses the weights of the search on one half of the questions and reports both halves.

``python -m tests.evaluation.weigh FOLDER ...``

Every score of every candidate is read once, through the product's own index; then weights are drawn at random (seeded),
and the best dozen, on the even-numbered questions of all folders together, are averaged. A folder counts by how far its
nDCG@10 is from that of the weights in use. Prints nDCG@10 on both halves for the weights in use and for those chosen.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from bot import lexical, search
from bot.evaluate import RankingSet
from bot.lexical import READINGS
from bot.query import understand
from bot.snapshot import Snapshot
from bot.types import Encoder
from tests.evaluation.ablation import indexed

Floats = npt.NDArray[np.float64]

NAMES = ("passage", "sentence", *READINGS, "around_passage", "around_lexical")
IN_USE = np.array(
    [
        search.PASSAGE_WEIGHT,
        search.SENTENCE_WEIGHT,
        *(search.LEXICAL_WEIGHT * share for share in READINGS.values()),
        search.AROUND_PASSAGE_WEIGHT,
        search.AROUND_LEXICAL_WEIGHT,
    ]
)
_DRAWS, _BEST, _DEPTH = 1_000, 12, 10
_DISCOUNT = 1 / np.log2(np.arange(2, _DEPTH + 2))


@dataclass(frozen=True)
class Candidates:
    """What is known of a question's candidates: their scores, shape ``(candidates, len(NAMES))``, and the numbers of
    their documents; the documents' grades; and ``ideal``, the discounted gain of a perfect order."""

    scores: Floats
    documents: npt.NDArray[np.int64]
    grades: Floats
    ideal: float

    def ndcg(self, weights: Floats) -> float:
        totals = np.full(len(self.grades), -np.inf)
        np.maximum.at(totals, self.documents, self.scores @ weights)
        best = self.grades[np.argsort(-totals, kind="stable")[:_DEPTH]]
        return float(best @ _DISCOUNT[: len(best)]) / self.ideal if self.ideal else 0.0


def candidates(question: str, grades: dict[str, int], snapshot: Snapshot, encoder: Encoder) -> Candidates:
    query = understand(question, snapshot, encoder)
    vector = encoder.encode_question(query.text)[0]
    size = len(snapshot.passages) + 4
    matched, shares = snapshot.lexical.search(query.terms, 400)
    whole = np.zeros(size, dtype=np.float32)
    whole[matched] = shares
    rows = np.unique(np.concatenate([snapshot.vectors.nearest(vector, 100), matched[:100]]))
    passage, sentence, _, around_passage, around_lexical = search._score(
        snapshot, vector, rows, whole, search._sentences_of(snapshot, vector, rows)
    ).T
    readings = []
    for reading in READINGS:
        alone = np.zeros(size, dtype=np.float32)
        with patch.object(lexical, "READINGS", {reading: 1.0}):
            found, values = snapshot.lexical.search(query.terms, 2_000)
        alone[found] = values
        readings.append(alone[rows])
    names, documents = np.unique([snapshot.passages[row].document for row in rows], return_inverse=True)
    ideal = np.sort(list(grades.values()))[::-1][:_DEPTH]
    return Candidates(
        np.stack([passage, sentence, *readings, around_passage, around_lexical], axis=1).astype(np.float64),
        documents,
        np.array([float(grades.get(str(name), 0)) for name in names]),
        float(ideal @ _DISCOUNT[: len(ideal)]),
    )


def read(ranking: RankingSet, snapshot: Snapshot, encoder: Encoder) -> list[Candidates]:
    return [candidates(text, dict(ranking.qrels[name]), snapshot, encoder) for name, text in ranking.queries.items()]


def main() -> None:
    sets = {}
    for path in map(Path, sys.argv[1:]):
        ranking, snapshot, encoder = indexed(path)
        sets[ranking.name] = read(ranking, snapshot, encoder)

    def figures(weights: Floats, half: int) -> Floats:
        return np.array([np.mean([one.ndcg(weights) for one in asked[half::2]]) for asked in sets.values()])

    start = figures(IN_USE, 0)
    generator = np.random.default_rng(0)
    drawn = IN_USE * generator.uniform(0, 2, (_DRAWS, len(IN_USE)))
    gains = [(figures(weights, 0) - start).sum() for weights in drawn]
    chosen = drawn[np.argsort(gains)[-_BEST:]].mean(axis=0)
    chosen /= chosen.sum()
    print("in use: " + ", ".join(f"{name} {weight:.3f}" for name, weight in zip(NAMES, IN_USE, strict=True)))
    print("chosen: " + ", ".join(f"{name} {weight:.3f}" for name, weight in zip(NAMES, chosen, strict=True)))
    for label, weights in (("in use", IN_USE), ("chosen", chosen)):
        for half, meant in enumerate(("chosen on", "reported on")):
            shown = zip(sets, figures(weights, half), strict=True)
            print(f"{label}, half {meant}: " + ", ".join(f"{name} {value:.4f}" for name, value in shown))


if __name__ == "__main__":
    main()
