"""Building the index again while the service answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from filelock import FileLock

from bot.api.reindex import Reindexer
from bot.settings import Settings, load_settings
from tests.conftest import FILES, write_files


def building(settings: Settings) -> list[bool]:
    """What starting twice says, when what was started has ended."""

    async def twice() -> list[bool]:
        reindexer = Reindexer(settings)
        started = [reindexer.start(), reindexer.start()]
        if reindexer._running is not None:
            await reindexer._running
        return started

    return asyncio.run(twice())


def test_one_build_at_a_time(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    assert building(settings) == [True, False]
    assert building(settings) == [True, False], "the turn is given back"
    assert (settings.index / "current").exists()


def test_no_build_beside_that_of_another_process(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    with FileLock(settings.index / ".building"):
        assert building(settings) == [False, False]
    assert not (settings.index / "current").exists()


def test_where_no_turn_can_be_taken_the_index_is_built_all_the_same(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    (settings.index / ".building").mkdir(parents=True)
    assert building(settings)[0]
    assert (settings.index / "current").exists()
