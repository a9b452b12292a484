"""What following a conversation is worth, and whether it harms a question that stands on its own.

    python -m tests.evaluation.conversation MTRAG_FOLDER ... --alone FOLDER ...

For each MTRAG folder (``queries.jsonl`` with histories, ``queries_lastturn.jsonl``, ``queries_rewrite.jsonl``):
nDCG@5 of the last questions alone, of the same in their conversations, and of what people rewrote them to. For each
folder after ``--alone``: nDCG@10 of its questions alone and after another of its questions, drawn at random, with its
passages.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

from bot.engine import load_encoder
from bot.evaluate import Figures, RankingSet, index_ranking_set, load_ranking_set, score_ranking
from bot.settings import load_settings

SEED = 20261122


def scored(ranking: RankingSet) -> Figures:
    settings = load_settings()
    encoder = load_encoder(settings, sample=[document.text for document in ranking.documents])
    return score_ranking(ranking, index_ranking_set(ranking, encoder, settings.passage_tokens), encoder)


def after_strangers(ranking: RankingSet) -> RankingSet:
    """The same questions, each after another one."""
    drawn = random.Random(SEED)
    texts = list(ranking.queries.values())
    history = {
        name: (drawn.choice([other for other in texts if other != text]),) for name, text in ranking.queries.items()
    }
    return replace(ranking, history=history)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("conversations", nargs="*", type=Path)
    arguments.add_argument("--alone", nargs="*", type=Path, default=[])
    given = arguments.parse_args()
    for folder in given.conversations:
        found = {
            kind: scored(load_ranking_set(folder, folder / f"{file}.jsonl"))["ndcg@5"]
            for kind, file in (
                ("alone", "queries_lastturn"),
                ("in its conversation", "queries"),
                ("rewritten", "queries_rewrite"),
            )
        }
        print(f"{folder.name}: nDCG@5", ", ".join(f"{kind} {value:.4f}" for kind, value in found.items()))
    for folder in given.alone:
        ranking = load_ranking_set(folder)
        alone, after = scored(replace(ranking, history={}))["ndcg@10"], scored(after_strangers(ranking))["ndcg@10"]
        print(
            f"{folder.name}: nDCG@10 alone {alone:.4f}, after a stranger's question {after:.4f} ({after - alone:+.4f})"
        )


if __name__ == "__main__":
    main()
