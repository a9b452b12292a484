"""Checks an installation from end to end and repairs nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from bot import __version__
from bot.calibrate import load_calibration
from bot.confidence import shipped_calibration
from bot.documents import read_corpus
from bot.engine import export_folder, load_encoder
from bot.errors import BotError, SnapshotDamaged, SnapshotMismatch
from bot.export import find_export
from bot.model import find_model
from bot.settings import Settings
from bot.snapshot import SCHEMA_VERSION, checked_files, corpus_digest, open_snapshot, read_manifest, snapshot_ids
from bot.types import Encoder
from bot.widget.assets import script_tag

_PACKAGES = ("sentence-transformers", "torch", "onnxruntime", "faiss-cpu", "tantivy", "fastapi", "uvicorn")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in one line; ``sound`` is false for a fault."""

    sound: bool
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield findings, from the installation to the snapshot; a fault does not stop what can still be looked at."""
    yield Finding(True, f"signpost {__version__}, Python {platform.python_version()}")
    for package in _PACKAGES:
        try:
            yield Finding(True, f"{package} {version(package)}")
        except PackageNotFoundError:
            yield Finding(False, f"{package} is not installed: pip install signpost")
    yield Finding(True, f"settings: {settings.model_dump_json()}")

    encoder: Encoder | None = None
    try:
        model = find_model(settings)
        yield Finding(True, f"model {settings.model}: weights have sha256 {model.sha256}")
        encoder = load_encoder(settings)
        yield Finding(True, f"{encoder.dim} dimensions; {find_export(model, export_folder(settings))}")
    except BotError as error:
        yield Finding(False, str(error))

    digest = ""
    try:
        corpus = read_corpus(settings.corpus)
        digest = corpus_digest(corpus.documents)
        yield Finding(True, f"corpus {settings.corpus}: {len(corpus.documents)} documents can be read")
        for report in corpus.reports:
            if report.outcome == "failed":
                yield Finding(False, f"{report.path}: {'; '.join(report.notes)}")
    except BotError as error:
        yield Finding(False, str(error))

    try:
        own = load_calibration(settings.index) != shipped_calibration()
        yield Finding(True, f"confidence: {'the calibration in the index folder' if own else 'as shipped'}")
    except BotError as error:
        yield Finding(False, str(error))

    yield Finding(True, f"the widget's tag: {script_tag('https://your.service')}")

    try:
        names = snapshot_ids(settings.index)
    except BotError as error:
        yield Finding(False, str(error))
        return
    for number, name in enumerate(names):
        role = "in use" if number == 0 else "kept"
        try:
            manifest = read_manifest(settings.index, name)
            if manifest.built_by.schema_version != SCHEMA_VERSION:
                raise SnapshotMismatch("format", str(manifest.built_by.schema_version), str(SCHEMA_VERSION))
            checked_files(settings.index, name, manifest)
            if encoder is not None:
                open_snapshot(settings.index, name, encoder, aim=settings.passage_tokens)
            size = sum(file.size for file in manifest.files.values())
            yield Finding(
                True,
                f"snapshot {name[:12]} ({role}): {manifest.documents} documents, {manifest.passages} passages, "
                f"{manifest.sentences} sentences, {manifest.choice}, {size / 1e6:.1f} MB, every byte as published",
            )
            if number == 0 and digest and manifest.corpus != digest:
                yield Finding(False, "the corpus has changed since the snapshot in use was built: run `signpost index`")
        except BotError as error:
            yield Finding(number > 0 and not isinstance(error, SnapshotDamaged), f"{error} ({role})")
