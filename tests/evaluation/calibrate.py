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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
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
#: does not, and what the shipped corpus does not answer as much as what it does; most of all what has nothing to do
#: with it, as nobody would understand an answer to that.
TIMES = {"own": 4, "near_misses": 2, "off_topic": 6}


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


def without(part: str, example: Example) -> Example:
    """An example that tells nothing of one signal; without ``likeness`` each signal has one weight."""
    return replace(example, signals=replace(example.signals, **{part: 0.5 if part == "likeness" else 0.0}))


@dataclass(frozen=True, slots=True)
class Judged:
    """How sure each question's answer is, by weights fitted without it, and by those fitted to other corpora."""

    sure: Floats
    alone: Floats
    fitted: Calibration


def judged(asked: Sequence[Asked], part: str = "") -> Judged:
    """Fit to all questions, those with signals first, or to what they tell without one of them."""
    examples = [without(part, one.example) if part else one.example for one in asked if one.example is not None]
    looked_up = [LOOKUP_CONFIDENCE] * (len(asked) - len(examples))
    kept, none = shipped_calibration(), dict.fromkeys(WEIGHED, 0.0)
    nothing = Calibration(none, none, kept.unsure_from, kept.answered_from)
    again = [number for number, one in enumerate(asked[: len(examples)]) for _ in range(TIMES.get(one.group, 1) - 1)]
    counted = [*range(len(examples)), *again]
    fitted_to = [examples[number] for number in counted]
    corpora = [asked[number].corpus for number in counted]
    return Judged(
        np.append(cross_validated(fitted_to, nothing)[: len(examples)], looked_up),
        np.append(without_its_corpus(corpora, fitted_to, nothing)[: len(examples)], looked_up),
        fit(fitted_to, nothing),
    )


def main() -> None:
    asked = sorted(ask_all([Path(argument) for argument in sys.argv[1:]]), key=lambda one: one.example is None)
    whole = judged(asked)
    groups = np.array([one.group for one in asked])
    corpora = np.array([one.corpus for one in asked])
    labels = np.array([float(one.answerable) for one in asked])
    answered = (corpora == "shipped") & (labels == 1)

    def compared(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Some questions, with those that the shipped corpus answers where they have no answer."""
        return chosen | answered if not labels[chosen].any() else chosen

    def told(by: Floats, chosen: npt.NDArray[np.bool_]) -> tuple[float, float]:
        some = compared(chosen)
        return auroc(by[some], labels[some]), calibration_error(by[some], labels[some])

    print(f"{len(asked)} questions, {int(labels.sum())} answerable")
    print("AUROC and expected calibration error, cross-validated; by weights fitted to the other corpora")
    named = [Path(argument).stem for argument in sys.argv[1:] if argument.endswith(".jsonl")]
    parts = {"all": labels >= 0} | {group: groups == group for group in dict.fromkeys(groups.tolist())}
    parts |= {f"{group} with both of these": np.isin(groups, [group, "near_misses", "off_topic"]) for group in named}
    for name, chosen in parts.items():
        if 0 < labels[compared(chosen)].mean() < 1:
            figures = ("{:.3f} {:.3f}".format(*told(by, chosen)) for by in (whole.sure, whole.alone))
            print(f"  {name}: {'; '.join(figures)}")
    print("threshold: share at or above it of answerable, near misses, off-topic")
    off = groups == "off_topic"
    for threshold in np.arange(0.2, 0.85, 0.05):
        shares = [(whole.sure[some] >= threshold).mean() for some in (labels == 1, (labels == 0) & ~off, off)]
        print(f"  {threshold:.2f}: " + " ".join(f"{share:.2f}" for share in shares))

    print("without each signal: mean AUROC of the questions of all corpora; by weights fitted to others; of the rest")
    five = ["questions", *(path.stem for path in sorted((HERE / "corpora").glob("*.jsonl")))]
    rest = [name for name in parts if name not in ("all", "own", *five)]
    for part in ("", "likeness", *WEIGHED[:-1]):
        left = judged(asked, part) if part else whole
        means = (np.mean([told(by, parts[name])[0] for name in five]) for by in (left.sure, left.alone))
        others = (f"{name} {'{:.3f} {:.3f}'.format(*told(left.sure, parts[name]))}" for name in rest)
        print(f"  {part or 'whole'}: {' '.join(f'{mean:.3f}' for mean in means)}; {', '.join(others)}")

    CALIBRATION.write_bytes(TypeAdapter(Calibration).dump_json(whole.fitted, indent=2) + b"\n")
    print(CALIBRATION.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
