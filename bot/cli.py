"""The command line: prints and exit codes; no logic.

Exit codes: 0 fine, 1 a fault (one line says which), 2 wrong usage or settings, 3 done but for files that could not be
read. With ``--json`` the object stands on one line, the last on standard output; all else goes to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import TextIOWrapper
from itertools import chain
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bot import __version__
from bot.errors import BotError, SettingsError
from bot.memory import allocate_together
from bot.scratch import scratch_folder
from bot.settings import Settings, load_settings

if TYPE_CHECKING:
    from bot.api.schemas import AnswerOut, PassageOut
    from bot.engine import Bot
    from bot.evaluate import Figures
    from bot.types import Progress as Told
    from bot.types import Turn

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

_out = Console(highlight=False, soft_wrap=False)
_err = Console(stderr=True, highlight=False)

CorpusFlag = Annotated[Path | None, typer.Option("--corpus", help="Folder with the documents.")]
IndexFlag = Annotated[Path | None, typer.Option("--index", help="Folder with the built snapshots.")]
ModelFlag = Annotated[str | None, typer.Option("--model", help="Embedding model: a name or a folder.")]


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # quotes hold what not every terminal can show
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:  # as where the disk is full that it prints to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try once more, and say so
        sys.exit(f"signpost: {error.strerror}")


#: Seconds after which a thread that works in Python lets in another that waits: the one that takes and sends must not
#: wait five thousandths of one, as is usual, for each step of each request.
_TURN_SECONDS = 0.0005

#: Files up to which each is listed; of more, those of which there is something to say.
_LISTED = 50


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Answers questions from a folder of documents by quoting them, with the exact source of every quote."""
    if version:
        print(__version__)
        raise typer.Exit


@contextlib.contextmanager
def _faults_in_one_line() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        _fail(error, 2)
    except BotError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(error: BotError, code: int) -> NoReturn:
    _err.print(Text(f"signpost: {error}", style="bold red"), soft_wrap=True)
    raise typer.Exit(code)


@app.command()
def index(
    corpus: CorpusFlag = None,
    index: IndexFlag = None,
    model: ModelFlag = None,
    index_factory: Annotated[
        str | None, typer.Option(help="FAISS index to build, as its index_factory names it")
    ] = None,
) -> None:
    """Read the documents and build what is asked; then show what was read, what was skipped, and why."""
    with _faults_in_one_line():
        complete = _build(load_settings(corpus=corpus, index=index, model=model, index_factory=index_factory))
    raise typer.Exit(0 if complete else 3)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], Told]]:
    """Show a bar on standard error while texts are embedded."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_err, transient=True) as bar:
        waiting = bar.add_task("loading the model", total=None)

        def encoding(total: int) -> Told:
            bar.update(waiting, description="embedding", total=total, completed=0)
            return lambda done: bar.update(waiting, completed=done)

        yield encoding


def _build(settings: Settings) -> bool:
    """Build the index and report on standard error; return whether every file could be read."""
    from bot.engine import build_index

    started = time.perf_counter()
    with _progress() as told:
        report = build_index(settings, told)

    many = len(report.files) > _LISTED
    table = Table(box=None, pad_edge=False)
    for column in ("file", "", "notes"):
        table.add_column(column, overflow="fold")
    styles = {"read": "green", "skipped": "yellow", "failed": "bold red"}
    listed = [file for file in report.files if not many or file.outcome != "read" or file.notes]
    for file in listed:
        table.add_row(Text(file.path), Text(file.outcome, style=styles[file.outcome]), Text("; ".join(file.notes)))
    if others := len(report.files) - len(listed):
        table.add_row(Text(f"{others:,} others"), Text("read", style=styles["read"]), Text())
    _err.print(table)
    for question in report.unanswered:
        _err.print(Text(f"no answer to the starter question: {question}", style="yellow"), soft_wrap=True)
    verb = "built" if report.built else "up to date:"
    failed = sum(file.outcome == "failed" for file in report.files)
    _err.print(
        Text(
            f"{verb} snapshot {report.snapshot[:12]} in {settings.index}: {report.documents} documents, "
            f"{report.passages} passages, {time.perf_counter() - started:.1f} s"
            + (f"; {failed} could not be read" if failed else "")
        ),
        soft_wrap=True,
    )
    return report.complete


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="What you want to know.")] = None,
    index: IndexFlag = None,
    model: ModelFlag = None,
    chat: Annotated[bool, typer.Option("--chat", help="Keep asking, one question in a line, until Ctrl-D.")] = False,
    top_k: Annotated[int, typer.Option("--top-k", min=1, max=20, help="Most passages to show.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print the API's reply.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show the scores, the words that matched and why.")
    ] = False,
) -> None:
    """Ask one question, or with --chat one after the other; the same answers as the API gives."""
    if question is None and not chat:
        raise typer.BadParameter("ask something, or use --chat", param_hint="QUESTION")
    with _faults_in_one_line():
        from bot.api.schemas import AnswerOut
        from bot.engine import open_bot
        from bot.types import Turn

        opened = open_bot(load_settings(index=index, model=model))

    def answered(text: str, turns: Sequence[Turn]) -> Turn:
        started = time.perf_counter()
        answer = opened.ask(text, turns=turns, top_k=top_k, explain=explain)
        reply = AnswerOut.of(answer, took_ms=(time.perf_counter() - started) * 1e3)
        if json:
            print(reply.model_dump_json(), flush=True)
        else:
            _show(reply)
        return Turn(answer.question, tuple(passage.id for passage in reply.passages))

    if chat:
        _converse(question, answered)
    else:
        with _faults_in_one_line():
            answered(str(question), ())


def _converse(question: str | None, answered: Callable[[str, Sequence[Turn]], Turn]) -> None:
    """Read questions until the input ends. One that is refused is said to be, and the conversation goes on."""
    from bot.errors import QuestionError

    turns: list[Turn] = []
    _err.print(Text("Ask in your own words. /alone asks the last question on its own, /new starts over, Ctrl-D ends."))
    for text in chain(filter(None, [question]), _lines()):
        if text == "/new":
            turns.clear()
            continue
        try:
            if text == "/alone":
                turns = [answered(turn.question, ()) for turn in turns[-1:]]
            else:
                turns.append(answered(text, turns))
        except QuestionError as error:
            _err.print(Text(f"{error}", style="yellow"), soft_wrap=True)


def _lines() -> Iterator[str]:
    """The lines that a person enters, those without anything on them left out."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            text = input().strip()
        except (EOFError, KeyboardInterrupt):
            return
        if text:
            yield text


