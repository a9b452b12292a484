"""Fits the confidence and prints how well it does.

``python -m tests.evaluation.calibrate [QUESTIONS CORPUS | FOLDER] ...``

Always asked, on the shipped corpus: the documents' own questions, which it answers; ``questions.jsonl``, as people
might ask, of which it answers some; near misses and off-topic questions, which it does not. And of each of ``corpora``,
about something else, its questions. More may be named: a file of labelled questions with the corpus that it is about,
or a BEIR-style folder with ``queries_unanswerable.jsonl`` in it.

Figures are cross-validated: five folds by question, so that none is judged by weights that it helped to fit. And once
more with weights that were fitted to the other corpora alone: what to expect of one that nobody has seen.
``held_out.jsonl`` is not fitted to: ``signpost eval`` prints its figures.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from bot.calibrate import Example, Floats, auroc, calibration_error, cross_validated, example_of, fit
from bot.confidence import LOOKUP_CONFIDENCE, WEIGHED, Calibration, shipped_calibration
from bot.engine import build_index, load_encoder, open_bot
from bot.evaluate import index_ranking_set, load_questions, load_ranking_set
from bot.settings import load_settings

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
CALIBRATION = REPOSITORY / "bot" / "calibration.json"

#: How many times each question of a group counts, so that who asks in the documents' own words counts as much as who
#: does not, and what the shipped corpus does not answer as much as what it does.
TIMES = {"own": 4, "near_misses": 2, "off_topic": 2}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a group, asked of a corpus; ``example`` is ``None`` where a list was looked through, which answers
    whatever the weights."""

    corpus: str
    group: str
    answerable: bool
    example: Example | None


def shipped(folder: Path) -> Iterator[Asked]:
    settings = load_settings(corpus=REPOSITORY / "corpus", index=folder)
    build_index(settings)
    bot = open_bot(settings)
    own = [question for document in bot.snapshot.documents.values() for question in document.questions]
    groups = [("own", own)] + [
        (name, (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()) for name in ("near_misses", "off_topic")
    ]
    for group, questions in groups:
        for question in questions:
            answerable = group == "own"
            yield Asked("shipped", group, answerable, example_of(question, answerable, bot.snapshot, bot.encoder))
    yield from labelled("shipped", HERE / "questions.jsonl", REPOSITORY / "corpus", folder)


def labelled(name: str, questions: Path, corpus: Path, folder: Path) -> Iterator[Asked]:
    settings = load_settings(corpus=corpus, index=folder)
    build_index(settings)
    bot = open_bot(settings)
    for question in load_questions(questions):
        text = question.standalone or question.question
        example = example_of(text, question.answerable, bot.snapshot, bot.encoder)
        yield Asked(name, questions.stem, question.answerable, example)


def ranked(folder: Path) -> Iterator[Asked]:
    ranking = load_ranking_set(folder)
    settings = load_settings()
    encoder = load_encoder(settings, sample=[document.text for document in ranking.documents])
    snapshot = index_ranking_set(ranking, encoder, settings.passage_tokens)
    unanswerable = (folder / "queries_unanswerable.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [(text, True) for text in ranking.queries.values()]
    asked += [(json.loads(entry)["text"], False) for entry in unanswerable]
    for text, answerable in asked:
        yield Asked(ranking.name, ranking.name, answerable, example_of(text, answerable, snapshot, encoder))


def ask_all(named: Sequence[Path]) -> Iterator[Asked]:
    with tempfile.TemporaryDirectory() as work:
        yield from shipped(Path(work) / "shipped")
        for questions in sorted((HERE / "corpora").glob("*.jsonl")):
            yield from labelled(questions.stem, questions, questions.with_suffix(""), Path(work) / questions.stem)
        paths = list(named)
        while paths:
            first = paths.pop(0)
            if first.is_dir():
                yield from ranked(first)
            else:
                yield from labelled(first.stem, first, paths.pop(0), Path(work) / "named" / first.stem)


def without_its_corpus(corpora: Sequence[str], examples: Sequence[Example], start: Calibration) -> Floats:
    """Each example's confidence by weights that were fitted to the other corpora."""
    fitted = {
        one: fit([example for example, its in zip(examples, corpora, strict=True) if its != one], start)
        for one in set(corpora)
    }
    return np.array([fitted[its].confidence(example.signals) for example, its in zip(examples, corpora, strict=True)])


def _figures(sure: Floats, labels: Floats) -> str:
    return f"{auroc(sure, labels):.3f} {calibration_error(sure, labels):.3f}"


def main() -> None:
    asked = sorted(ask_all([Path(argument) for argument in sys.argv[1:]]), key=lambda one: one.example is None)
    examples = [one.example for one in asked if one.example is not None]
    looked_up = [LOOKUP_CONFIDENCE] * (len(asked) - len(examples))
    kept, none = shipped_calibration(), dict.fromkeys(WEIGHED, 0.0)
    nothing = Calibration(none, none, kept.unsure_from, kept.answered_from)
    groups = np.array([one.group for one in asked])
    corpora = np.array([one.corpus for one in asked])
    labels = np.array([float(one.answerable) for one in asked])
    again = [number for number in range(len(examples)) for _ in range(TIMES.get(groups[number], 1) - 1)]
    counted = [*range(len(examples)), *again]
    fitted_to = [examples[number] for number in counted]
    sure = np.append(cross_validated(fitted_to, nothing)[: len(examples)], looked_up)
    alone = np.append(without_its_corpus(corpora[counted].tolist(), fitted_to, nothing)[: len(examples)], looked_up)

    print(f"{len(asked)} questions, {int(labels.sum())} answerable")
    print("AUROC and expected calibration error, cross-validated; by weights fitted to the other corpora")
    answered = (corpora == "shipped") & (labels == 1)
    named = [Path(argument).stem for argument in sys.argv[1:] if argument.endswith(".jsonl")]
    for name, chosen in (
        ("all", labels >= 0),
        *((group, groups == group) for group in dict.fromkeys(groups)),
        *((f"{group} with both of these", np.isin(groups, [group, "near_misses", "off_topic"])) for group in named),
    ):
        some = chosen | answered if not labels[chosen].any() else chosen
        if 0 < labels[some].mean() < 1:
            figures = [
                f"{auroc(by[some], labels[some]):.3f} {calibration_error(by[some], labels[some]):.3f}"
                for by in (sure, alone)
            ]
            print(f"  {name}: {'; '.join(figures)}")
    print("threshold: share at or above it of answerable, near misses, off-topic")
    off = groups == "off_topic"
    for threshold in np.arange(0.2, 0.85, 0.05):
        shares = [(sure[some] >= threshold).mean() for some in (labels == 1, (labels == 0) & ~off, off)]
        print(f"  {threshold:.2f}: " + " ".join(f"{share:.2f}" for share in shares))

    fitted = fit(fitted_to, nothing)
    CALIBRATION.write_bytes(TypeAdapter(Calibration).dump_json(fitted, indent=2) + b"\n")
    print(CALIBRATION.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
