"""``python -m tests.benchmarks.ours INDEX DOCUMENTS [FOLDER]`` indexes the first documents of a set with Signpost.

Prints the seconds it took, from texts in memory to files on disk; the model was loaded before.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bot.publish import publish
from tests.benchmarks.data import SETTINGS, load_set, our_encoder


def main() -> None:
    index, count, *folder = sys.argv[1:]
    documents = load_set(Path(folder[0]) if folder else None).documents[: int(count)]
    encoder = our_encoder(documents)
    started = time.perf_counter()
    publish(documents, encoder, Path(index), aim=SETTINGS.passage_tokens)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
