"""Labelled questions -> a Calibration: ridge logistic regression on the signals, judged by cross-validation.

An operator has tens of questions, not thousands, so weights are pulled towards those that are shipped: with few
questions they stay near them, with many they go where the questions lead.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from bot.confidence import JUDGED, WEIGHED, Calibration, Signals, judge, shipped_calibration
from bot.errors import CalibrationError
from bot.language import ENGLISH
from bot.query import understand
from bot.search import search
from bot.snapshot import Snapshot
from bot.types import Encoder

Floats = npt.NDArray[np.float64]

#: How strongly each weight is pulled, for a signal of unit spread; the constants are pulled a tenth as much.
PULL = 1.0
_CONSTANT_PULL = 0.1

#: Questions of either kind, answerable or not, that it takes.
FEWEST = 5

#: Parts in cross-validation; questions of the same words stay together.
FOLDS = 5

_CALIBRATION = TypeAdapter(Calibration)


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the signals that it gave, and whether the documents answer it."""

    question: str
    signals: Signals
    answerable: bool


def example_of(
    question: str,
    answerable: bool,
    snapshot: Snapshot,
    encoder: Encoder,
    *,
    languages: Collection[str] = (ENGLISH,),
) -> Example | None:
    """Ask a question and read the signals off; ``None`` if there are none, as where a list is looked through."""
    query = understand(question, snapshot, encoder, languages)
    hits = search(query, snapshot, encoder, top_k=JUDGED)
    signals = judge(query, hits, snapshot, shipped_calibration()).signals
    return None if signals is None else Example(question, signals, answerable)


def fit(examples: Sequence[Example], start: Calibration, pull: float = PULL) -> Calibration:
    """Return the calibration whose weights make the examples likeliest, pulled towards those of ``start``."""
    rows, labels = _arrays(examples)
    before = np.array([weights[name] for weights in (start.mixed, start.alike) for name in WEIGHED])
    strength = pull * np.where(np.array(2 * WEIGHED) == "constant", _CONSTANT_PULL, rows.var(axis=0) + 1e-9)

    from scipy.optimize import minimize  # here, as it takes long to load and serving needs no fit

    def loss(weights: Floats) -> tuple[float, Floats]:
        away = weights - before
        surprise = np.logaddexp(0, np.where(labels == 1, -1, 1) * (rows @ weights)).sum()
        slope = rows.T @ (_sure(rows, weights) - labels) + strength * away
        return float(surprise + strength @ away**2 / 2), slope

    found = minimize(loss, before, jac=True, method="L-BFGS-B", options={"maxiter": 5_000, "ftol": 1e-12})
    mixed, alike = (
        {name: round(float(w), 3) for name, w in zip(WEIGHED, half, strict=True)} for half in np.split(found.x, 2)
    )
    return replace(start, mixed=mixed, alike=alike)


def cross_validated(examples: Sequence[Example], start: Calibration, pull: float = PULL) -> Floats:
    """Return each example's confidence, 0 to 1, by weights that were fitted without it."""
    folds = [zlib.crc32(example.question.casefold().encode()) % FOLDS for example in examples]
    fitted = {}
    for fold in set(folds):
        kept = [example for example, its in zip(examples, folds, strict=True) if its != fold]
        fitted[fold] = fit(kept, start, pull) if kept else start
    return np.array([fitted[its].confidence(example.signals) for example, its in zip(examples, folds, strict=True)])


def _arrays(examples: Sequence[Example]) -> tuple[Floats, Floats]:
    """One row for each example: its signals and a 1, as much of them as counts where passages are mixed, then where
    they are alike; and its label."""
    likeness = np.array([[example.signals.likeness] for example in examples])
    signals = np.array([[*(getattr(example.signals, name) for name in WEIGHED[:-1]), 1.0] for example in examples])
    labels = np.array([float(example.answerable) for example in examples])
    return np.hstack([(1 - likeness) * signals, likeness * signals]), labels


def _sure(rows: Floats, weights: Floats) -> Floats:
    from scipy.special import expit

    sure: Floats = expit(rows @ weights)
    return sure


def log_loss(sure: Floats, labels: Floats) -> float:
    """Return the mean surprise of the labels, 0 or more, in nats; lower is better."""
    right = np.where(labels == 1, sure, 1 - sure)
    return float(-np.log(np.clip(right, 1e-9, 1)).mean())


def auroc(sure: Floats, labels: Floats) -> float:
    """Return the probability that an answerable question is given more confidence than one that is not."""
    above = sure[labels == 1][:, None] - sure[labels == 0][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def calibration_error(sure: Floats, labels: Floats) -> float:
    """Return the expected calibration error, 0 to 1, in ten bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == n].mean() - labels[bins == n].mean()) * (bins == n).mean() for n in set(bins.tolist())]
    return float(sum(gaps))


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What an operator's questions make of the weights, and how well both do on these questions.

    ``log_loss``, ``error`` (expected calibration error) and ``auroc`` hold the figure of the weights before and, cross-
    validated, of those that were fitted.
    """

    fitted: Calibration
    questions: int
    answerable: int
    log_loss: tuple[float, float]
    error: tuple[float, float]
    auroc: tuple[float, float]

    @property
    def better(self) -> bool:
        """Whether the questions, each judged by weights fitted without it, surprise less than before."""
        return self.log_loss[1] < self.log_loss[0]


def recalibrate(examples: Sequence[Example], start: Calibration) -> Recalibration:
    """Fit the weights to an operator's questions, starting from some, and compare.

    :raises CalibrationError: if there are too few questions to tell anything.
    """
    labels = _arrays(examples)[1] if examples else np.zeros(0)
    fewest = int(min(labels.sum(), len(labels) - labels.sum()))
    if fewest < FEWEST:
        raise CalibrationError(
            f"calibrating takes at least {FEWEST} questions that the documents answer and {FEWEST} that they do not; "
            f"of one kind there are {fewest}"
        )
    before = np.array([start.confidence(example.signals) for example in examples])
    after = cross_validated(examples, start)
    return Recalibration(
        fitted=fit(examples, start),
        questions=len(examples),
        answerable=int(labels.sum()),
        log_loss=(log_loss(before, labels), log_loss(after, labels)),
        error=(calibration_error(before, labels), calibration_error(after, labels)),
        auroc=(auroc(before, labels), auroc(after, labels)),
    )


# --- an operator's own ------------------------------------------------------------------------------------------------


def calibration_file(index: Path) -> Path:
    """Return where an operator's own calibration is kept."""
    return index / "calibration.json"


def load_calibration(index: Path) -> Calibration:
    """Return the operator's own calibration where there is one, else the one that comes with the package.

    :raises CalibrationError: if it cannot be read.
    """
    path = calibration_file(index)
    try:
        return _CALIBRATION.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return shipped_calibration()
    except (OSError, ValidationError) as error:
        raise CalibrationError(
            f"{str(path)!r} cannot be read: remove it, or run `signpost calibrate` to make it anew"
        ) from error


def save_calibration(calibration: Calibration | None, index: Path) -> None:
    """Keep an operator's own calibration beside the snapshots, in one step; ``None`` goes back to the shipped one.

    :raises CalibrationError: if the disk refuses.
    """
    path = calibration_file(index)
    work = path.with_suffix(".new")
    try:
        if calibration is None:
            path.unlink(missing_ok=True)
            return
        work.write_bytes(_CALIBRATION.dump_json(calibration, indent=1) + b"\n")
        work.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            work.unlink()
        raise CalibrationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
