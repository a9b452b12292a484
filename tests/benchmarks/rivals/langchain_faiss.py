"""LangChain: FAISS and BM25, joined by its EnsembleRetriever (reciprocal rank fusion), behind FastAPI."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import FastAPI
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings

from tests.benchmarks.rivals.wire import Build, Found, Passage, app_of, chosen, main

#: Passages that each half finds, of which the best are returned.
_CANDIDATES = 50


def _embeddings(model: str) -> HuggingFaceEmbeddings:
    return HuggingFaceEmbeddings(model_name=model, encode_kwargs={"normalize_embeddings": True})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def load(model: str) -> Build:
    embeddings = _embeddings(model)

    def build(passages: list[Passage], index: Path) -> None:
        documents = [Document(page_content=one.text, id=one.id, metadata={"id": one.id}) for one in passages]
        FAISS.from_documents(documents, embeddings).save_local(str(index))

    return build


def app() -> FastAPI:
    model, index = chosen()
    store = FAISS.load_local(str(index), _embeddings(model), allow_dangerous_deserialization=True)
    documents = [store.docstore.search(name) for name in store.index_to_docstore_id.values()]
    words = BM25Retriever.from_documents(documents, preprocess_func=_words, k=_CANDIDATES)
    dense = store.as_retriever(search_kwargs={"k": _CANDIDATES})
    both = EnsembleRetriever(retrievers=[words, dense], weights=[0.5, 0.5], id_key="id")

    def search(question: str, top_k: int) -> list[Found]:
        return [Found(id=one.metadata["id"], text=one.page_content) for one in both.invoke(question)[:top_k]]

    return app_of(search)


if __name__ == "__main__":
    main(load, "langchain_faiss")
