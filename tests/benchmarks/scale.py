"""How build time, disk, memory and answering grow with the number of passages: ``make bench-scale``.

The documents are real sentences of the shipped corpus put together anew, with a word of their own in each passage; the
vectors are the real vectors of sentences, moved by noise. All else is the product: the same splitter, files, index and
search. Each size is built and asked in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from bot.documents import read_corpus
from bot.engine import Bot, load_encoder
from bot.publish import publish
from bot.settings import load_settings
from bot.snapshot import current_id, open_snapshot
from bot.types import Block, Document, Embeddings, Encoder, Progress, Source
from tests.benchmarks.plot import growth_chart

AIM = 128  # tokens of a passage
_SENTENCES, _PASSAGES = 2, 50  # in a passage; in a document
_NOISE_ROWS, _NOISE = 1 << 16, 0.6
_ASKED = 300


class Moved:
    """The real encoder for questions; for passages and sentences, a real vector chosen by the text, moved by noise."""

    def __init__(self, real: Encoder, sentences: Sequence[str]) -> None:
        self.fingerprint, self.dim, self.max_tokens = f"{real.fingerprint} moved", real.dim, real.max_tokens
        self.count_tokens, self.pieces, self.encode_question = real.count_tokens, real.pieces, real.encode_question
        self._real, self._sentences = real, sentences
        noise = np.random.default_rng(0).standard_normal((_NOISE_ROWS, real.dim), dtype=np.float32)
        self._noise = noise * (_NOISE / math.sqrt(real.dim))

    @cached_property
    def _known(self) -> Embeddings:
        return self._real.encode_passages(self._sentences)

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        chosen = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.int64)
        rows = self._known[chosen % len(self._known)] + self._noise[chosen // 7 % _NOISE_ROWS]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.astype(np.float32)


def documents_of(sentences: Sequence[str], passages: int) -> Iterator[Document]:
    """Yield documents with about so many passages in all."""
    dice = random.Random(passages)
    for number in range(math.ceil(passages / _PASSAGES)):
        blocks, parts, length = [], [], 0
        for place in range(min(_PASSAGES, passages - number * _PASSAGES)):
            heading = f"Note {number}-{place}"
            words = " ".join(dice.choices(sentences, k=_SENTENCES))
            text = f"{words} Filed under {dice.choice(_SYLLABLES)}{dice.choice(_SYLLABLES)}{dice.choice(_SYLLABLES)}."
            for kind, part in (("heading", heading), ("paragraph", text)):
                blocks.append(Block("heading", length, length + len(part), 2) if kind == "heading"
                              else Block("paragraph", length, length + len(part)))  # fmt: skip
                parts.append(part)
                length += len(part) + 2
        name = f"d{number:07}.md"
        yield Document(name, f"{number:064x}", Source(f"Document {number}"), "\n\n".join(parts), tuple(blocks))


_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]


def material() -> tuple[list[str], list[str], Encoder]:
    """Return the shipped corpus' sentences, its questions, and the encoder."""
    settings = load_settings()
    corpus = read_corpus(settings.corpus)
    texts = {block.kind: [] for document in corpus.documents for block in document.blocks}  # type: ignore[var-annotated]
    for document in corpus.documents:
        for block in document.blocks:
            texts[block.kind].append(document.text[block.start : block.end])
    sentences = [part.strip() + "." for text in texts["paragraph"] for part in text.split(". ") if len(part) > 30]
    questions = [question for document in corpus.documents for question in document.questions]
    return [sentence.replace("..", ".") for sentence in sentences], questions, load_encoder(settings, sentences)


def build(passages: int, index: Path) -> dict[str, float]:
    """Build a snapshot; return its figures."""
    sentences, _, real = material()
    encoder = Moved(real, sentences)
    documents = list(documents_of(sentences, passages))
    started = time.perf_counter()
    publish(documents, encoder, index, aim=AIM)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (index / "snapshots").rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"build_s": seconds, "disk_mb": size / 1e6, "build_peak_mb": peak / 1e6}


