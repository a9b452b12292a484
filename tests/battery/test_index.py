"""The battery's cases A1 to A13 and B16: what no crash, fault of a disk, damage, change or want of memory may do to an
index."""

from __future__ import annotations

import errno
import gc
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.engine import Bot, build_index, open_bot
from bot.errors import IndexLocked
from bot.model import find_model
from bot.publish import publish
from bot.settings import Settings, load_settings
from bot.snapshot import Snapshot, corpus_digest, current_id, open_snapshot, snapshot_ids
from bot.types import Document, Encoder
from tests.battery.disk import (
    AIM,
    CHILDREN,
    build,
    build_on,
    build_when_told,
    build_within,
    document,
    in_child,
    open_mutants,
    open_within,
    opened,
    town,
)
from tests.battery.figures import dice, figure, long
from tests.conftest import FILES, REPOSITORY, WordEncoder, write_files
from tests.servers import exchange, request, serving, until
from tests.test_snapshot import files_but_lexical, forge, home, tree


def colours(snapshot: Snapshot, encoder: Encoder, questions: int = 50) -> set[str]:
    """Which colours the answers name; more than one is a mix, another word than a colour a wrong passage."""
    bot = Bot(encoder, snapshot)
    houses = len(snapshot.documents)
    found = set()
    for number in range(questions):
        house = number % houses
        [best] = bot.ask(f"Which colour has the door of house h{house}x?", top_k=1).passages
        right = best.hit.passage.document == f"{house:05}.txt"
        found.add(best.hit.passage.text.split(",")[0].split()[-1] if right else "wrong")
    digests = {corpus_digest(town(colour, houses)) for colour in found if colour != "wrong"}
    return found if digests == {snapshot.manifest.corpus} else {*found, "wrong digest"}


def leftovers(index: Path) -> list[Path]:
    return [*index.glob("snapshots/.*"), *index.glob(".current*")]


def built(folder: Path, houses: int) -> Path:
    """An index of two generations: blue is in use, and green was before."""
    for colour in ("green", "blue"):
        publish(town(colour, houses), WordEncoder(), folder, aim=AIM)
    return folder


# --- A1: killed while it builds ---------------------------------------------------------------------------------------


def test_a1_kill9_reindex(tmp_path: Path, words: Encoder) -> None:
    chance = dice("A1")
    index, houses = built(tmp_path / "index", 40), 40
    for _ in range(2):
        started = time.monotonic()
        assert in_child(build, index, "green", houses, True)
        whole = time.monotonic() - started
    runs, now, sound, most_left, killed = 200 if long() else 50, "green", 0, 0, 0
    for run in range(runs):
        then = "blue" if now == "green" else "green"
        heard, told = CHILDREN.Pipe(duplex=False)
        process = CHILDREN.Process(target=build, args=(index, then, houses, run % 2 == 0, told))
        process.start()
        time.sleep(chance.uniform(0, whole))
        process.kill()
        process.join()
        killed += process.exitcode != 0
        told.close()
        heard.close()
        [colour] = colours(opened(index, words), words)
        sound += colour in (now, then)
        most_left = max(most_left, len(leftovers(index)))
        now = colour
    publish(town(now, houses), words, index, aim=AIM)
    figure("A1", f"{runs} restarts that serve all of the old or all of the new", sound, sound == runs)
    figure("A1", "of them killed before they ended", killed, killed > runs / 4)
    figure("A1", "most leftovers at a time, 1 or less", most_left, most_left <= 1)
    figure("A1", "leftovers after the next build, 0", len(leftovers(index)), not leftovers(index))


@pytest.mark.long
def test_a1_opens_10_000_passages(tmp_path: Path, words: Encoder) -> None:
    publish(town("blue", 10_000), words, tmp_path, aim=AIM)
    started = time.monotonic()
    snapshot = opened(tmp_path, words)
    Bot(words, snapshot).ask("Which colour has the door of house h17x?")
    took = time.monotonic() - started
    figure("A1", "seconds until 10,000 passages answer, 5 or less", took, took <= 5 and len(snapshot.passages) >= 10**4)


# --- A2 and A3: every operation of a build, in a crash and in a fault -------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("small"), 3)


