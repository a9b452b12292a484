"""Refitting the confidence: the right weights, judged fairly, kept safely."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from sklearn import metrics  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from bot.calibrate import (
    FEWEST,
    Example,
    auroc,
    calibration_error,
    cross_validated,
    example_of,
    fit,
    load_calibration,
    log_loss,
    recalibrate,
    save_calibration,
)
from bot.confidence import WEIGHED, Calibration, Signals, shipped_calibration
from bot.engine import Bot
from bot.errors import CalibrationError

Floats = npt.NDArray[np.float64]

SHIPPED = shipped_calibration()
SIGNALS = tuple(Signals.__dataclass_fields__)
NOTHING = Calibration(dict.fromkeys(WEIGHED, 0.0), dict.fromkeys(WEIGHED, 0.0), 0.35, 0.5)


def with_weights(weights: Sequence[float] | Floats) -> Calibration:
    """The calibration that has these weights: those of mixed passages, then those of passages that are alike."""
    mixed, alike = (dict(zip(WEIGHED, map(float, half), strict=True)) for half in np.split(np.asarray(weights), 2))
    return Calibration(mixed, alike, 0.35, 0.5)


def weights_of(calibration: Calibration) -> Floats:
    return np.array([weights[name] for weights in (calibration.mixed, calibration.alike) for name in WEIGHED])


#: The other way round from what is shipped.
CONTRARY = with_weights(-weights_of(SHIPPED))


def drawn(count: int, seed: int, truth: Calibration = SHIPPED, *, certain: bool = False) -> list[Example]:
    """Questions with signals by chance, labelled as likely as a calibration says."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        signals = Signals(**{name: float(chance.uniform(-0.1, 1)) for name in SIGNALS})
        signals = replace(signals, likeness=float(chance.uniform(0, 0.7)))
        sure = truth.confidence(signals)
        found.append(Example(f"question {number}", signals, bool(sure > (0.5 if certain else chance.uniform()))))
    return found


def table(examples: Sequence[Example]) -> tuple[Floats, Floats]:
    rows = []
    for example in examples:
        own = [*(getattr(example.signals, name) for name in WEIGHED[:-1]), 1.0]
        alike = example.signals.likeness
        rows.append([(1 - alike) * value for value in own] + [alike * value for value in own])
    return np.array(rows), np.array([float(example.answerable) for example in examples])


def pulls(rows: Floats) -> Floats:
    found: Floats = rows.var(axis=0)
    found[[len(WEIGHED) - 1, -1]] = 0.1
    return found


def by_scipy(examples: Sequence[Example], start: Calibration, pull: float) -> Floats:
    rows, labels = table(examples)
    before = weights_of(start)

    def loss(weights: Floats) -> float:
        raw = rows @ weights
        surprise = (np.logaddexp(0, raw) - labels * raw).sum()
        return float(surprise + pull / 2 * pulls(rows) @ (weights - before) ** 2)

    found: Floats = minimize(
        loss, before, method="L-BFGS-B", options={"maxiter": 10_000, "ftol": 1e-14, "gtol": 1e-8}
    ).x
    return found


# --- the fit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pull", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("count", [30, 300])
def test_a_fit_from_nothing_is_that_of_scikit_learn(count: int, pull: float) -> None:
    examples = drawn(count, count)
    rows, labels = table(examples)
    scale = np.sqrt(pulls(rows))
    learner = LogisticRegression(C=1 / pull, fit_intercept=False, tol=1e-10, max_iter=10_000)
    learner.fit(rows / scale, labels)
    assert weights_of(fit(examples, NOTHING, pull)) == pytest.approx(learner.coef_[0] / scale, abs=2e-3)


@pytest.mark.parametrize("count", [10, 40, 400])
def test_a_fit_from_the_shipped_weights_makes_the_penalised_loss_least(count: int) -> None:
    examples = drawn(count, count)
    fitted = fit(examples, SHIPPED)
    assert weights_of(fitted) == pytest.approx(by_scipy(examples, SHIPPED, 1.0), abs=0.02)
    assert (fitted.unsure_from, fitted.answered_from) == (SHIPPED.unsure_from, SHIPPED.answered_from)


