"""txtai: its own API server, told by a configuration which index to serve."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fastapi import FastAPI
from txtai import Embeddings
from txtai.api import app as api

from tests.benchmarks.rivals.wire import Build, Passage, chosen, main


def _config(model: str) -> dict[str, object]:
    return {"path": model, "hybrid": True, "content": True}


def load(model: str) -> Build:
    embeddings = Embeddings(_config(model))

    def build(passages: list[Passage], index: Path) -> None:
        embeddings.index((one.id, one.text, None) for one in passages)
        embeddings.save(str(index))

    return build


def app() -> FastAPI:
    model, index = chosen()
    os.environ["CONFIG"] = json.dumps({"path": str(index), "writable": False, "embeddings": _config(model)})
    return api  # type: ignore[no-any-return]


if __name__ == "__main__":
    main(load, "txtai_api")