def _show(reply: AnswerOut) -> None:
    """Print an answer for a person; colours and folding only where the terminal has them."""
    heads = {
        "answered": "Answer",
        "unsure": "This may answer your question; please check it against the source",
        "not_found": "These documents do not seem to answer this",
    }
    _out.print(Text(heads[reply.status], style="bold"), Text(f"(confidence {reply.confidence:.2f})", style="dim"))
    for changed in (*reply.corrections, *reply.expansions):
        _out.print(Text(f"Searched for “{changed.searched}” instead of “{changed.written}”."), soft_wrap=True)
    if reply.answer is not None:
        _out.print(Padding(Text(f"“{reply.answer.text}”", style="bold green"), (1, 2)))
    if reply.borrowed:
        _out.print(Text(f"Read together with what you asked before: {', '.join(reply.borrowed)}."), soft_wrap=True)
    for note in reply.notes:
        _out.print(Text(note, style="bold"), soft_wrap=True)
    if reply.answer is None and reply.unknown_words:
        _out.print(Text("The documents never use: " + ", ".join(reply.unknown_words)))
    if reply.passages:
        _out.print(Text("Sources" if reply.answer else "Nearest passages, which may not help", style="bold"))
    for number, passage in enumerate(reply.passages, 1):
        _show_passage(number, passage)
        if reply.explanation is not None:
            matched = ", ".join(reply.explanation.matched[number - 1]) or "none"
            _out.print(Text(f"   words that matched: {matched}", style="dim"), soft_wrap=True)
    if reply.explanation is not None:
        _out.print(Text("Why", style="bold"))
        for reason in reply.explanation.reasons:
            _out.print(Text(f"- {reason}"), soft_wrap=True)
        signals = ", ".join(f"{name} {value:.3f}" for name, value in reply.explanation.signals.items())
        _out.print(Text(f"  {signals}", style="dim"), soft_wrap=True)
    if reply.suggestions:
        _out.print(Text("Questions that the documents answer:", style="bold"))
        for suggestion in reply.suggestions:
            _out.print(Text(f"- {suggestion}"))


def _show_passage(number: int, passage: PassageOut) -> None:
    citation = passage.citation
    day = citation.updated or citation.published
    details = (citation.publisher, f"{day.day} {day:%B %Y}" if day else None, citation.links.source)
    _out.print(Text.assemble((f"{number}. ", "bold"), (citation.title, "bold"), (f"  {passage.id}", "dim")))
    if any(details):
        _out.print(Text("   " + " · ".join(filter(None, details)), style="dim"), soft_wrap=True)
    text = Text(passage.text)
    for span in passage.highlights:
        text.stylize("green", span.start, span.end)
    _out.print(Padding(text, (0, 3)))
    for other in passage.elsewhere:
        place = f"{other.document}#{other.start}-{other.end}"
        _out.print(Text.assemble("   Also in: ", other.title, (f"  {place}", "dim")), soft_wrap=True)
    if passage.scores is not None:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in passage.scores)
        _out.print(Text(f"   score {passage.score:.3f}: {scores}", style="dim"), soft_wrap=True)