@pytest.fixture(scope="module")
def operations(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """What a build does to the disk, in order."""
    index = Path(shutil.copytree(small, tmp_path_factory.mktemp("operations") / "index"))
    done, message = in_child(build_on, index, town("red", 3), 0, "none", 0)
    assert message == ""
    assert Counter(what for what, _ in done)["fsync"] > 15
    assert ("rename", f".current-{done[-1][1]}") not in done
    return list(done)


def test_a2_syscall_sweep(tmp_path: Path, small: Path, operations: list[tuple[str, str]], words: Encoder) -> None:
    """Each crash is before an operation, in the middle of it if it is a write; and one is after the last."""
    seed = dice("A2").getrandbits(32)
    cases = sound = kept = 0
    for at in range(1, len(operations) + 2):
        place = tmp_path / str(at)
        index = Path(shutil.copytree(small, place / "index"))
        assert in_child(build_on, index, town("red", 3), at, "crash", seed + at) is None, "it did not crash"
        for left in ("index", "lost", "mixed"):
            cases += 1
            found = colours(opened(place / left, words), words, 3)
            sound += found in ({"blue"}, {"red"})
            kept += at > len(operations) and found == {"red"}
            if at % 4 == 0 or long():
                publish(town("green", 3), words, place / left, aim=AIM)
                assert colours(opened(place / left, words), words, 3) == {"green"}
                assert leftovers(place / left) == []
        shutil.rmtree(place)
    figure("A2", f"{cases} crashes that leave all of the old or all of the new", sound, sound == cases)
    figure("A2", "what was published stands after each of 3 crashes", kept, kept == 3)


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "EACCES", "short"])
def test_a3_ioerror_sweep(
    tmp_path: Path, small: Path, operations: list[tuple[str, str]], words: Encoder, fault: str
) -> None:
    """What fails before the new snapshot is pointed to is an error; a short write is made good. What cannot be removed
    of an older snapshot stays, and that is no error."""
    before = tree(small)
    old = f"snapshots/{current_id(small)}/"
    pointed = next(
        n for n, (what, name) in enumerate(operations, 1) if what == "rename" and name.startswith(".current")
    )
    cases = right = 0
    for at, (what, name) in enumerate(operations, 1):
        if fault == "short" and what != "write":
            continue
        index = Path(shutil.copytree(small, tmp_path / str(at)))
        _, message = in_child(build_on, index, town("red", 3), at, fault, 0)
        after = tree(index)
        untouched = all(after.get(path) == data for path, data in before.items() if path.startswith(old))
        [colour] = colours(opened(index, words), words, 3)
        cases += 1
        if message:
            said = "\n" not in message and str(index) in message and os.strerror(getattr(errno, fault)) in message
            right += said and untouched and (colour == "blue" or at > pointed) and not leftovers(index)
        else:
            harmless = fault == "short" or at > pointed or name in (".lock", "snapshots", "index")
            right += harmless and untouched and colour == "red"
        assert right == cases, f"operation {at}, {what} of {name}: {message!r}, {colour}"
        shutil.rmtree(index)
    figure("A3", f"{cases} x {fault}: one line that names file and cause, or made good; the live one as it was",
           right, right == cases)  # fmt: skip


# --- A4: a full disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "volume"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no volume can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a4_disk_full(volume: Path, words: Encoder) -> None:
    index, houses = volume / "index", 200
    publish(town("blue", houses), words, index, aim=AIM)

    def used() -> int:
        found = os.statvfs(volume)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    before, whole = tree(index), used()
    shares = np.linspace(0.02, 0.95, 60 if long() else 12)
    clean = back = 0
    for share in (0.2, *shares):  # the first is a volume of 1.2 times the index
        room = f"remount,size={whole + int(share * whole)}"
        subprocess.run(["mount", "-o", room, volume], check=True)
        message = in_child(build_within, index, houses, 0)
        clean += bool(message) and "\n" not in message and "No space left" in message and tree(index) == before
        back = max(back, abs(used() - whole))
        assert clean, f"at {share:.2f} of the room: {message!r}"
    figure("A4", f"{len(shares) + 1} clean failures, the live one as it was", clean, clean == len(shares) + 1)
    figure("A4", "bytes that were not given back, 1 MB or less", back, back <= 1e6)