@pytest.mark.parametrize("count", [20, 50, 200, 1_000])
@pytest.mark.parametrize("certain", [False, True])
def test_a_fit_to_questions_that_say_the_opposite_makes_the_penalised_loss_least_too(count: int, certain: bool) -> None:
    examples = drawn(count, count, CONTRARY, certain=certain)
    assert weights_of(fit(examples, SHIPPED)) == pytest.approx(by_scipy(examples, SHIPPED, 1.0), abs=0.05)


def test_signals_that_never_change_keep_their_weight() -> None:
    examples = [replace(one, signals=replace(one.signals, lacks_kind=0.0)) for one in drawn(60, 1)]
    fitted = fit(examples, SHIPPED)
    assert (fitted.mixed["lacks_kind"], fitted.alike["lacks_kind"]) == (
        SHIPPED.mixed["lacks_kind"],
        SHIPPED.alike["lacks_kind"],
    )


def test_with_few_questions_weights_stay_near_and_with_many_they_go_where_these_lead() -> None:
    other = {"passage": -3.0, "sentence": 0.0, "constant": -1.0}
    truth = replace(SHIPPED, mixed={**SHIPPED.mixed, **other}, alike={**SHIPPED.alike, **other})
    way = weights_of(truth) - weights_of(SHIPPED)
    gone = [
        float((weights_of(fit(drawn(count, 5, truth), SHIPPED)) - weights_of(SHIPPED)) @ way / (way @ way))
        for count in (10, 100, 10_000)
    ]
    assert 0 < gone[0] < 0.5 < gone[1] < gone[2]
    assert gone[2] == pytest.approx(1, abs=0.1)
    fitted = fit(drawn(50_000, 5, truth), SHIPPED)
    for example in drawn(200, 6):
        assert fitted.confidence(example.signals) == pytest.approx(truth.confidence(example.signals), abs=0.1)


def test_no_question_is_judged_by_weights_that_were_fitted_with_it() -> None:
    """Its label turned over, everything else moves, and its own confidence does not."""
    examples = drawn(40, 3)
    before = cross_validated(examples, SHIPPED)
    for number in range(0, 40, 5):
        turned = list(examples)
        turned[number] = replace(examples[number], answerable=not examples[number].answerable)
        after = cross_validated(turned, SHIPPED)
        assert after[number] == before[number]
        assert (after != before).any()


def test_a_question_asked_twice_is_judged_by_weights_fitted_without_either() -> None:
    examples = drawn(40, 4)
    examples += [replace(examples[0], question=examples[0].question.upper())]
    before = cross_validated(examples, SHIPPED)
    turned = [*examples[:-1], replace(examples[-1], answerable=not examples[-1].answerable)]
    assert cross_validated(turned, SHIPPED)[0] == before[0]


def test_each_question_is_judged_by_weights_fitted_to_the_other_parts() -> None:
    examples = drawn(60, 6)
    part = [zlib.crc32(example.question.encode()) % 5 for example in examples]
    assert set(part) == set(range(5))
    for number in (0, 17, 59):
        others = [one for one, its in zip(examples, part, strict=True) if its != part[number]]
        expected = fit(others, SHIPPED).confidence(examples[number].signals)
        assert cross_validated(examples, SHIPPED)[number] == pytest.approx(expected)


def test_one_question_alone_is_judged_by_the_weights_there_were() -> None:
    [one] = drawn(1, 7)
    assert cross_validated([one], SHIPPED)[0] == SHIPPED.confidence(one.signals)


# --- the figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_are_those_of_scikit_learn(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sure = np.round(chance.uniform(size=200), 2)  # some the same
    labels = (chance.uniform(size=200) < sure).astype(float)
    assert auroc(sure, labels) == pytest.approx(metrics.roc_auc_score(labels, sure))
    inside = np.clip(sure, 0.01, 0.99)
    assert log_loss(inside, labels) == pytest.approx(metrics.log_loss(labels, inside))
    gap = 0.0
    for number in range(10):
        held = [index for index in range(200) if min(int(sure[index] * 10), 9) == number]
        gap += abs(sum(float(sure[index] - labels[index]) for index in held)) / 200
    assert calibration_error(sure, labels) == pytest.approx(gap)


