"""What the rivals share: a command line that builds and serves, and for two of them the question and reply over HTTP.

Each rival runs in an environment of its own, without Signpost, so nothing here imports ``bot``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Passage(NamedTuple):
    """What is indexed. ``text`` has title and headings in front, as our own encoder reads it."""

    id: str
    text: str


class Ask(BaseModel):
    question: str
    top_k: int = 10


class Found(BaseModel):
    id: str
    text: str


class Reply(BaseModel):
    passages: list[Found]


#: Writes an index of some passages into an empty folder.
Build = Callable[[list[Passage], Path], None]

#: Returns the best passages for a question, best first, at most as many as asked for.
Search = Callable[[str, int], list[Found]]


def app_of(search: Search) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/ask")
    def ask(body: Ask) -> Reply:
        return Reply(passages=search(body.question, body.top_k))

    return app


def chosen() -> tuple[str, Path]:
    """Return the folders of the model and of the index that are served."""
    return os.environ["SERVED_MODEL"], Path(os.environ["SERVED_INDEX"])


def main(load: Callable[[str], Build], module: str) -> None:
    """Do ``build MODEL INDEX PASSAGES`` or ``serve MODEL INDEX PORT WORKERS``.

    Building prints the seconds it took, from texts in memory to files on disk; the model was loaded before.

    :param module: whose ``app`` makes what is served.
    """
    verb, model, index, *rest = sys.argv[1:]
    if verb == "serve":
        os.environ |= {"SERVED_MODEL": model, "SERVED_INDEX": index}
        port, workers = map(int, rest)
        served = f"tests.benchmarks.rivals.{module}:app"
        uvicorn.run(
            served,
            factory=True,
            host="127.0.0.1",
            port=port,
            workers=workers,
            timeout_worker_healthcheck=60,  # importing torch takes longer than the five seconds of the default
            log_level="warning",
            access_log=False,
        )
        return
    passages = [Passage(**json.loads(line)) for line in Path(*rest).read_text(encoding="utf-8").splitlines()]
    build = load(model)
    started = time.perf_counter()
    build(passages, Path(index))
    print(time.perf_counter() - started)
