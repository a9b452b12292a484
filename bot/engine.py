"""The one object that the API, the command line and the evaluation share, and how it comes about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.answer import make_answer
from bot.calibrate import load_calibration
from bot.confidence import JUDGED, Calibration, shipped_calibration
from bot.conversation import in_context
from bot.documents import Corpus, FileReport, read_corpus
from bot.documents.canonical import line
from bot.documents.sandbox import sandbox
from bot.encoder import Prefixes
from bot.errors import EmptyQuestion, ModelError, QuestionTooLong, SnapshotDamaged, SnapshotError, SnapshotMissing
from bot.export import Export, find_export, make_export, open_export
from bot.language import ENGLISH
from bot.model import find_model
from bot.publish import publish, put_in_use
from bot.search import search
from bot.settings import MAX_QUESTION, Settings
from bot.snapshot import (
    Snapshot,
    built_by,
    check_builder,
    corpus_digest,
    current_id,
    open_snapshot,
    read_manifest,
    snapshot_ids,
)
from bot.types import Answer, Encoder, Filters, Progress, Turn
from bot.vectors import FLAT, chosen_factory

_log = logging.getLogger("signpost")

#: Starter questions that are shown at most.
_STARTERS = 4


@dataclass(frozen=True, slots=True)
class Bot:
    """An encoder, the snapshot it built, how sure it may be, and starter questions that this snapshot answers."""

    encoder: Encoder
    snapshot: Snapshot
    calibration: Calibration = field(default_factory=shipped_calibration)
    starters: tuple[str, ...] = ()
    languages: tuple[str, ...] = (ENGLISH,)

    def ask(
        self,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        top_k: int = 5,
        filters: Filters | None = None,
        explain: bool = False,
    ) -> Answer:
        """Answer from the snapshot; changes nothing, so threads may share a bot.

        :param question: at most 1,000 characters, with at least one letter or number.
        :param turns: the conversation so far, oldest first.
        :param top_k: most passages to return, 1 or more.
        :param explain: also say why the answer is as it is.
        :raises QuestionTooLong: before any work is spent on it.
        :raises EmptyQuestion: if there is nothing to look for.
        """
        if len(question) > MAX_QUESTION:
            raise QuestionTooLong(len(question), MAX_QUESTION)
        plain = line(question)
        if not any(character.isalnum() for character in plain):
            raise EmptyQuestion
        query = in_context(plain, turns, self.snapshot, self.encoder, self.languages)
        # as many as are judged, so that the confidence does not depend on how many are shown
        hits = search(query, self.snapshot, self.encoder, top_k=max(top_k, JUDGED), filters=filters)
        return make_answer(
            plain,
            query,
            hits,
            self.snapshot,
            top_k=top_k,
            calibration=self.calibration,
            starters=self.starters,
            explain=explain,
        )


def export_folder(settings: Settings) -> Path:
    """Return where exported models are kept."""
    return settings.encoder_folder or settings.index / "encoder"


def load_encoder(settings: Settings, sample: Iterable[str] | None = None) -> Encoder:
    """Load the encoder of the model that the settings name, as it was exported.

    :param sample: texts of the corpus, to check an export by; when given, a missing one is made.
    :raises ModelError: if the model is missing or not the one it should be, or was not exported yet.
    """
    model, prefixes = find_model(settings), _prefixes(settings)
    folder = export_folder(settings)
    export = find_export(model, folder)
    if export is None and sample is not None:
        export = make_export(model, folder, tuple(sample))
    return open_export(_exported(export, folder), model, folder, prefixes)


def _prefixes(settings: Settings) -> Prefixes:
    return Prefixes(settings.question_prefix, settings.passage_prefix)


def _exported(export: Export | None, folder: Path) -> Export:
    if export is None:
        raise ModelError(f"the model was not exported to {str(folder)!r} yet: run `signpost index`")
    return export


def is_built(settings: Settings) -> bool:
    """Whether there is something to open, sound or not.

    :raises ModelError: if the embedding model is missing or not the one it should be.
    """
    try:
        return (
            bool(snapshot_ids(settings.index))
            and find_export(find_model(settings), export_folder(settings)) is not None
        )
    except SnapshotMissing:
        return False


def open_bot(settings: Settings, calibration: Calibration | None = None) -> Bot:
    """Open the snapshot in use and the encoder that built it.

    A damaged snapshot is passed over for the newest sound one that is left; the log says so.

    :param calibration: used instead of the operator's own or the shipped one.
    :raises CalibrationError: if the operator's own cannot be read.
    :raises SnapshotMissing: if nothing was built yet.
    :raises SnapshotMismatch: if the settings now name another encoder or splitter than built it.
    :raises SnapshotDamaged: if no snapshot on disk is sound.
    :raises ModelError: if the embedding model is missing or not the one it should be.
    """
    names = snapshot_ids(settings.index)
    calibration = calibration or load_calibration(settings.index)
    model, folder = find_model(settings), export_folder(settings)
    export = _exported(find_export(model, folder), folder)
    expected = built_by(export.fingerprint(_prefixes(settings)), settings.passage_tokens)
    faults = []
    encoder = None
    for name in names:
        try:
            check_builder(read_manifest(settings.index, name), expected)  # before the model is loaded, which takes long
            encoder = encoder or open_export(export, model, folder, _prefixes(settings))
            snapshot = open_snapshot(settings.index, name, encoder, aim=settings.passage_tokens)
        except SnapshotDamaged as error:
            _log.error("%s", error)
            faults.append(error)
        else:
            return _with_starters(
                Bot(encoder, snapshot, calibration, languages=settings.languages),
                settings.suggestions,
            )
    raise faults[0]


def _with_starters(bot: Bot, chosen: Sequence[str]) -> Bot:
    """Keep the starter questions that are answered; without any chosen, the first of each document's own."""
    own = (record.questions[0] for record in bot.snapshot.documents.records if record.questions)
    starters: list[str] = []
    for question in chosen or own:
        if len(starters) < _STARTERS and bot.ask(question, top_k=1).status == "answered":
            starters.append(question)
    return replace(bot, starters=tuple(starters))


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What ``build_index`` did. ``unanswered`` are starter questions to which the new snapshot has no answer."""

    snapshot: str
    built: bool
    documents: int
    passages: int
    files: tuple[FileReport, ...]
    complete: bool
    unanswered: tuple[str, ...]


def build_index(settings: Settings, progress: Callable[[int], Progress] | None = None) -> IndexReport:
    """Read the corpus and put a snapshot of it in use, unless a sound one of the very same is.

    :param progress: told how many texts will be encoded; what it returns is told how many are done.
    :raises CorpusError: if no document can be read.
    :raises SnapshotError: if the snapshot cannot be written; the one in use stays in use.
    :raises ModelError: if the embedding model is missing or not the one it should be.
    """
    calibration = load_calibration(settings.index)
    model, folder = find_model(settings), export_folder(settings)
    export = find_export(model, folder)
    with sandbox() as readers:
        readers.start()  # while the model is loaded
        encoder = open_export(export, model, folder, _prefixes(settings)) if export else None
        snapshot = _current(settings, encoder) if encoder else None
        corpus = read_corpus(settings.corpus, snapshot.documents if snapshot else None, readers)
    encoder = encoder or load_encoder(settings, sample=_stretches(corpus))
    if snapshot is None or not _is_of(snapshot, corpus, settings):
        opened = None
        name = publish(
            corpus.documents,
            encoder,
            settings.index,
            aim=settings.passage_tokens,
            progress=progress,
            factory=settings.index_factory,
            before=snapshot,
        )
    else:
        opened, name = snapshot, snapshot.id
    wanted = (*settings.suggestions, *(question for document in corpus.documents for question in document.questions))
    unanswered: tuple[str, ...] = ()
    if wanted:  # only to ask them is what was built opened
        opened = opened or open_snapshot(settings.index, name, encoder, aim=settings.passage_tokens)
        bot = Bot(encoder, opened, calibration, languages=settings.languages)
        unanswered = tuple(question for question in wanted if bot.ask(question, top_k=1).status != "answered")
    manifest = read_manifest(settings.index, name)
    return IndexReport(
        snapshot=name,
        built=snapshot is None or name != snapshot.id,
        documents=manifest.documents,
        passages=manifest.passages,
        files=corpus.reports,
        complete=corpus.complete,
        unanswered=unanswered,
    )


def roll_back(settings: Settings, prefix: str | None = None) -> str:
    """Put an older snapshot in use and return its id.

    :param prefix: the first characters of its id; the newest before the one in use when ``None``.
    :raises SnapshotError: if there is no such snapshot, or it cannot be used.
    """
    now, *others = snapshot_ids(settings.index)
    wanted = [name for name in (now, *others) if name.startswith(prefix)] if prefix else others[:1]
    if len(wanted) != 1:
        raise SnapshotError(
            f"{len(wanted)} snapshots begin with {prefix!r}: `signpost snapshots` lists them"
            if prefix
            else "there is no older snapshot to go back to"
        )
    open_snapshot(settings.index, wanted[0], load_encoder(settings), aim=settings.passage_tokens)
    put_in_use(settings.index, wanted[0])
    return wanted[0]


def _stretches(corpus: Corpus) -> Iterator[str]:
    for document in corpus.documents:
        for block in document.blocks:
            if block.kind != "heading":
                yield document.text[block.start : block.end]


def _current(settings: Settings, encoder: Encoder) -> Snapshot | None:
    """The snapshot in use, if it is sound and what is set now would build it so."""
    try:
        return open_snapshot(settings.index, current_id(settings.index), encoder, aim=settings.passage_tokens)
    except SnapshotError:
        return None


def _is_of(snapshot: Snapshot, corpus: Corpus, settings: Settings) -> bool:
    """Whether building it again would make no difference, but for an exact index where nobody names one: it may have
    been built because cells find too little."""
    chosen = chosen_factory(len(snapshot.passages), snapshot.manifest.dim)
    factories = {settings.index_factory} if settings.index_factory else {chosen, FLAT}
    return snapshot.manifest.choice.factory in factories and snapshot.manifest.corpus == corpus_digest(corpus.documents)
