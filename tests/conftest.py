"""Real parts, made small: hand-written documents, a real FAISS index, the packaged model, a tiny real encoder."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch and faiss each bring an OpenMP of their own

import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from bot.engine import Bot, build_index, load_encoder, open_bot
from bot.lexical import read_terms
from bot.settings import Settings, load_settings
from bot.types import Answer, Embeddings, Encoder, Filters, Progress, Turn
from tests.battery.figures import long

if not long():  # the same examples each time: `make test` tells what a change did, `make soak` (D9) looks further
    hypothesis.settings.load_profile("ci")

REPOSITORY = Path(__file__).parent.parent

#: With these, Chromium runs without a display and asks nobody for anything.
ARGUMENTS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()

#: A small corpus of our own, in the shapes that real ones have.
FILES: Mapping[str, str] = {
    "harbour.md": """---
title: Harbour rules
publisher: Port Office
url: https://port.example/rules
updated: 2025-02-03
language: en
verbatim: true
questions:
  - "How fast may a boat go in the harbour?"
---

# Harbour rules

Boats may go at most 5 knots inside the harbour. Lights are switched on at dusk.

## Moorings

There are 42 moorings for visitors. The harbour master, Ida Brandt, gives them out each morning.

- Small boats lie at the north pier.
- Large boats lie at the south pier.
""",
    "ferry.txt": """Island ferry

The ferry sails twice a day from April to October. In winter it sails once a day, weather permitting.

Tickets

A return ticket costs 12 euros, and children under six travel free of charge.
""",
    "birds.html": """<html lang="en"><head><title>Birds of the island</title></head><body>
<nav><a href="/">Home</a></nav><h1>Birds of the island</h1>
<p>Puffins breed on the western cliffs from May to July.</p>
<p>The lighthouse keeper counted 310 pairs in 2023.</p></body></html>
""",
}


class Overheard(Bot):
    """A bot that does something of a test's with each question before it answers."""

    def overhear(self, question: str) -> None:
        raise NotImplementedError

    def ask(
        self,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        top_k: int = 5,
        filters: Filters | None = None,
        explain: bool = False,
    ) -> Answer:
        self.overhear(question)
        return Bot.ask(self, question, turns=turns, top_k=top_k, filters=filters, explain=explain)


class WordEncoder:
    """Counts words in ``dim`` hashed bins: shared words really do mean nearer vectors.

    Unlike random vectors, this lets a test say which passage *should* win; unlike a mock, it fails if its caller
    passes the wrong shape.
    """

    fingerprint = "words-v1"
    dim = 256
    max_tokens = 64

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|[^\w\s]", text)) + 2 for text in texts]

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        return [[zlib.crc32(word.encode()) for word in re.findall(r"\w+|[^\w\s]", text)] for text in texts]

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()) or ["nothing"]:
                row[zlib.crc32(word.encode()) % self.dim] += 1
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if progress is not None:
            progress(len(texts))
        return rows

    def encode_question(self, text: str) -> Embeddings:
        return self.encode_passages([text])


@pytest.fixture(scope="session")
def words() -> Encoder:
    return WordEncoder()


def pytest_configure(config: pytest.Config) -> None:
    """Export the model once for all tests, and keep it between runs as pytest keeps its own notes."""
    os.environ["SIGNPOST_ENCODER_FOLDER"] = str(config.cache.mkdir("encoder"))


@pytest.fixture(scope="session")
def model() -> Encoder:
    """The real packaged model."""
    return load_encoder(load_settings(), sample=FILES.values())


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def island(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a small corpus with a built index."""
    home = tmp_path_factory.mktemp("island")
    settings = load_settings(corpus=write_files(home / "corpus", FILES), index=home / "index")
    build_index(settings)
    return settings


@pytest.fixture(scope="session")
def bot(island: Settings) -> Bot:
    return open_bot(island)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """The bot on the corpus that the project ships."""
    settings = load_settings(corpus=REPOSITORY / "corpus", index=tmp_path_factory.mktemp("shipped"))
    build_index(settings)
    return open_bot(settings)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, closed with the module, as no second one and no asyncio loop can run beside it."""
    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Chromium: `apt-get install chromium`")
        pytest.skip("NO CHROMIUM WAS FOUND: the pages were not looked at in a browser; `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


def entries(names: Iterable[str], texts: Sequence[str], encoder: Encoder) -> list[tuple[str, str, str]]:
    """What the lexical index holds of passages, of which each has the name of its document."""
    read = zip(names, read_terms(texts, encoder.pieces), strict=True)
    return [(name, " ".join(terms.words), " ".join(terms.pieces)) for name, terms in read]