def ask(index: Path) -> dict[str, float | str]:
    """Open a snapshot and ask; return its figures."""
    sentences, questions, real = material()
    encoder = Moved(real, sentences)
    started = time.perf_counter()
    snapshot = open_snapshot(index, current_id(index), encoder, aim=AIM)
    opened = time.perf_counter() - started
    bot = Bot(encoder, snapshot)
    dice = random.Random(1)
    asked = [dice.choice(questions) + " " + dice.choice(sentences)[:60] for _ in range(_ASKED)]
    for question in asked[:30]:
        bot.ask(question)
    times = []
    for question in asked:
        began = time.perf_counter()
        bot.ask(question)
        times.append(time.perf_counter() - began)
    return {
        "passages": len(snapshot.passages), "open_s": opened, "resident_mb": _resident() / 1e6,
        "p50_ms": float(np.quantile(times, 0.5)) * 1e3, "p99_ms": float(np.quantile(times, 0.99)) * 1e3,
        "recall@10": _recall(bot, asked[:100]), "index": str(snapshot.manifest.choice.factory),
    }  # fmt: skip


def _recall(bot: Bot, asked: Sequence[str]) -> float:
    """The share of the ten nearest passages, by comparing with all, that the index names."""
    vectors = bot.snapshot.vectors
    questions = np.concatenate([bot.encoder.encode_question(question) for question in asked])
    best = np.full((len(asked), 10), -np.inf, dtype=np.float32)
    rows = np.zeros((len(asked), 10), dtype=np.int64)
    for start in range(0, len(vectors), 50_000):
        scores = questions @ vectors.of(slice(start, start + 50_000)).T
        found = np.hstack([rows, np.tile(np.arange(scores.shape[1]) + start, (len(asked), 1))])
        scores = np.hstack([best, scores])
        order = np.argpartition(-scores, 10, axis=1)[:, :10]
        best, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)
    hits = [len(np.intersect1d(vectors.nearest(one, 10), its)) for one, its in zip(questions, rows, strict=True)]
    return sum(hits) / rows.size


def _resident() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return float(line.split()[1]) * 1024
    return 0.0


def in_process(step: str, size: int, index: Path) -> dict[str, float | str]:
    """Run a step alone, so that its memory is its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.scale",
        "--step",
        step,
        "--sizes",
        str(size),
        "--index",
        str(index),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return figures


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power of the size that values grow with: the slope of a line through both logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5, 1e6])
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/SCALE.md"))
    parser.add_argument("--chart", type=Path, default=Path(".readme/scale.svg"))
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=("build", "ask"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(json.dumps(build(int(chosen.sizes[0]), chosen.index) if chosen.step == "build" else ask(chosen.index)))
        return
    found: list[dict[str, float | str]] = []
    for size in map(int, chosen.sizes):
        home = Path(tempfile.mkdtemp(prefix="signpost-scale-"))
        try:
            found.append(in_process("build", size, home) | in_process("ask", size, home))
        finally:
            shutil.rmtree(home)
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    chosen.out.write_text(page(found), encoding="utf-8")
    chosen.chart.write_text(growth_chart(found, _SHOWN), encoding="utf-8")
    print(page(found))


_SHOWN = {
    "build_s": "build, s", "build_peak_mb": "memory to build, MB", "disk_mb": "on disk, MB", "open_s": "open, s",
    "resident_mb": "memory to serve, MB", "p50_ms": "p50, ms", "p99_ms": "p99, ms",
}  # fmt: skip


def page(found: Sequence[dict[str, float | str]]) -> str:
    """Return the figures as a page of Markdown."""
    sizes = [float(one["passages"]) for one in found]
    lines = [
        "# How it grows", "", "Made by `make bench-scale`; see `tests/benchmarks/scale.py` for what is measured.", "",
        "| | " + " | ".join(f"{size:,.0f}" for size in sizes) + " | grows with the power |",
        "|---|" + "---:|" * (len(sizes) + 1),
    ]  # fmt: skip
    for key, name in _SHOWN.items():
        values = [float(one[key]) for one in found]
        power = f"{exponent(sizes, values):.2f}" if len(found) > 1 else ""
        lines.append(f"| {name} | " + " | ".join(f"{value:,.1f}" for value in values) + f" | {power} |")
    lines.append("| recall@10 against exact | " + " | ".join(f"{one['recall@10']:.3f}" for one in found) + " | |")
    lines.append("| index | " + " | ".join(str(one["index"]) for one in found) + " | |")
    ratio = float(found[-1]["p50_ms"]) / float(found[0]["p50_ms"])
    return "\n".join([*lines, "", f"p50 at the last size against the first: {ratio:.2f}", ""])


if __name__ == "__main__":
    main()
