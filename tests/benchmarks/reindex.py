"""What one changed document costs: ``python -m tests.benchmarks.reindex FOLDER``.

The documents of a BEIR-style folder are dealt out to a thousand files; ``signpost index`` builds an index of them, and
builds it again after a sentence was added to one of them. Everything counts that the command does, from its start on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

from bot.snapshot import current_id, read_manifest
from tests.benchmarks.data import SETTINGS, load_set, our_encoder

_FILES, _CHANGES = 1_000, 5


def index(corpus: Path, folder: Path) -> float:
    """Run the command; return the seconds that it took."""
    environment = {
        **os.environ,
        "SIGNPOST_CORPUS": str(corpus),
        "SIGNPOST_INDEX": str(folder),
        "SIGNPOST_ENCODER_FOLDER": str(SETTINGS.encoder_folder),
    }
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bot", "index"], env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    documents = load_set(Path(sys.argv[1])).documents
    our_encoder(documents)  # exported before, as it is only once
    with tempfile.TemporaryDirectory() as work:
        corpus, folder = Path(work) / "corpus", Path(work) / "index"
        corpus.mkdir()
        files = [corpus / f"{number:04}.md" for number in range(min(_FILES, len(documents)))]
        for number, file in enumerate(files):
            own = (f"# {one.source.title}\n\n{one.text}\n" for one in islice(documents, number, None, len(files)))
            file.write_text("\n".join(own), encoding="utf-8")
        whole = index(corpus, folder)
        again = []
        for number in range(_CHANGES):
            with open(files[number * len(files) // _CHANGES], "a", encoding="utf-8") as changed:
                changed.write(f"\nOne more sentence, the number {number}.\n")
            again.append(index(corpus, folder))
        manifest = read_manifest(folder, current_id(folder))
    once = median(again)
    print(
        f"{len(files):,} documents, {manifest.passages:,} passages, {manifest.sentences:,} sentences: {manifest.choice}"
    )
    print(f"all: {whole:.1f} s; after one has changed: {once:.2f} s, {once / whole:.1%}")


if __name__ == "__main__":
    main()
