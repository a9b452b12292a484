"""The README tells the truth: its commands, their output, the API's reply and the table of settings."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from bot.api.app import create_app
from bot.cli import app
from bot.engine import Bot
from bot.settings import Settings
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def shown(start: str) -> tuple[str, str]:
    """The one command in the README that begins so, and the output below it."""
    [block] = [block for block in CONSOLE if block.startswith(f"$ {start}")]
    command, _, output = block.removeprefix("$ ").partition("\n")
    return command, output


def test_the_settings_table_is_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", README, re.MULTILINE)
    code = [
        (name, f"`{field.default}`" if field.default not in (None, "", ()) else "", field.description)
        for name, field in Settings.model_fields.items()
    ]
    assert rows == code


def test_every_make_command_exists() -> None:
    named = set(re.findall(r"(?:`|^)make (\w+)", README, re.MULTILINE))
    assert {"serve", "test", "lint"} <= named
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in named)


def test_every_signpost_command_and_flag_exists() -> None:
    for line in re.findall(r"^(?:\$ )?signpost (.*)$", "\n".join(CONSOLE), re.MULTILINE):
        command, *rest = shlex.split(line)
        usage = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [command, "--help"])
        assert usage.exit_code == 0
        assert all(flag in usage.output for flag in rest if flag.startswith("--")), line


def test_the_answer_in_the_terminal_is_what_one_gets(shipped: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    command, output = shown("signpost ask")
    monkeypatch.setattr("bot.engine.open_bot", lambda _: shipped)
    _, *arguments = shlex.split(command)
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, arguments)
    assert result.exit_code == 0
    got, expected = (re.split(r"\(confidence (0\.\d\d)\)", text) for text in (result.output, output))
    # processors round the encoder's sums differently
    assert float(got.pop(1)) == pytest.approx(float(expected.pop(1)), abs=0.03)
    assert " ".join(got).split() == " ".join(expected).split()  # terminals fold lines


def test_the_reply_of_the_api_is_what_one_gets(shipped: Bot) -> None:
    command, output = shown("curl")
    body = re.search(r"-d '(.*)'$", command)
    assert body is not None
    with TestClient(create_app(lambda: shipped, Settings())) as client:
        reply = client.post("/v1/ask", json=json.loads(body[1])).json()
    expected = json.loads(output)
    for got in (reply, expected):
        for measured in ("took_ms", "snapshot", "confidence"):
            assert got.pop(measured)
        assert got["passages"][0].pop("score") > 0
    assert reply == expected


def test_the_index_readme_names_every_built_file(shipped: Bot) -> None:
    page = (REPOSITORY / "index" / "README.md").read_text(encoding="utf-8")
    files = {name.split("/")[0] for name in shipped.snapshot.manifest.files} | {"manifest.json"}
    assert all(f"snapshots/<id>/{name}" in page for name in files)
