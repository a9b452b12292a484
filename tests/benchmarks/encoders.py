"""The encoders alone, without search and HTTP: the floor for questions, and ours against torch for passages."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.pool import Pool, ThreadPool
from typing import Protocol

import numpy as np

from bot.encoder import Prefixes, TorchEncoder
from bot.model import find_model
from bot.types import Document, Embeddings, Encoder
from tests.benchmarks.data import SETTINGS, our_encoder

CORES = os.cpu_count() or 1

#: Words of a passage, and passages, for embedding.
_WORDS, _PASSAGES = 120, 256


class _Barrier(Protocol):
    def wait(self) -> int: ...


class _Worker:
    """What a worker of a pool holds."""

    encoder: Encoder
    barrier: _Barrier


def _load(torch: bool, barrier: _Barrier) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the process stops it
    _Worker.encoder = TorchEncoder(find_model(SETTINGS), Prefixes()) if torch else our_encoder(())
    _Worker.barrier = barrier


def _ask(job: tuple[Sequence[str], float]) -> float:
    """Encode questions for some seconds, beginning when all workers do; return how many a second."""
    questions, seconds = job
    _Worker.barrier.wait()
    started = time.perf_counter()
    for number, question in enumerate(cycle(questions)):
        if time.perf_counter() - started > seconds:
            return number / (time.perf_counter() - started)
        _Worker.encoder.encode_question(question)
    return 0.0


def _embed(texts: Sequence[str]) -> tuple[float, Embeddings]:
    started = time.perf_counter()
    rows = _Worker.encoder.encode_passages(texts)
    return len(texts) / (time.perf_counter() - started), rows


@contextmanager
def _workers(count: int, *, torch: bool = False) -> Iterator[Pool]:
    context = get_context("spawn")
    with context.Pool(count, _load, (torch, context.Barrier(count))) as pool:
        yield pool


class Floor:
    """The encoder of questions in a loop, on all cores."""

    def __init__(self, processes: Pool, threads: Pool) -> None:
        self._pools = {"processes": processes, "threads": threads}

    def rates(self, questions: Sequence[str], seconds: float) -> dict[str, float]:
        """Return questions per second, by what the cores are used with."""
        jobs = [(questions, seconds)] * CORES
        return {name: sum(pool.map(_ask, jobs, chunksize=1)) for name, pool in self._pools.items()}


@contextmanager
def floor() -> Iterator[Floor]:
    with _workers(CORES) as processes, ThreadPool(CORES, _load, (False, threading.Barrier(CORES))) as threads:
        yield Floor(processes, threads)


class Embedding:
    """Passages of equal length, to be embedded by ours and by torch."""

    def __init__(self, documents: Sequence[Document], ours: Pool, torch: Pool) -> None:
        words = [word for document in documents[: _PASSAGES * 4] for word in document.text.split()]
        cut = [" ".join(words[start : start + _WORDS]) for start in range(0, len(words) - _WORDS, _WORDS)]
        self._texts = list(islice(cycle(cut or [" ".join(words)]), _PASSAGES))
        self._pools = {"ours": ours, "torch": torch}

    def rates(self) -> tuple[dict[str, float], float]:
        """Return passages per second of both, and the mean cosine between their vectors."""
        told = {name: pool.apply(_embed, (self._texts,)) for name, pool in self._pools.items()}
        rows = [vectors for _, vectors in told.values()]
        return {name: rate for name, (rate, _) in told.items()}, float(np.mean(np.sum(rows[0] * rows[1], axis=1)))


@contextmanager
def embedding(documents: Sequence[Document]) -> Iterator[Embedding]:
    with _workers(1) as ours, _workers(1, torch=True) as torch:
        yield Embedding(documents, ours, torch)
