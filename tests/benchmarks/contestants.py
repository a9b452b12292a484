"""Who is compared: how each is installed, builds its index, is started, is asked, and names the documents it found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bot.encoder import OnnxEncoder
from bot.snapshot import built_by
from bot.types import Document
from tests.benchmarks.data import CACHE, MODEL, SETTINGS, passages_of
from tests.benchmarks.processes import Asked, Server, free_port, serving

_RIVALS = Path(__file__).parent / "rivals"

#: Passages that are asked for.
TOP_K = 10

_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("SIGNPOST_")},
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "SIGNPOST_ENCODER_FOLDER": str(SETTINGS.encoder_folder),
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be indexed: the first ``documents`` of the set in ``folder`` (the shipped ones if ``None``).

    ``passages`` is a file with their passages, for who does not cut documents; it holds ``count``. ``encoder`` is the
    fingerprint of ours.
    """

    folder: Path | None
    documents: int
    passages: Path
    count: int
    encoder: str


def make_task(folder: Path | None, documents: tuple[Document, ...], encoder: OnnxEncoder, passages: Path) -> Task:
    """Write the passages of some documents to a file, for everybody."""
    cut = passages_of(documents, encoder)
    passages.write_text("".join(json.dumps(one) + "\n" for one in cut), encoding="utf-8")
    return Task(folder, len(documents), passages, len(cut), encoder.fingerprint)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A rival: a module below ``rivals``, and beside it what it requires."""

    name: str
    label: str
    module: str

    @property
    def versions(self) -> str:
        """Return what is installed, in one line."""
        return ", ".join(self._requirements.split())

    @property
    def _requirements(self) -> str:
        return (_RIVALS / f"{self.module}.txt").read_text()

    def _command(self, verb: str, index: Path, *rest: object) -> list[str]:
        python = CACHE / self.module / "bin" / "python"
        return [*map(str, (python, "-m", f"tests.benchmarks.rivals.{self.module}", verb, MODEL, index, *rest))]

    def _build(self, task: Task, index: Path) -> list[str]:
        return self._command("build", index, task.passages)

    def _serve(self, index: Path, port: int, workers: int) -> list[str]:
        return self._command("serve", index, port, workers or 1)

    def _made_of(self, task: Task) -> Iterator[str]:
        """What decides what an index holds."""
        yield from (self._requirements, (_RIVALS / f"{self.module}.py").read_text(), task.passages.read_text())

    def install(self) -> None:
        """Make the rival's environment, unless it was made of the same requirements before."""
        home = CACHE / self.module
        ready = home / ".ready"
        if ready.is_file() and ready.read_text() == self._requirements:
            return
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(_RIVALS / f"{self.module}.txt")], check=True)
        ready.write_text(self._requirements)

    def index(self, task: Task, *, rebuild: bool) -> Path:
        """Return the index of a task, built unless it was built of the same before."""
        digest = hashlib.sha256("\0".join(self._made_of(task)).encode()).hexdigest()[:16]
        index = CACHE / "indexes" / f"{self.name}-{digest}"
        if rebuild or not index.exists():
            shutil.rmtree(index, ignore_errors=True)
            half = index.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            self.build(task, half)
            half.rename(index)
        return index

    def build(self, task: Task, index: Path) -> float:
        """Build an index in a new folder; return passages per second, from texts in memory to files on disk."""
        index.mkdir(parents=True)
        command = self._build(task, index)
        told = subprocess.run(command, env=_ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True)
        return task.count / float(told.stdout.split()[-1])

    def serving(self, index: Path, question: str, workers: int) -> AbstractContextManager[Server]:
        """Run the server in some processes; it is there once it has answered the question.

        :param workers: 0 for as many as it starts by itself.
        """
        port, log = free_port(), CACHE / f"{self.name}.log"
        return serving(self._serve(index, port, workers), port, _ENVIRONMENT, self.asked(question), log)

    def asked(self, question: str) -> Asked:
        """Return the request for the best passages."""
        return Asked("/v1/ask", json.dumps({"question": question, "top_k": TOP_K}))

    def documents(self, reply: Any) -> list[str]:  # noqa: ANN401
        """Return the documents of the passages in a reply, best first."""
        return [_document(one) for one in reply["passages"]]


def _document(passage: dict[str, str]) -> str:
    return passage["id"].rpartition("#")[0]


class Txtai(Contestant):
    """Its own API, not ours."""

    def asked(self, question: str) -> Asked:
        return Asked(f"/search?{urlencode({'query': question, 'limit': TOP_K})}")

    def documents(self, reply: Any) -> list[str]:  # noqa: ANN401
        return [_document(one) for one in reply]


class Ours(Contestant):
    """Signpost as it is installed here, which cuts documents itself."""

    @property
    def versions(self) -> str:
        used = ("faiss-cpu", "fastapi", "numpy", "onnxruntime", "openvino", "tantivy", "tokenizers", "torch", "uvicorn")
        return ", ".join(f"{name}=={version(name)}" for name in ("signpost", *used))

    def install(self) -> None:
        """Nothing is to be done."""

    def _build(self, task: Task, index: Path) -> list[str]:
        folder = [] if task.folder is None else [task.folder]
        return [*map(str, (sys.executable, "-m", "tests.benchmarks.ours", index, task.documents, *folder))]

    def _serve(self, index: Path, port: int, workers: int) -> list[str]:
        flags = {"--index": index, "--port": port, "--workers": workers}
        return [sys.executable, "-m", "bot", "serve", *(str(part) for flag in flags.items() for part in flag)]

    def _made_of(self, task: Task) -> Iterator[str]:
        yield from (built_by(task.encoder, SETTINGS.passage_tokens).model_dump_json(), task.passages.read_text())

    def documents(self, reply: Any) -> list[str]:  # noqa: ANN401
        return [name for one in reply["passages"] for name in (_document(one), *_elsewhere(one))]


def _elsewhere(passage: dict[str, Any]) -> list[str]:
    return [other["document"] for other in passage["elsewhere"]]


CONTESTANTS = (
    Ours("ours", "Signpost", "ours"),
    Txtai("txtai", "txtai's API", "txtai_api"),
    Contestant("langchain", "LangChain + FAISS", "langchain_faiss"),
    Contestant("haystack", "Haystack's pipeline", "haystack_pipeline"),
)
