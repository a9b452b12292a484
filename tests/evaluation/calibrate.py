"""Fits the confidence and prints how well it does: ``python -m tests.evaluation.calibrate [QUESTIONS CORPUS ...]``.

Always asked, on the shipped corpus: the documents' own questions, which it answers, and the near misses and off-topic
questions beside this file, which it does not. More labelled questions, each file with the corpus that it is about,
may be named. Off-topic questions teach what the documents are about, the others what they hold. Figures are cross-
validated: five folds by question, so that none is judged by weights that it helped to fit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.confidence import Calibration, Signals, signals_of
from bot.engine import Bot, build_index, open_bot
from bot.evaluate import load_questions
from bot.query import understand
from bot.search import search
from bot.settings import load_settings

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
CALIBRATION = REPOSITORY / "bot" / "calibration.json"

Floats = npt.NDArray[np.float64]

#: Strength of the pull of each weight towards zero (ridge); the constant is free.
_RIDGE = 0.3
_FOLDS = 5


#: Signals of either model; the rest was tried there and did not help.
_ABOUT = ("passage", "best_sentence", "unknown")
_HOLDS = ("sentence", "covered", "matched", "lacks_plain", "lacks_vague")

#: Kinds of unanswerable questions, in files of labelled ones, that are about something else altogether.
_OFF_TOPIC = {"out-of-scope", "prompt-injection", "small-talk", "off_topic"}


@dataclass(frozen=True)
class Example:
    question: str
    group: str
    about: bool
    answerable: bool
    signals: Signals

    def values(self, names: tuple[str, ...]) -> list[float]:
        signals = asdict(self.signals)
        return [signals[name] for name in names]


def ask(bot: Bot, question: str, group: str, kind: str, answerable: bool) -> Example:
    query = understand(question, bot.snapshot, bot.encoder)
    hits = search(query, bot.snapshot, bot.encoder)
    about = answerable or kind not in _OFF_TOPIC
    return Example(question, group, about, answerable, signals_of(query, hits, bot.snapshot))


def bot_on(corpus: Path, index: Path) -> Bot:
    settings = load_settings(corpus=corpus, index=index)
    build_index(settings)
    return open_bot(settings)


def examples(more: list[tuple[Path, Path]]) -> list[Example]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bot = bot_on(REPOSITORY / "corpus", Path(folder) / "shipped")
        for document in bot.snapshot.documents.values():
            found += [ask(bot, question, "own", "own", True) for question in document.questions]
        for group in ("near_misses", "off_topic"):
            lines = (HERE / f"{group}.txt").read_text(encoding="utf-8").splitlines()
            found += [ask(bot, question, group, group, False) for question in lines]
        for number, (questions, corpus) in enumerate(more):
            bot = bot_on(corpus, Path(folder) / str(number))
            found += [
                ask(bot, question.standalone or question.question, questions.stem, question.kind, question.answerable)
                for question in load_questions(questions)
            ]
            for group in ("near_misses", "off_topic"):
                lines = (HERE / f"{group}.txt").read_text(encoding="utf-8").splitlines()
                found += [ask(bot, question, group, group, False) for question in lines]
    return found


def fit(rows: Floats, labels: Floats) -> Floats:
    """Weights and, last, the constant of a ridge logistic regression, by Newton's method; both classes count alike."""
    rows = np.c_[rows, np.ones(len(rows))]
    shares = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    pull = np.diag([_RIDGE] * (rows.shape[1] - 1) + [0.0])
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        sure = 1 / (1 + np.exp(-rows @ weights))
        curve = rows.T @ (rows * (shares * sure * (1 - sure))[:, None]) + pull
        weights -= np.linalg.solve(curve, rows.T @ (shares * (sure - labels)) + pull @ weights)
    return weights


def fit_both(chosen: list[Example]) -> dict[str, dict[str, float]]:
    """Fit what the documents are about on all questions, what they hold on those that they are about."""
    fitted = {}
    on_topic = [example for example in chosen if example.about]
    for model, names, taught, labels in (
        ("about", _ABOUT, chosen, [float(example.about) for example in chosen]),
        ("holds", _HOLDS, on_topic, [float(example.answerable) for example in on_topic]),
    ):
        weights = fit(np.array([example.values(names) for example in taught]), np.array(labels))
        fitted[model] = {
            name: round(float(weight), 3) for name, weight in zip((*names, "constant"), weights, strict=True)
        }
    return fitted


def auroc(sure: Floats, labels: Floats) -> float:
    """Probability that an answerable question is given more confidence than one that is not."""
    above = sure[labels == 1][:, None] - sure[labels == 0][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def calibration_error(sure: Floats, labels: Floats) -> float:
    """Expected calibration error, ten bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == n].mean() - labels[bins == n].mean()) * (bins == n).mean() for n in set(bins.tolist())]
    return float(sum(gaps))


def main() -> None:
    paths = [Path(argument) for argument in sys.argv[1:]]
    found = examples(list(zip(paths[::2], paths[1::2], strict=True)))
    labels = np.array([float(example.answerable) for example in found])
    folds = [zlib.crc32(example.question.encode()) % _FOLDS for example in found]
    kept = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    sure = np.zeros(len(found))
    for fold in range(_FOLDS):
        fitted = fit_both([example for example, its in zip(found, folds, strict=True) if its != fold])
        calibration = Calibration(**kept | fitted)
        for number, example in enumerate(found):
            if folds[number] == fold:
                sure[number] = calibration.confidence(example.signals)

    groups = np.array([example.group for example in found])
    print(f"{len(found)} questions, {int(labels.sum())} answerable; expected calibration error "
          f"{calibration_error(sure, labels):.3f}, AUROC {auroc(sure, labels):.3f}")  # fmt: skip
    for group in dict.fromkeys(groups):
        chosen = (groups == group) | ((labels == 1) if labels[groups == group].sum() == 0 else False)
        if len(set(labels[chosen])) == 2:
            print(f"  AUROC {group}: {auroc(sure[chosen], labels[chosen]):.3f}")
    print("  threshold: share of answerable, near misses, off-topic at or above it")
    for threshold in np.arange(0.2, 0.85, 0.05):
        above = sure >= threshold
        shares = [above[labels == 1].mean(), above[groups == "near_misses"].mean(), above[groups == "off_topic"].mean()]
        print(f"  {threshold:.2f}: " + " ".join(f"{share:.2f}" for share in shares))

    CALIBRATION.write_text(json.dumps(kept | fit_both(found), indent=2) + "\n", encoding="utf-8")
    print(CALIBRATION.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