@app.command()
def serve(
    corpus: CorpusFlag = None,
    index: IndexFlag = None,
    model: ModelFlag = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that answer; 0: one a core.")] = None,
    watch: Annotated[bool | None, typer.Option("--watch", help="Build again when the corpus changes.")] = None,
) -> None:
    """Build what is missing, then serve the API and the chat page until stopped."""
    with _faults_in_one_line(), contextlib.ExitStack() as stack:
        settings = load_settings(
            corpus=corpus, index=index, model=model, host=host, port=port, workers=workers, watch=watch
        )
        if settings.processes > 1:  # before prometheus_client is loaded, which counts for all of them then
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(stack.enter_context(scratch_folder()))
        for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # questions are answered side by side instead
            os.environ.setdefault(threads, "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        sys.setswitchinterval(_TURN_SECONDS)
        allocate_together()

        from bot.api.app import create_app, in_use
        from bot.api.server import Server, shares_of
        from bot.api.workers import run_workers
        from bot.engine import is_built, open_bot

        if not is_built(settings):
            _build_apart(settings)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
        for noisy in ("httpx", "watchfiles"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        with _listen(settings.host, settings.port) as listening:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            address = f"http://{host}:{listening.getsockname()[1]}/"
            _err.print(Text(f"{settings.name}: {address}  (stop with Ctrl+C)"), soft_wrap=True)
            # uvicorn raises the signal that stopped it once more, after everything is answered: that is no fault.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            opened = partial(open_bot, settings)
            open_first = _shared(opened, partial(in_use, settings.index)) if settings.processes > 1 else opened
            service, shares = create_app(open_first, settings), shares_of(settings.processes)

            def answer(worker: int = 0) -> None:
                service.state.watches = worker == 0
                Server(service, listening, shares, worker).answer()

            if settings.processes > 1:
                run_workers(settings.processes, answer)
            else:
                answer()


def _shared(open_bot: Callable[[], Bot], in_use: Callable[[], str | None]) -> Callable[[], Bot]:
    """Open a bot at once, for all workers to begin with; each that opens one later opens its own.

    Where there is none, each is told the reason, which is not looked for again while the same snapshot is in use.
    """
    tried = in_use()
    first: list[Bot | BotError] = []
    try:
        first.append(open_bot())
    except BotError as error:
        first.append(error)

    def opened() -> Bot:
        found = first.pop() if first else open_bot()
        if not isinstance(found, BotError):
            return found
        if in_use() == tried:
            raise found
        return open_bot()

    return opened


def _build_apart(settings: Settings) -> None:
    """Build in a process of its own: what building needs of memory and threads is of no use to serving."""
    from bot.api.reindex import index_command, index_environment

    done = subprocess.run(index_command(settings), env=index_environment(), check=False)
    if done.returncode not in (0, 3):
        raise typer.Exit(done.returncode)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


@app.command()
def snapshots(index: IndexFlag = None) -> None:
    """List the snapshots on disk: the one in use first, then the others, newest first."""
    with _faults_in_one_line():
        from bot.snapshot import describe_snapshots

        table = Table(box=None, pad_edge=False)
        for column in ("snapshot", "", "built", "documents", "passages", "MB"):
            table.add_column(column)
        for one in describe_snapshots(load_settings(index=index).index):
            state = "in use" if one.in_use else ""
            counts = (str(one.documents), str(one.passages)) if one.sound else ("damaged", "")
            table.add_row(one.id[:12], state, f"{one.built:%Y-%m-%d %H:%M}", *counts, f"{one.size / 1e6:.1f}")
        _out.print(table)


@app.command()
def rollback(
    snapshot: Annotated[
        str | None, typer.Argument(help="First characters of its id; the one before if left out.")
    ] = None,
    index: IndexFlag = None,
    model: ModelFlag = None,
) -> None:
    """Put an older snapshot in use. It serves until the next `signpost index`, which builds from the corpus again."""
    with _faults_in_one_line():
        from bot.engine import roll_back

        name = roll_back(load_settings(index=index, model=model), snapshot)
        _out.print(Text(f"snapshot {name[:12]} is in use"))


@app.command("eval")
def evaluate(
    path: Annotated[Path, typer.Argument(help="A file of labelled questions, or a BEIR-style folder.")],
    corpus: CorpusFlag = None,
    index: IndexFlag = None,
    model: ModelFlag = None,
    queries: Annotated[Path | None, typer.Option("--queries", help="Another file of questions for the folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one object on the last line.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write a page (.html) with every question, worst first.")
    ] = None,
) -> None:
    """Measure: how often the right passage is found, and whether the confidence means what it says."""
    from bot.report import check_report_path, write_report

    with _faults_in_one_line():
        settings = load_settings(corpus=corpus, index=index, model=model)
        if report is not None:
            check_report_path(report)  # before the work, which can take long
        scores, page = _score_folder(path, queries, settings) if path.is_dir() else _score_file(path, settings)
        try:
            if report is not None:
                write_report(report, page())
                _err.print(Text(f"report written to {report}"), soft_wrap=True)
        finally:  # a report that cannot be written takes no figures with it
            _show_scores(scores, json)


def _show_scores(scores: Figures, json: bool) -> None:
    if json:
        print(dumps(scores))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in scores.items():
        if not isinstance(value, dict | list):
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    _out.print(table)
    for kind, shares in scores.get("kinds", {}).items():
        _out.print(Text(f"{kind}: " + ", ".join(f"{name} {share}" for name, share in shares.items())), soft_wrap=True)


def _score_folder(folder: Path, queries: Path | None, settings: Settings) -> tuple[Figures, Callable[[], str]]:
    """Return what is measured, and what makes the report of it."""
    from bot.engine import load_encoder
    from bot.evaluate import index_ranking_set, load_ranking_set, rank_questions, ranking_figures
    from bot.report import ranking_report

    ranking = load_ranking_set(folder, queries)
    encoder = load_encoder(settings, sample=(document.text for document in ranking.documents))
    with _progress() as told:
        snapshot = index_ranking_set(ranking, encoder, settings.passage_tokens, told)
    ranked = rank_questions(ranking, snapshot, encoder)
    scores = ranking_figures(ranking, ranked)
    return scores, lambda: ranking_report(scores, ranking, ranked)


def _score_file(path: Path, settings: Settings) -> tuple[Figures, Callable[[], str]]:
    """Return what is measured, and what makes the report of it."""
    from bot.engine import open_bot
    from bot.evaluate import judge_questions, load_questions, question_figures
    from bot.report import questions_report

    judged = judge_questions(load_questions(path), open_bot(settings))
    scores = question_figures(path.name, judged)
    return scores, lambda: questions_report(scores, judged)


@app.command()
def calibrate(
    path: Annotated[Path, typer.Argument(help="A file of labelled questions about your documents.")],
    index: IndexFlag = None,
    model: ModelFlag = None,
    json: Annotated[bool, typer.Option("--json", help="Print one object on the last line.")] = False,
) -> None:
    """Refit how sure an answer may be on your own questions; kept only where that is better."""
    with _faults_in_one_line():
        from bot.calibrate import calibration_file, example_of, recalibrate, save_calibration
        from bot.confidence import shipped_calibration
        from bot.engine import open_bot
        from bot.evaluate import load_questions

        settings = load_settings(index=index, model=model)
        bot = open_bot(settings, shipped_calibration())
        asked = (
            example_of(
                question.standalone or question.question,
                question.answerable,
                bot.snapshot,
                bot.encoder,
                languages=bot.languages,
            )
            for question in load_questions(path)
        )
        result = recalibrate([example for example in asked if example is not None], shipped_calibration())
        save_calibration(result.fitted if result.better else None, settings.index)
    place = calibration_file(settings.index)
    if json:
        figures = {"log_loss": result.log_loss, "expected_calibration_error": result.error, "auroc": result.auroc}
        rounded = {name: [round(value, 4) for value in pair] for name, pair in figures.items()}
        print(dumps({"questions": result.questions, "answerable": result.answerable, "kept": result.better, **rounded}))
        return
    table = Table("", "as shipped", "refitted", box=None, pad_edge=False)
    for name, (before, after) in (
        ("log loss, lower is better", result.log_loss),
        ("expected calibration error", result.error),
        ("AUROC", result.auroc),
    ):
        table.add_row(name, f"{before:.3f}", f"{after:.3f}")
    _out.print(table)
    _out.print(
        f"The weights fitted to {result.questions} questions are kept in {place}."
        if result.better
        else "The shipped weights are used: these questions make them no better.",
        soft_wrap=True,
    )


@app.command()
def doctor(corpus: CorpusFlag = None, index: IndexFlag = None, model: ModelFlag = None) -> None:
    """Check the installation, the model's hash, the settings and every byte of the snapshot; repair nothing."""
    from bot.doctor import examine

    with _faults_in_one_line():
        settings = load_settings(corpus=corpus, index=index, model=model)
    sound = True
    for finding in examine(settings):
        sound = sound and finding.sound
        mark = ("ok   ", "green") if finding.sound else ("FAULT", "bold red")
        _out.print(Text.assemble(mark, f"  {finding.text}"), soft_wrap=True)
    raise typer.Exit(0 if sound else 1)