def test_a4_files_that_may_not_grow(tmp_path: Path, words: Encoder) -> None:
    """As on a full disk, at each size that a file of the index has."""
    index, houses = tmp_path / "index", 200
    publish(town("blue", houses), words, index, aim=AIM)
    before = tree(index)
    sizes = sorted({len(data) for path, data in before.items() if data and path != "current"})
    sizes = sizes if long() else sizes[:: len(sizes) // 7]
    clean = 0
    for size in sizes:
        message = in_child(build_within, index, houses, size - 1)
        clean += bool(message) and "\n" not in message and "File too large" in message and tree(index) == before
        assert clean, f"{size}: {message!r}"
    figure("A4", f"{len(sizes)} clean failures where files may not grow", clean, clean == len(sizes))


# --- A5 to A7: damage -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generations(
    island: Settings, model: Encoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, str, str]]:
    """Settings of an index of two generations, the id in use, and the id before; the model stays loaded."""
    place = tmp_path_factory.mktemp("generations")
    corpus = write_files(place / "corpus", {**FILES, "quay.txt": "The old quay was built of granite in 1871."})
    settings = load_settings(corpus=corpus, index=Path(shutil.copytree(island.index, place / "index")))
    now = build_index(settings).snapshot
    [found, before] = snapshot_ids(settings.index)
    assert found == now
    found_model = find_model(settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bot.engine.open_export", lambda *_: model)
        patched.setattr("bot.engine.find_model", lambda _: found_model)
        yield settings, now, before


Damage = Callable[[random.Random, bytes], bytes]


def flipped(chance: random.Random, sound: bytes) -> bytes:
    at = chance.randrange(len(sound))
    return sound[:at] + bytes([sound[at] ^ 1 << chance.randrange(8)]) + sound[at + 1 :]


def flipped_early(chance: random.Random, sound: bytes) -> bytes:
    return flipped(chance, sound[:64]) + sound[64:]


def cut(chance: random.Random, sound: bytes) -> bytes:
    return sound[: chance.randrange(len(sound))]


def appended(chance: random.Random, sound: bytes) -> bytes:
    return sound + chance.randbytes(chance.randint(1, 5000))


def zeroed(chance: random.Random, sound: bytes) -> bytes:
    at = chance.randrange(len(sound)) // 4096 * 4096
    block = sound[at : at + 4096]
    return sound[:at] + (bytes(len(block)) if any(block) else b"\1" * len(block)) + sound[at + 4096 :]


def noticed(
    generations: tuple[Settings, str, str],
    name: str,
    damage: Callable[[bytes], bytes | None],
    caplog: pytest.LogCaptureFixture,
) -> bool:
    """Whether a damaged file is named in the log, and the snapshot before answers."""
    settings, now, before = generations
    path = settings.index / "snapshots" / now / name
    sound = path.read_bytes()
    harmed = damage(sound)
    assert harmed != sound
    caplog.clear()
    try:
        path.unlink()
        if harmed is not None:
            path.write_bytes(harmed)
        bot = open_bot(settings)
    finally:
        path.write_bytes(sound)
    return bot.snapshot.id == before and f"snapshot {now[:12]} is damaged: {name}" in caplog.text


def names_of(generations: tuple[Settings, str, str]) -> list[str]:
    folder = generations[0].index / "snapshots" / generations[1]
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a5_bitflip(generations: tuple[Settings, str, str], caplog: pytest.LogCaptureFixture) -> None:
    chance = dice("A5")
    names = names_of(generations)
    flips = [(name, flipped) for name in names for _ in range(50 if long() else 5)]
    flips += [(chance.choice(names), flipped_early) for _ in range(100 if long() else 20)]
    found = sum(noticed(generations, name, lambda data, how=how: how(chance, data), caplog) for name, how in flips)  # type: ignore[misc]
    figure("A5", f"{len(flips)} flipped bits noticed, named, the one before served", found, found == len(flips))
    assert open_bot(generations[0]).snapshot.id == generations[1]


def test_a5_a_flipped_bit_of_the_pointer(generations: tuple[Settings, str, str]) -> None:
    settings, now, before = generations
    sound, served = (settings.index / "current").read_bytes(), Counter[str]()
    for bit in range(8 * len(sound)) if long() else range(0, 8 * len(sound), 13):
        harmed = bytearray(sound)
        harmed[bit // 8] ^= 1 << bit % 8
        (settings.index / "current").write_bytes(harmed)
        served[open_bot(settings).snapshot.id] += 1
    (settings.index / "current").write_bytes(sound)
    figure(
        "A5",
        "flipped bits of the pointer after which a sound one is served",
        served.total(),
        served.keys() <= {now, before},
    )


def test_a6_damage_mix(generations: tuple[Settings, str, str], caplog: pytest.LogCaptureFixture) -> None:
    chance = dice("A6")
    settings, now, before = generations
    names, times = names_of(generations), 1 if long() else 0.25
    harms: list[tuple[str, Callable[[bytes], bytes | None]]] = []
    for how, count in ((cut, 200), (appended, 50), (zeroed, 50)):
        harms += [
            (chance.choice(names), lambda data, how=how: how(chance, data))  # type: ignore[misc]
            for _ in range(int(count * times))
        ]
    harms += [(name, lambda _: None) for name in names]
    twins = settings.index / "snapshots" / before
    for name in names:
        [twin] = [twins / name] if (twins / name).exists() else twins.glob(f"lexical/*{Path(name).suffix}")
        if twin.read_bytes() != (settings.index / "snapshots" / now / name).read_bytes():
            harms.append((name, lambda _, twin=twin: twin.read_bytes()))  # type: ignore[misc]
    found = sum(noticed(generations, name, harm, caplog) for name, harm in harms)
    figure("A6", f"{len(harms)} cuts, additions, zeros, twins and gaps noticed", found, found == len(harms))

    extra = [settings.index / "snapshots" / now / name for name in ("extra.json", "lexical/extra.term", "extra.pkl")]
    for path in extra:
        path.write_bytes(b"extra")
    served = open_bot(settings).snapshot.id
    for path in extra:
        path.unlink()
    figure("A6", "3 files too many are ignored", served, served == now)


def test_a7_all_bad(generations: tuple[Settings, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace_index(generations[0], tmp_path / "index")
    for folder in (settings.index / "snapshots").iterdir():
        path = folder / "passages.faiss"
        path.write_bytes(flipped(dice("A7"), path.read_bytes()))
    monkeypatch.setattr("tests.servers.answers", lambda port: True)  # it is served as soon as it listens
    with serving(settings, tmp_path) as service:
        started = time.monotonic()
        replies = [exchange(service.port, request("GET", "/health/ready"))]
        first = time.monotonic() - started
        replies += [exchange(service.port, request("GET", path)) for path in ("/health/live", "/v1/documents")]
        replies.append(exchange(service.port, request("POST", "/v1/ask", b'{"question": "How fast may a boat go?"}')))
        time.sleep(3 if long() else 1)
        alive, speakers = service.process.poll() is None, len(service.workers()) or 1
        log = service.log.read_text()
    ready = json.loads(replies[0].body)
    figure("A7", "ready, live, documents, ask", ", ".join(str(reply.status) for reply in replies),
           [reply.status for reply in replies] == [503, 200, 503, 503])  # fmt: skip
    figure("A7", "the reason", ready["detail"], "damaged" in ready["detail"])
    figure("A7", "seconds to the first reply, 2 or less", first, first <= 2)
    tries = log.count("is damaged: passages.faiss")
    figure("A7", f"times that it is said, for each of 2 snapshots and by each process of {speakers}: no loop", tries,
           alive and tries == 2 + speakers)  # fmt: skip
    figure("A7", "exit code after SIGTERM, 0", service.process.returncode, service.process.returncode == 0)
    figure("A7", "tracebacks, 0", log.count("Traceback"), "Traceback" not in log)


def replace_index(settings: Settings, target: Path) -> Settings:
    return load_settings(corpus=settings.corpus, index=Path(shutil.copytree(settings.index, target)))


# --- A8: what is well hashed and makes no sense -----------------------------------------------------------------------


def test_a8_index_fuzz(tmp_path: Path, words: Encoder) -> None:
    """Each mutant is opened and asked in a child. It may be refused, open, or answer with an error that a server turns
    into a reply; nothing else. tantivy's own checksums are right again as well, in most."""
    chance, count = dice("A8"), 10_000 if long() else 500
    indexes = []
    for factory in (None, "IVF2,SQ8", "HNSW4"):
        index = tmp_path / str(factory)
        publish(town("blue", 12), words, index, aim=AIM, factory=factory)
        indexes.append(index)
    seeds = [chance.getrandbits(32) for _ in range(count)]
    outcomes, bad, slowest, largest = Counter[str](), list[str](), 0.0, 0
    while seeds:
        heard, told = CHILDREN.Pipe(duplex=False)
        process = CHILDREN.Process(target=open_mutants, args=(indexes, seeds, tmp_path / "mutant", told))
        process.start()
        told.close()
        try:
            while seeds:
                if not heard.poll(60):
                    raise EOFError
                outcome, seconds, memory = heard.recv()
                outcomes[outcome] += 1
                if outcome not in ("refused", "answered", "error when asked"):
                    bad.append(f"{seeds[0]}: {outcome}")
                slowest, largest = max(slowest, seconds), max(largest, memory)
                del seeds[0]
        except EOFError:
            process.kill()
            process.join()
            bad.append(f"{seeds.pop(0)}: ended with {process.exitcode}")
        process.join()
        heard.close()
    print(outcomes, bad)
    figure("A8", f"of {count} mutants, those that end or surprise the process, 0", len(bad), not bad)
    figure("A8", "most seconds of work for one, 2 or less", slowest, slowest <= 2)
    figure("A8", "MiB that mutants add, 256 or less", largest / 1024, largest <= 256 * 1024)


# --- A9: nothing in the folders is ever run ---------------------------------------------------------------------------

WATCHED = """
import os, sys
from pathlib import Path

index, model, seen = sys.argv[1], sys.argv[2], []

def watch(event, arguments):
    if event == "pickle.find_class":
        seen.append(event)
    elif event == "exec":
        name = arguments[0].co_filename
        if name.startswith((index, model)):
            seen.append(f"exec {name}")
    elif event == "import" and isinstance(arguments[1], str) and arguments[1].startswith((index, model)):
        seen.append(f"import {arguments[1]}")

sys.addaudithook(watch)
import bot.model
from bot.engine import open_bot
from bot.settings import load_settings
bot.model._packaged_folder = lambda: Path(model)
assert open_bot(load_settings(index=Path(index))).ask("How fast may a boat go in the harbour?").passages
print(seen)
"""

PLANTED = "import os; os.mkdir({!r})\n"


class Plant:
    """Unpickling it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_a9_no_pickle(island: Settings, tmp_path: Path) -> None:
    index, canary = Path(shutil.copytree(island.index, tmp_path / "index")), tmp_path / "canary"
    model = tmp_path / "model"
    shutil.copytree(find_model(island).folder, model, copy_function=os.symlink)
    pickled, code = pickle.dumps(Plant(canary)), PLANTED.format(str(canary)).encode()
    plants = {"pytorch_model.bin": pickled, "index.pkl": pickled, "arrays.npy": pickled, "faiss.so": b"\x7fELF"}
    plants |= dict.fromkeys(("json.py", "sitecustomize.py", "modeling.py", "conftest.py"), code)
    for folder in (index, home(index), home(index) / "lexical", model):
        for name, data in plants.items():
            with (folder / name).open("xb") as file:  # never through a link
                file.write(data)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, index, model],
        capture_output=True, encoding="utf-8", cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figure("A9", "pickles read, code of the index or model run", done.stdout.strip(), done.stdout.strip() == "[]")
    figure("A9", "canaries", int(canary.exists()), not canary.exists())
    pickle.loads(pickled)
    assert canary.exists(), "the plants were dead"


# --- A10: changing over while questions are answered ------------------------------------------------------------------


def resident() -> int:
    """Kilobytes of memory in use."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


def test_a10_hot_swap(tmp_path: Path, words: Encoder) -> None:
    """Two threads ask half of the time; children publish."""
    swaps, houses, index = 100 if long() else 20, 40, built(tmp_path / "index", 40)
    now = [Bot(words, opened(index, words))]
    over, faults, asked = threading.Event(), list[str](), Counter[str]()

    def ask(number: int) -> None:
        while not over.is_set():
            started, house = time.monotonic(), asked.total() * 7 % houses
            try:
                bot = now[0]
                answer = bot.ask(f"Which colour has the door of house h{house}x?")
                asked[answer.snapshot] += 1
                own = {passage.text for passage in bot.snapshot.passages}
                if answer.snapshot != bot.snapshot.id or not own.issuperset(
                    one.hit.passage.text for one in answer.passages
                ):
                    faults.append(answer.snapshot)
            except Exception as error:
                faults.append(repr(error))
            time.sleep(time.monotonic() - started)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    early = 0
    try:
        for swap in range(swaps):
            in_child(build, index, ("green", "blue")[swap % 2], houses, False)
            now[0] = Bot(words, opened(index, words))
            if swap == 9:
                gc.collect()
                early = resident()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    gc.collect()
    growth = resident() / early
    figure("A10", f"failed or mixed of {asked.total()} answers over {swaps} swaps, 0", len(faults), not faults)
    figure("A10", "snapshots that answered", len(asked), len(asked) > swaps / 2)
    figure("A10", "memory after against the tenth swap, 1.1 or less", growth, growth <= 1.1)


def test_a10_a_server_changes_over(island: Settings, model: Encoder, tmp_path: Path) -> None:
    settings, ids = replace_index(island, tmp_path / "index"), [current_id(island.index)]
    question = request("POST", "/v1/ask", b'{"question": "How fast may a boat go in the harbour?"}')
    over, replies = threading.Event(), list[tuple[int, str]]()

    def ask() -> None:
        while not over.is_set():
            reply = exchange(service.port, question)
            replies.append((reply.status, json.loads(reply.body).get("snapshot", "")))
            time.sleep(0.02)

    with serving(settings, tmp_path, workers="1") as service:  # several change within a second of each other
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for swap in range(10 if long() else 2):
                documents = [document(f"{n}.txt", f"Note {n}.") for n in range(swap + 1)]
                before = open_snapshot(settings.index, ids[-1], model, aim=settings.passage_tokens)
                known = tuple(before.documents[name] for name in FILES)
                ids.append(
                    publish((*known, *documents), model, settings.index, aim=settings.passage_tokens, before=before)
                )
                until(lambda: replies[-1:] == [(200, ids[-1])], 20)
        finally:
            over.set()
            thread.join()
    failed = sum(status != 200 for status, _ in replies)
    order = [name for name, _ in groupby(replies)]
    figure("A10", f"failed of {len(replies)} requests to a server, 0", failed, failed == 0)
    figure("A10", "snapshots that answered, each in turn", len(order), [name for _, name in order] == ids)


# --- A11: two writers -------------------------------------------------------------------------------------------------


def test_a11_two_writers(tmp_path: Path, words: Encoder) -> None:
    chance, rounds, index = dice("A11"), 50 if long() else 6, tmp_path / "index"
    publish(town("green", 3), words, index, aim=AIM)
    wins, slowest, named, losers = list[int](), 0.0, 0, 0
    for _ in range(rounds):
        writers, go, heard = chance.randint(2, 8), CHILDREN.Event(), []
        processes = []
        for _ in range(writers):
            here, told = CHILDREN.Pipe(duplex=False)
            process = CHILDREN.Process(target=build_when_told, args=(index, go, told))
            process.start()
            told.close()
            processes.append(process)
            heard.append(here)
        lost = list[tuple[float, str]]()
        while len(lost) < writers - 1:  # the winner goes on only when all others have tried
            for here in [one for one in heard if one in wait(heard, 60)]:
                lost.append(here.recv())
                heard.remove(here)
        go.set()
        assert heard[0].poll(60)
        _, message = heard[0].recv()
        wins.append(message == "")
        for process in processes:
            process.join()
        winner = processes[[process.exitcode for process in processes].index(0)].pid
        losers += len(lost)
        named += sum(f"locked by pid {winner}" in message for _, message in lost)
        slowest = max(slowest, *(seconds for seconds, _ in lost))
        assert colours(opened(index, words), words, 3) == {"blue"}
    figure("A11", f"rounds of {rounds} that one writer wins", sum(wins), sum(wins) == rounds)
    figure("A11", f"losers of {losers} that name the winner's process", named, named == losers)
    figure("A11", "most seconds until one gives up, 1 or less", slowest, slowest <= 1)


def test_a11_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, words: Encoder) -> None:
    index = tmp_path / "index"
    publish(town("green", 3), words, index, aim=AIM)
    (heard, told), never = CHILDREN.Pipe(duplex=False), CHILDREN.Event()
    process = CHILDREN.Process(target=build_when_told, args=(index, never, told))
    process.start()
    until(lambda: bool(leftovers(index)))
    with pytest.raises(IndexLocked):
        publish(town("blue", 3), words, index, aim=AIM)
    process.kill()
    process.join()
    heard.close()
    told.close()
    publish(town("blue", 3), words, index, aim=AIM)
    figure("A11", "leftovers after the lock was taken over, 0", len(leftovers(index)), not leftovers(index))
    assert colours(opened(index, words), words, 3) == {"blue"}


# --- A12: step by step is the same as at once -------------------------------------------------------------------------


class Changing:
    """Documents that are added, changed and deleted; each text holds a word that no other ever holds."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.written = chance, 0
        self.now: dict[str, tuple[str, Document]] = {}
        self.gone: list[str] = []
        for _ in range(8):
            self._write(f"{self.written:05}.txt")

    def _write(self, name: str) -> None:
        mark = f"zq{self.written}k"
        self.written += 1
        words = " ".join(self.chance.choices("boat harbour pier lamp stone winter ticket gull".split(), k=12))
        self.now[name] = (mark, document(name, f"The {mark} stands here. {words.capitalize()}. It is {mark} no more."))

    def batch(self) -> list[Document]:
        for _ in range(self.chance.randint(1, 5)):
            kind = self.chance.choice(("add", "update", "delete")) if len(self.now) > 3 else "add"
            name = f"{self.written:05}.txt" if kind == "add" else self.chance.choice(sorted(self.now))
            if kind != "add":
                self.gone.append(self.now.pop(name)[0])
            if kind != "delete":
                self._write(name)
        return [self.now[name][1] for name in sorted(self.now)]

    def questions(self, count: int) -> list[str]:
        marks = [mark for mark, _ in self.now.values()]
        return [f"Where does the {self.chance.choice(marks)} stand, at the {self.chance.choice(('pier', 'lamp'))}?"
                for _ in range(count)]  # fmt: skip


def places(bot: Bot, question: str) -> list[str]:
    return [passage.hit.passage.id for passage in bot.ask(question, top_k=5).passages]


def test_a12_incremental_is_rebuild(tmp_path: Path, words: Encoder) -> None:
    chance = dice("A12")
    batches, asked, forgotten = (200, 200, 10_000) if long() else (20, 10, 300)
    changing, same, alike, hits = Changing(chance), 0, 0, 0
    publish(changing.batch(), words, tmp_path / "step", aim=AIM)
    for _ in range(batches):
        documents = changing.batch()
        publish(documents, words, tmp_path / "step", aim=AIM, before=opened(tmp_path / "step", words))
        publish(documents, words, tmp_path / "once", aim=AIM)
        same += files_but_lexical(tmp_path / "step") == files_but_lexical(tmp_path / "once")
        step, once = (Bot(words, opened(tmp_path / name, words)) for name in ("step", "once"))
        alike += all(places(step, question) == places(once, question) for question in changing.questions(asked))
    for number in range(forgotten):
        mark = changing.gone[number % len(changing.gone)]
        hits += any(mark in one.hit.passage.text for one in step.ask(f"Where does the {mark} stand?").passages)
    figure("A12", f"of {batches} batches, those whose files are those of a rebuild", same, same == batches)
    figure("A12", f"of {batches} batches, those with the same top 5 on {asked} questions", alike, alike == batches)
    figure("A12", f"deleted words found by {forgotten} questions, 0", hits, hits == 0)


def test_a12_incremental_is_rebuild_with_the_model(tmp_path: Path, model: Encoder) -> None:
    """A vector depends a little on the texts that it is encoded together with; what is found must not."""
    changing, aim, alike, furthest = Changing(dice("A12")), 200, 0, 0.0
    batches, asked = (20, 50) if long() else (3, 10)
    publish(changing.batch(), model, tmp_path / "step", aim=aim)
    for _ in range(batches):
        documents = changing.batch()
        before = open_snapshot(tmp_path / "step", current_id(tmp_path / "step"), model, aim=aim)
        publish(documents, model, tmp_path / "step", aim=aim, before=before)
        publish(documents, model, tmp_path / "once", aim=aim)
        step, once = (
            Bot(model, open_snapshot(tmp_path / name, current_id(tmp_path / name), model, aim=aim))
            for name in ("step", "once")
        )
        assert tuple(step.snapshot.passages) == tuple(once.snapshot.passages)
        vectors = [bot.snapshot.vectors.of(slice(None)) for bot in (step, once)]
        furthest = max(furthest, float(np.abs(vectors[0] - vectors[1]).max()))
        alike += all(places(step, question) == places(once, question) for question in changing.questions(asked))
    figure("A12", "largest difference of a vector's number, 0.005 or less", furthest, furthest <= 0.005)
    figure("A12", f"of {batches} batches with the model, those with the same top 5", alike, alike == batches)


# --- A13: built by something else -------------------------------------------------------------------------------------


def older(number: int) -> Callable[[Path, dict[str, Any]], object]:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        manifest["built_by"]["schema_version"] = number
        for name in ("choice", "sentences", "listing")[: 3 - number]:
            del manifest[name]
        manifest["chunks"] = manifest.pop("passages")

    return change


def built_with(what: str, value: object) -> Callable[[Path, dict[str, Any]], object]:
    return lambda folder, manifest: manifest["built_by"].update({what: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (built_with("encoder", "sentence-transformers/other@0123"), "encoder sentence-transformers/other@0123, but"),
        (built_with("splitter", "1/999"), "passage splitter 1/999, but"),
        (built_with("lexical", 1), "lexical index 1, but"),
        (built_with("readers", 999), "document readers 999, but"),
        (built_with("schema_version", 1), "format 1, but"),
        (older(1), "format 1, but"),
        (older(2), "format 2, but"),
        (older(999), "format 999, but"),
        (lambda folder, manifest: manifest.update(dim=768), "counts and dimensions do not fit each other"),
    ],
)
def test_a13_version_matrix(
    island: Settings, model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, dict[str, Any]], object], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("bot.engine.open_export", lambda *_: model)
    settings = replace_index(island, tmp_path / "index")
    forge(settings.index, change)
    for other in (settings.index / "snapshots").iterdir():
        if other.name != current_id(settings.index):
            shutil.rmtree(other)
    done = CliRunner().invoke(app, ["ask", "How fast may a boat go?", "--index", str(settings.index)])
    lines = [line for line in done.stderr.splitlines() if line]
    right = (
        (done.exit_code, done.stdout, len(lines)) == (1, "", 1) and said in lines[0] and "signpost index" in lines[0]
    )
    figure("A13", f"refused in one line: {said}", "\n".join(lines), right)
    assert build_index(settings).built
    assert open_bot(settings).ask("How fast may a boat go in the harbour?").status == "answered"


# --- B16: too little memory -------------------------------------------------------------------------------------------


def test_b16_memory_cap(tmp_path: Path, words: Encoder) -> None:
    """As a process is started with ``ulimit -v``: with enough, with too little, and in a service."""
    publish(town("blue", 2_000 if long() else 400), words, tmp_path, aim=AIM)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    opens = in_child(open_within, tmp_path, 32 * size + (256 << 20))
    figure("B16", "opens and answers where there is enough", opens, opens == "answered")
    for left in (0, size // 2, size):
        said = in_child(open_within, tmp_path, left)
        right = bool(
            re.search(r"takes about [\d,]+ MB of memory to open, but of [\d,]+ MB only [\d,]+ MB are left", said)
        )
        figure("B16", f"refused in one line that names the sizes, with {left / size:.1f} of the index", said,
               right and "\n" not in said)  # fmt: skip


def test_b16_a_service_that_has_too_little(island: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so for as long as it runs, and tries no second time: nobody ends it for its memory."""
    monkeypatch.setattr("tests.servers.answers", lambda port: True)
    with serving(island, tmp_path, "tests.battery.cramped") as service:
        replies = [exchange(service.port, request("GET", path)) for path in ("/health/ready", "/health/live")]
        replies.append(exchange(service.port, request("POST", "/v1/ask", b'{"question": "How fast may a boat go?"}')))
        time.sleep(3)
        alive, speakers = service.process.poll() is None, len(service.workers()) or 1
        log = service.log.read_text()
    figure("B16", "ready, live, ask", ", ".join(str(reply.status) for reply in replies),
           [reply.status for reply in replies] == [503, 200, 503])  # fmt: skip
    figure("B16", "the reason", json.loads(replies[0].body)["detail"], b"more memory than there is" in replies[0].body)
    tries = log.count("of memory to open")
    figure("B16", f"times that it is said, once by each process of {speakers}", tries, alive and tries == speakers)