def test_the_figures_of_plain_cases() -> None:
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    labels = np.array([1.0, 0.0])
    assert (auroc(right, labels), auroc(wrong, labels), auroc(np.array([0.5, 0.5]), labels)) == (1.0, 0.0, 0.5)
    assert (calibration_error(right, labels), calibration_error(wrong, labels)) == (0.0, 1.0)
    assert log_loss(np.array([0.5, 0.5]), labels) == pytest.approx(math.log(2))
    assert 10 < log_loss(wrong, labels) < math.inf


# --- recalibrate ------------------------------------------------------------------------------------------------------


def of_each(answerable: int, others: int) -> list[Example]:
    pool = drawn(400, 8)
    return [one for one in pool if one.answerable][:answerable] + [one for one in pool if not one.answerable][:others]


@pytest.mark.parametrize("answerable, others", [(0, 0), (4, 30), (30, 4), (0, 30), (30, 0), (1, 1)])
def test_too_few_questions_of_either_kind_are_refused_in_one_line(answerable: int, others: int) -> None:
    with pytest.raises(CalibrationError) as caught:
        recalibrate(of_each(answerable, others), SHIPPED)
    message = str(caught.value)
    assert "\n" not in message
    assert f"at least {FEWEST} questions" in message
    assert message.endswith(f"of one kind there are {min(answerable, others)}")


def test_five_of_each_are_enough() -> None:
    result = recalibrate(of_each(FEWEST, FEWEST), SHIPPED)
    assert (result.questions, result.answerable) == (10, 5)


def test_both_figures_are_of_the_questions_that_were_given() -> None:
    examples = drawn(120, 9)
    result = recalibrate(examples, NOTHING)
    labels = table(examples)[1]
    before = np.array([NOTHING.confidence(example.signals) for example in examples])
    after = cross_validated(examples, NOTHING)
    for number, sure in enumerate((before, after)):
        assert result.log_loss[number] == pytest.approx(log_loss(sure, labels))
        assert result.error[number] == pytest.approx(calibration_error(sure, labels))
        assert result.auroc[number] == pytest.approx(metrics.roc_auc_score(labels, sure))
    assert result.fitted == fit(examples, NOTHING)
    assert result.better


def test_it_is_better_only_where_unseen_questions_surprise_less() -> None:
    noise = [replace(one, answerable=number % 2 == 0) for number, one in enumerate(drawn(20, 10))]
    for examples in (noise, drawn(40, 11), drawn(300, 12, CONTRARY)):
        result = recalibrate(examples, NOTHING)
        assert result.better == (result.log_loss[1] < result.log_loss[0])
    assert not recalibrate(noise, NOTHING).better


# --- examples ---------------------------------------------------------------------------------------------------------


def test_an_example_has_the_signals_that_an_answer_explains(bot: Bot) -> None:
    question = "How fast may a boat go in the harbour?"
    example = example_of(question, True, bot.snapshot, bot.encoder)
    explanation = bot.ask(question, explain=True).explanation
    assert example is not None and explanation is not None
    assert {name: getattr(example.signals, name) for name in SIGNALS} == explanation.signals
    assert (example.question, example.answerable) == (question, True)


def test_where_a_list_is_looked_through_there_is_no_example(shipped: Bot) -> None:
    assert example_of("Is Kenya a WeProtect member?", True, shipped.snapshot, shipped.encoder) is None


# --- an operator's own ------------------------------------------------------------------------------------------------

OWN = {"mixed": dict(SHIPPED.mixed), "alike": dict(SHIPPED.alike), "unsure_from": 0.2, "answered_from": 0.7}


def changed(**more: object) -> bytes:
    return json.dumps({**OWN, **more}).encode()


def with_weight(value: object, name: str = "margin") -> bytes:
    return changed(mixed={**SHIPPED.mixed, name: value})


