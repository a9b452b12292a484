"""The documents, the questions and the passages, the same for everybody; and where things are kept between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from ir_measures import Success, calc_aggregate, nDCG

from bot.documents import read_corpus
from bot.encoder import OnnxEncoder
from bot.engine import load_encoder
from bot.evaluate import RankingSet, cache_folder, load_ranking_set
from bot.model import find_model
from bot.passages import encoder_text, split
from bot.settings import load_settings
from bot.types import Document

#: Environments, indexes and logs. Safe to remove.
CACHE = cache_folder().with_name("bench")

#: The model is exported once, as it is installed once; no figure includes that.
SETTINGS = load_settings(encoder_folder=CACHE / "encoder")

MODEL = find_model(SETTINGS).folder


def load_set(folder: Path | None) -> RankingSet:
    """Read a BEIR-style folder; without one, the shipped documents and the questions that they say they answer."""
    if folder is not None:
        return load_ranking_set(folder)
    documents = read_corpus(SETTINGS.corpus).documents
    listed = {f"{one.id}?{number}": (text, one.id) for one in documents for number, text in enumerate(one.questions)}
    queries = {name: text for name, (text, _) in listed.items()}
    return RankingSet("corpus", documents, queries, {name: {document: 1} for name, (_, document) in listed.items()})


def our_encoder(documents: Sequence[Document]) -> OnnxEncoder:
    """Load the encoder that serves, exported first where that was not done yet."""
    return cast(OnnxEncoder, load_encoder(SETTINGS, sample=[one.text for one in documents]))


def passages_of(documents: Sequence[Document], encoder: OnnxEncoder) -> list[dict[str, str]]:
    """Cut documents as Signpost does; each passage with the text that its encoder reads, title and headings first."""
    return [
        {"id": passage.id, "text": encoder_text(document, passage, encoder)}
        for document in documents
        for passage in split(document, encoder, aim=SETTINGS.passage_tokens)
    ]


def first_documents(documents: tuple[Document, ...], encoder: OnnxEncoder, most: int) -> tuple[Document, ...]:
    """Return as many documents, from the first on, as hold at most so many passages together; at least one."""
    held = 0
    for number, document in enumerate(documents):
        held += len(passages_of([document], encoder))
        if held > most:
            return documents[: max(1, number)]
    return documents


def score(ranking: RankingSet, found: Mapping[str, Sequence[str]]) -> tuple[float, float]:
    """Return nDCG@10 and hit@1 of the documents found for each question, best first; a second mention adds nothing."""
    run = {name: {one: 1 / rank for rank, one in enumerate(dict.fromkeys(ids), 1)} for name, ids in found.items()}
    measured = calc_aggregate([nDCG @ 10, Success @ 1], {name: dict(ranking.qrels[name]) for name in found}, run)
    return float(measured[nDCG @ 10]), float(measured[Success @ 1])
