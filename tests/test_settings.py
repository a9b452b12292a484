"""What an operator may rely on when they set something, or set it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and none of this machine's own settings."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SIGNPOST_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_has_a_default() -> None:
    assert load_settings().model_dump() == {name: field.default for name, field in Settings.model_fields.items()}


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().port == 8000
    (folder / "signpost.toml").write_text("port = 1001\nname = 'From the file'\n")
    assert load_settings().port == 1001
    monkeypatch.setenv("SIGNPOST_PORT", "1002")
    assert load_settings().port == 1002
    settings = load_settings(port=1003)
    assert (settings.port, settings.name, settings.host) == (1003, "From the file", "127.0.0.1")


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNPOST_PORT", "1002")
    assert load_settings(port=None).port == 1002


def test_lists_can_be_set_in_the_environment_and_in_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "signpost.toml").write_text('suggestions = ["  When does the ferry sail?  "]\n')
    assert load_settings().suggestions == ("When does the ferry sail?",)
    monkeypatch.setenv("SIGNPOST_SUGGESTIONS", '["Where do puffins breed?", "Who is Ida Brandt?"]')
    assert load_settings().suggestions == ("Where do puffins breed?", "Who is Ida Brandt?")


def test_languages_are_codes_and_none_at_all_means_any(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().languages == ("en",)
    (folder / "signpost.toml").write_text('languages = ["de", "fil"]\n')
    assert load_settings().languages == ("de", "fil")
    monkeypatch.setenv("SIGNPOST_LANGUAGES", "[]")
    assert load_settings().languages == ()


def test_settings_cannot_change_once_they_are_read() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010  # what mypy refuses is what is tested


def test_a_misspelt_name_in_the_file_is_noticed(folder: Path) -> None:
    (folder / "signpost.toml").write_text("prot = 9000\n")
    with pytest.raises(SettingsError, match="prot"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65_536),
        ("port", "http"),
        ("passage_tokens", 31),
        ("passage_tokens", 4_097),
        ("model_sha256", "53AA"),
        ("model", ""),
        ("name", "x" * 61),
        ("suggestions", ["one", "two", "three", "four", "five"]),
        ("suggestions", ["  "]),
        ("question_prefix", "x" * 201),
        ("languages", ["english"]),
        ("languages", ["EN"]),
        ("languages", [""]),
        ("languages", "en"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}\b") as caught:
        load_settings(**{name: value})
    assert "\n" not in str(caught.value)


def test_all_wrong_values_are_named_at_once_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "signpost.toml").write_text("passage_tokens = 1\nprot = 9000\n")
    monkeypatch.setenv("SIGNPOST_NAME", "x" * 61)
    with pytest.raises(SettingsError) as caught:
        load_settings(port=-1)
    message = str(caught.value)
    assert "\n" not in message
    assert {fault.split(":")[0] for fault in message.split("; ")} == {"passage_tokens", "prot", "name", "port"}


def test_a_list_in_the_environment_that_is_no_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNPOST_SUGGESTIONS", "When does the ferry sail?")
    with pytest.raises(SettingsError, match=r'suggestions.*like \["one", "two"\]'):
        load_settings()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_what_is_empty_in_the_environment_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SIGNPOST_{name.upper()}", "")
    assert getattr(load_settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("content", [b"port =", b"port = 1\nport = 2", b"just words", b'name = "\xff"'])
def test_a_file_that_is_no_toml_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / "signpost.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^signpost\.toml is not valid TOML") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
