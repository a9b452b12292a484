"""What a killed process leaves in the temporary folder goes when the next one needs such a folder; nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bot.scratch import scratch_folder
from tests.conftest import REPOSITORY

HOLDS = "from bot.scratch import scratch_folder\nwith scratch_folder() as made: print(made, flush=True); input()"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def test_a_folder_is_there_for_its_block_only() -> None:
    with scratch_folder() as made:
        (made / "words").write_text("words")
        assert made.is_dir()
    assert not made.exists()


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(temporary: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        held = aged(Path(other.stdout.readline().strip()))
        with scratch_folder():
            assert held.exists()
        other.kill()
    assert held.exists()
    with scratch_folder():
        assert not held.exists()


def test_what_is_new_or_somebody_else_s_or_no_folder_is_left_alone(temporary: Path) -> None:
    outside = temporary / "outside"
    outside.mkdir()
    new, link, file, old = (temporary / f"signpost-scratch-{name}" for name in ("new", "link", "file", "old"))
    new.mkdir()
    link.symlink_to(outside)
    aged(outside)
    file.touch()
    aged(file)
    old.mkdir()
    (old / "words").touch()
    aged(old)
    with scratch_folder():
        assert [path.exists() for path in (new, link, file, outside, old)] == [True, True, True, True, False]