#: What a damaged or hostile file may hold.
WRONG: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"weights = 1",
    "half of it": changed()[:-20],
    "something after it": changed() + b"}",
    "NUL bytes": b"\0" * 100,
    "not UTF-8": b"\xff\xfe{",
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "200,000 lists in each other": b"[" * 200_000,
    "10 MB of text": b'{"mixed": "' + b"x" * 10_000_000 + b'"}',
    "10 MB of keys": changed(alike={f"key {number}": 1 for number in range(500_000)}),
    "no thresholds": json.dumps({"mixed": OWN["mixed"], "alike": OWN["alike"]}).encode(),
    "no weights": b'{"unsure_from": 0.3, "answered_from": 0.5}',
    "one set of weights": json.dumps({name: value for name, value in OWN.items() if name != "alike"}).encode(),
    "weights as they were once": json.dumps(
        {"weights": OWN["mixed"], "unsure_from": 0.2, "answered_from": 0.7}
    ).encode(),
    "a weight too few": changed(alike={name: 1.0 for name in WEIGHED[:-1]}),
    "a weight too many": with_weight(1.0, "bm25"),
    "another weight": changed(alike={("other" if name == "margin" else name): 1.0 for name in WEIGHED}),
    "a weight that is null": with_weight(None),
    "a weight that is a list": with_weight([1.0]),
    "a weight that is text": with_weight("many"),
    "a weight that is NaN": with_weight(math.nan),
    "a weight that is infinite": with_weight(math.inf),
    "a weight that is minus infinite": with_weight(-math.inf),
    "a weight beyond any float": with_weight(0).replace(b'"margin": 0', b'"margin": 1e999'),
    "a weight of 5,000 digits": with_weight(0).replace(b'"margin": 0', b'"margin": ' + b"9" * 5_000),
    "a threshold below 0": changed(unsure_from=-0.1),
    "a threshold above 1": changed(answered_from=1.5),
    "thresholds crossed": changed(unsure_from=0.8, answered_from=0.2),
    "a threshold that is NaN": changed(unsure_from=math.nan),
    "a threshold that is infinite": changed(answered_from=math.inf),
    "a threshold that is text": changed(answered_from="high"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_calibration_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "calibration.json").write_bytes(WRONG[name])
    with pytest.raises(CalibrationError, match=r"calibration\.json' cannot be read: remove it") as caught:
        load_calibration(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_folder_of_that_name_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").mkdir()
    with pytest.raises(CalibrationError, match="cannot be read: remove it"):
        load_calibration(tmp_path)


@pytest.mark.parametrize("size", [1e3, 1e300, -1e3, -1e300])
def test_a_huge_weight_is_refused_or_still_gives_a_probability(tmp_path: Path, size: float) -> None:
    (tmp_path / "calibration.json").write_bytes(
        changed(mixed=dict.fromkeys(WEIGHED, size), alike=dict.fromkeys(WEIGHED, size))
    )
    try:
        found = load_calibration(tmp_path)
    except CalibrationError:
        return
    for value in (-1.0, 0.0, 0.5, 1.0):
        signals = Signals(**{**dict.fromkeys(SIGNALS, value), "likeness": 0.4})
        assert 0 <= found.confidence(signals) <= 1
        assert 0 <= found.confidence(replace(signals, passage=-value)) <= 1


def test_without_a_file_the_shipped_weights_are_in_use(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) == load_calibration(tmp_path / "none") == SHIPPED


def test_what_is_kept_comes_back_and_leaves_nothing_else(tmp_path: Path) -> None:
    own = replace(SHIPPED, unsure_from=0.2, answered_from=0.7)
    for kept in (own, fit(drawn(50, 2), own)):
        save_calibration(kept, tmp_path)
        assert load_calibration(tmp_path) == kept
        assert [path.name for path in tmp_path.iterdir()] == ["calibration.json"]
    (tmp_path / "calibration.json").unlink()
    assert load_calibration(tmp_path) == SHIPPED


@pytest.mark.parametrize("blocked", ["calibration.json", "calibration.new"])
def test_where_it_cannot_be_kept_one_line_says_so(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).mkdir()
    with pytest.raises(CalibrationError, match="cannot be written"):
        save_calibration(SHIPPED, tmp_path)
    with pytest.raises(CalibrationError, match="cannot be written"):
        save_calibration(SHIPPED, tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == [blocked]
