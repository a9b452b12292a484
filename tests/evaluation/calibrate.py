"""Fits the confidence and prints how well it does.

``python -m tests.evaluation.calibrate [QUESTIONS CORPUS | FOLDER] ...``

Always asked, on the shipped corpus: the documents' own questions, which it answers, and the near misses and off-topic
questions beside this file, which it does not. More may be named: a file of labelled questions with the corpus that it
is about, or a BEIR-style folder with ``queries_unanswerable.jsonl`` in it. Figures are cross-validated: five folds by
question, so that none is judged by weights that it helped to fit.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from bot.calibrate import Example, auroc, calibration_error, cross_validated, example_of, fit
from bot.confidence import LOOKUP_CONFIDENCE, SIGNALS, Calibration, shipped_calibration
from bot.engine import build_index, load_encoder, open_bot
from bot.evaluate import index_ranking_set, load_questions, load_ranking_set
from bot.settings import load_settings

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
CALIBRATION = REPOSITORY / "bot" / "calibration.json"

#: What one question of a folder counts, of which there are hundreds, against one about an operator's own documents.
FOLDER_WEIGHT = 0.3


def shipped(folder: Path) -> Iterator[tuple[str, Example | None]]:
    settings = load_settings(corpus=REPOSITORY / "corpus", index=folder)
    build_index(settings)
    bot = open_bot(settings)
    for document in bot.snapshot.documents.values():
        for question in document.questions:
            yield "own", example_of(question, True, bot.snapshot, bot.encoder)
    for group in ("near_misses", "off_topic"):
        for question in (HERE / f"{group}.txt").read_text(encoding="utf-8").splitlines():
            yield group, example_of(question, False, bot.snapshot, bot.encoder)


def labelled(questions: Path, corpus: Path, folder: Path) -> Iterator[tuple[str, Example | None]]:
    settings = load_settings(corpus=corpus, index=folder)
    build_index(settings)
    bot = open_bot(settings)
    for question in load_questions(questions):
        asked = question.standalone or question.question
        yield questions.stem, example_of(asked, question.answerable, bot.snapshot, bot.encoder)


def ranked(folder: Path) -> Iterator[tuple[str, Example | None]]:
    ranking = load_ranking_set(folder)
    settings = load_settings()
    encoder = load_encoder(settings, sample=[document.text for document in ranking.documents])
    snapshot = index_ranking_set(ranking, encoder, settings.passage_tokens)
    for question in ranking.queries.values():
        yield ranking.name, example_of(question, True, snapshot, encoder, weight=FOLDER_WEIGHT)
    for entry in (folder / "queries_unanswerable.jsonl").read_text(encoding="utf-8").splitlines():
        yield ranking.name, example_of(json.loads(entry)["text"], False, snapshot, encoder, weight=FOLDER_WEIGHT)


def main() -> None:
    asked: list[tuple[str, Example | None]] = []
    with tempfile.TemporaryDirectory() as work:
        asked += shipped(Path(work) / "shipped")
        paths = [Path(argument) for argument in sys.argv[1:]]
        while paths:
            first = paths.pop(0)
            asked += ranked(first) if first.is_dir() else labelled(first, paths.pop(0), Path(work) / first.stem)

    found = [(group, one) for group, one in asked if one is not None]
    looked_up = [group for group, one in asked if one is None]  # a list answers these, whatever the weights
    nothing = Calibration(dict.fromkeys((*SIGNALS, "constant"), 0.0), 0.35, 0.5)
    examples = [one for _, one in found]
    groups = np.array([group for group, _ in found] + looked_up)
    labels = np.array([float(one.answerable) for one in examples] + [1.0] * len(looked_up))
    sure = np.append(cross_validated(examples, nothing), [LOOKUP_CONFIDENCE] * len(looked_up))
    print(f"{len(asked)} questions, {int(labels.sum())} answerable, cross-validated")
    own = np.array([one.weight == 1 for one in examples] + [True] * len(looked_up))
    for name, chosen in (
        ("all", own | True),
        ("all but folders", own),
        *((g, groups == g) for g in dict.fromkeys(groups)),
    ):
        some = chosen | (own & (labels == 1)) if not labels[chosen].any() else chosen
        if 0 < labels[some].mean() < 1:
            error = calibration_error(sure[some], labels[some])
            print(f"  {name}: AUROC {auroc(sure[some], labels[some]):.3f}, expected calibration error {error:.3f}")
    print("  threshold: share at or above it of answerable, near misses, off-topic")
    for threshold in np.arange(0.2, 0.85, 0.05):
        above = sure >= threshold
        shares = [above[own & (labels == 1)].mean(), *(above[groups == g].mean() for g in ("near_misses", "off_topic"))]
        print(f"  {threshold:.2f}: " + " ".join(f"{share:.2f}" for share in shares))

    kept = shipped_calibration()
    fitted = fit(examples, Calibration(nothing.weights, kept.unsure_from, kept.answered_from))
    CALIBRATION.write_bytes(TypeAdapter(Calibration).dump_json(fitted, indent=2) + b"\n")
    print(CALIBRATION.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
