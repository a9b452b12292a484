"""What each part of the search is worth, and what it costs.

``python -m tests.evaluation.ablation [QUESTIONS CORPUS | FOLDER] ...`` prints Markdown tables: nDCG@10 of every named
BEIR-style folder; and of every named file of labelled questions, each with the corpus that it is about, hit@1, hit@3,
hit@5, the share of rightly marked sentences, how many are answered (of those that the documents answer, of the others),
how many documents the passages shown are from, and the share of these that say what one before them says.
Each is given for the whole search and without each of its parts in turn, through the product's own index and search.
Last, the time of one question with the whole search and with dense and lexical search alone, both in this process: the
ratio of the medians of alternating rounds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median
from unittest.mock import patch

from bot import confidence, evaluate, lexical, lists, query, search
from bot.engine import Bot, build_index, load_encoder, open_bot
from bot.evaluate import (
    RankingSet,
    index_ranking_set,
    judge_questions,
    load_questions,
    load_ranking_set,
    score_questions,
    score_ranking,
)
from bot.lexical import READINGS, read_terms
from bot.question import Kind, asks_for
from bot.settings import load_settings
from bot.snapshot import Snapshot
from bot.types import Encoder, Passage

#: Which of the five scores, in their order, a part is.
_SCORES = {
    "the best sentence": (1,),
    "the passages around": (3, 4),
    "lexical search": (2, 4),
    "dense search": (0, 1, 3),
}

#: What is put in the place of a part to leave it out: module, name, what instead.
_OTHERS: Mapping[str, tuple[object, str, object]] = {
    "mending misspelt words": (query, "_mended", lambda *_: None),
    "looking names up in lists": (query, "look_up", lambda *_: None),
    "the kind of thing that is asked for": (query, "asks_for", lambda *_: None),
    "numbers, dates and hyphens in both forms (of the question)": (lexical, "with_other_forms", lambda text: text),
}


def _asks_for_no_definition(text: str) -> Kind | None:
    kind = asks_for(text)
    return None if kind == "definition" else kind


#: The same of what makes no difference to the order of documents.
_OF_ANSWERS: Mapping[str, tuple[object, str, object]] = {
    "what is asked beyond the topic": (
        search._Sentences,
        "cosines_with",
        lambda its, _, number: its.cosines_of(number),
    ),
    "definitions": (query, "asks_for", _asks_for_no_definition),
    "names that no document has": (confidence, "_lacks_name", lambda *_: False),
    "what lists are about": (lists, "_rest", lambda *_: frozenset()),
    "one hit for what says the same": (search, "_say_the_same", lambda *_: False),
    "room for other documents": (search, "_spread", lambda ranked: [number for number, _, _ in ranked]),
    "telling other languages": (query, "language_of", lambda _: "en"),
}

_ROUNDS = 5


@contextmanager
def without(part: str) -> Iterator[None]:
    with ExitStack() as stack:
        if part in _SCORES:
            weights = search._WEIGHTS.copy()
            weights[list(_SCORES[part])] = 0
            stack.enter_context(patch.object(search, "_WEIGHTS", weights / weights.sum()))
        elif part in ("word pieces", "pairs of words"):
            left = {
                name: share for name, share in READINGS.items() if name != part.split()[0 if "pairs" in part else 1]
            }
            total = sum(left.values())
            stack.enter_context(
                patch.object(lexical, "READINGS", {name: share / total for name, share in left.items()})
            )
        elif part:
            module, name, instead = {**_OTHERS, **_OF_ANSWERS}[part]
            stack.enter_context(patch.object(module, name, instead))
        yield


def label(part: str) -> str:
    return f"without {part}" if part else "whole"


def table(rows: Mapping[str, list[str]], heads: list[str]) -> None:
    print("| | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def indexed(folder: Path) -> tuple[RankingSet, Snapshot, Encoder]:
    ranking = load_ranking_set(folder, next(folder.glob("queries_lastturn.jsonl"), None))
    settings = load_settings()
    encoder = load_encoder(settings, sample=[document.text for document in ranking.documents])
    return ranking, index_ranking_set(ranking, encoder, settings.passage_tokens), encoder


#: What is left out by ``without`` still tells what is shown twice.
_say_the_same = search._say_the_same


def _said_before(shown: Sequence[Passage]) -> int:
    return sum(any(_say_the_same(one, other) for other in shown[:number]) for number, one in enumerate(shown))


_HEADS = ("hit@1", "hit@3", "hit@5", "marked", "answered", "of the others", "documents", "said before")


def figures(path: Path, bot: Bot) -> list[str]:
    """What ``_HEADS`` says, for one file of questions."""
    judged = judge_questions(load_questions(path), bot)
    *_, total = score_questions(judged)
    right = [f"{value:.3f}" for value in (total.hit_at_1, total.hit_at_3, total.hit_at_5, total.marked)]
    answered = (
        [one.answer.status == "answered" for one in judged if one.question.answerable is answerable]
        for answerable in (True, False)
    )
    shown = [[cited.hit.passage for cited in one.answer.passages] for one in judged]
    documents = fmean(len({passage.document for passage in passages}) for passages in shown)
    said = sum(map(_said_before, shown)) / sum(map(len, shown))
    shares = (f"{fmean(some):.3f}" if some else "" for some in map(list, answered))
    return [*right, *shares, f"{documents:.2f}", f"{said:.3f}"]


def bare(question: str, snapshot: Snapshot, encoder: Encoder) -> None:
    """Dense and lexical search alone: words, BM25, one vector, the best hundred of each."""
    snapshot.vectors.nearest(encoder.encode_question(question)[0], 100)
    with patch.object(lexical, "READINGS", {"words": 1.0}):
        snapshot.lexical.search(read_terms([question], encoder.pieces)[0], 100)


def cost(questions: list[str], snapshot: Snapshot, encoder: Encoder) -> float:
    """The median time of a question answered whole, over that of dense and lexical search alone."""
    bot = Bot(encoder, snapshot)
    ours, theirs = [], []
    for question in questions * _ROUNDS:
        started = time.perf_counter()
        bot.ask(question)
        between = time.perf_counter()
        bare(question, snapshot, encoder)
        ours.append(between - started)
        theirs.append(time.perf_counter() - between)
    print(f"{len(snapshot.passages)} passages: {median(ours) * 1e3:.2f} ms, dense and lexical search alone "
          f"{median(theirs) * 1e3:.2f} ms, ratio {median(ours) / median(theirs):.2f}")  # fmt: skip
    return median(ours) / median(theirs)


def main() -> None:
    paths = [Path(argument) for argument in sys.argv[1:]]
    parts = ["", *_SCORES, "word pieces", "pairs of words", *_OTHERS]
    with tempfile.TemporaryDirectory() as work:
        sets, files = [], []
        while paths:
            first = paths.pop(0)
            if first.is_dir():
                sets.append(indexed(first))
                continue
            settings = load_settings(corpus=paths.pop(0), index=Path(work) / first.stem)
            build_index(settings)
            files.append((first, open_bot(settings)))
        rows: dict[str, list[str]] = {}
        for part in parts if sets else []:
            with without(part), patch.object(evaluate, "_DEPTH", 60):  # enough for the best ten documents
                rows[label(part)] = [f"{score_ranking(*one)['ndcg@10']:.4f}" for one in sets]
        if sets:
            table(rows, [ranking.name for ranking, _, _ in sets])
        for path, bot in files:
            rows = {}
            for part in [*parts, *_OF_ANSWERS]:
                with without(part):
                    rows[label(part)] = figures(path, bot)
            table(rows, [f"{path.stem}: {_HEADS[0]}", *_HEADS[1:]])
        for ranking, snapshot, encoder in sets:
            cost(list(ranking.queries.values())[:50], snapshot, encoder)


if __name__ == "__main__":
    main()
