"""Haystack: a pipeline of embedder, embedding and BM25 retrievers and DocumentJoiner, behind FastAPI."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

from tests.benchmarks.rivals.wire import Build, Found, Passage, app_of, chosen, main

#: Passages that each half finds, of which the best are returned.
_CANDIDATES = 50


def load(model: str) -> Build:
    embedder = SentenceTransformersDocumentEmbedder(model=model, normalize_embeddings=True, progress_bar=False)
    embedder.warm_up()

    def build(passages: list[Passage], index: Path) -> None:
        store = InMemoryDocumentStore(return_embedding=False)
        documents = [Document(id=one.id, content=one.text) for one in passages]
        store.write_documents(embedder.run(documents=documents)["documents"])
        store.save_to_disk(str(index / "store.json"))

    return build


def app() -> FastAPI:
    model, index = chosen()
    store = InMemoryDocumentStore.load_from_disk(str(index / "store.json"))
    embedder = SentenceTransformersTextEmbedder(model=model, normalize_embeddings=True, progress_bar=False)
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(document_store=store, top_k=_CANDIDATES))
    pipeline.add_component("words", InMemoryBM25Retriever(document_store=store, top_k=_CANDIDATES))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("dense", "joiner")
    pipeline.connect("words", "joiner")
    pipeline.warm_up()

    def search(question: str, top_k: int) -> list[Found]:
        asked = {"embedder": {"text": question}, "words": {"query": question}, "joiner": {"top_k": top_k}}
        return [Found(id=one.id, text=one.content) for one in pipeline.run(asked)["joiner"]["documents"]]

    return app_of(search)


if __name__ == "__main__":
    main(load, "haystack_pipeline")
