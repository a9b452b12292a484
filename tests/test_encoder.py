"""What every vector rests on: the model is the one it should be, and each text is seen alone and in its place."""

from __future__ import annotations

import hashlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from bot.encoder import PACKAGED_SHA256, Model, TorchEncoder, find_model, fingerprint
from bot.errors import ModelError
from bot.settings import load_settings
from bot.types import Embeddings, Encoder

TEXTS = [
    "Boats may go at most 5 knots inside the harbour.",
    "Puffins",
    "",
    "港口有灯塔。 👩‍🚀 Café — “keeper’s”",
    "The ferry sails twice a day from April to October. " * 30,  # longer than the model reads
    *(f"Mooring {number} " + "is taken " * (number % 7) for number in range(30)),
]  # more than one batch, in no order of length


@pytest.fixture(scope="module")
def packaged() -> Model:
    return find_model(load_settings())


@pytest.fixture(scope="module")
def prefixed(packaged: Model) -> TorchEncoder:
    return TorchEncoder(packaged, question_prefix="query: ", passage_prefix="passage: ")


@pytest.fixture(scope="module")
def rows(model: Encoder) -> Embeddings:
    return model.encode_passages(TEXTS)


@pytest.fixture
def folder(packaged: Model, tmp_path: Path) -> Path:
    """A folder with the packaged model in it, file by file, to be harmed; the files are links."""
    for path in packaged.folder.rglob("*"):
        if path.is_file():
            place = tmp_path / "model" / path.relative_to(packaged.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return tmp_path / "model"


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_vectors_are_rows_of_float32_of_length_one(model: Encoder, rows: Embeddings) -> None:
    assert rows.shape == (len(TEXTS), model.dim) == (len(TEXTS), 384)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert model.encode_question("Where do puffins breed?").shape == (1, 384)
    assert model.encode_passages([]).shape == (0, 384)


def test_vectors_have_length_one_even_if_the_model_does_not_see_to_it(folder: Path, rows: Embeddings) -> None:
    modules = json.loads((folder / "modules.json").read_bytes())
    (folder / "modules.json").unlink()
    (folder / "modules.json").write_text(json.dumps([m for m in modules if not m["type"].endswith("Normalize")]))
    encoder = TorchEncoder(find_model(load_settings(model=str(folder))))
    assert np.allclose(encoder.encode_passages(TEXTS[:4]), rows[:4], atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_among_others(model: Encoder, rows: Embeddings) -> None:
    alone = np.concatenate([model.encode_passages([text]) for text in TEXTS])
    assert np.allclose(rows, alone, atol=1e-5)


def test_vectors_are_those_of_the_model_used_directly(model: Encoder, rows: Embeddings, packaged: Model) -> None:
    direct = SentenceTransformer(str(packaged.folder), device="cpu", local_files_only=True)
    expected = direct.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(rows, expected, atol=1e-5)
    assert np.allclose(model.encode_question(TEXTS[0]), expected[:1], atol=1e-5)


def test_vectors_tell_what_is_near_in_meaning(model: Encoder) -> None:
    passages = ["Children travel free of charge.", "The lamp is cleaned in April.", "Puffins nest on the cliffs."]
    scores = model.encode_passages(passages) @ model.encode_question("What does a ticket cost for kids?")[0]
    assert scores.argmax() == 0


def test_threads_do_not_disturb_each_other(model: Encoder, rows: Embeddings) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.encode_question, TEXTS))
    assert np.allclose(np.concatenate(found), rows, atol=1e-5)


def test_progress_counts_up_to_all_texts(model: Encoder) -> None:
    done: list[int] = []
    model.encode_passages(["Puffins"] * 70, done.append)
    assert done == sorted(set(done))
    assert len(done) > 1 and done[-1] == 70


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_beyond_what_the_model_reads(model: Encoder, packaged: Model) -> None:
    reference = AutoTokenizer.from_pretrained(str(packaged.folder), model_max_length=10**6)
    model.encode_passages(TEXTS[:2])  # which sets the tokenizer of the model itself to cut and pad
    texts = [*TEXTS, "word " * 400]
    assert model.count_tokens(texts) == [len(ids) for ids in reference(texts, truncation=False)["input_ids"]]
    assert model.count_tokens(["word " * 400, ""]) == [402, 2]
    assert model.max_tokens == 256


def test_the_last_token_that_fits_is_read_and_the_next_is_lost(model: Encoder) -> None:
    for before, read in ((253, True), (254, False)):
        texts = ["boat " * before + last for last in ("lighthouse", "island")]
        assert model.count_tokens(texts) == [before + 3] * 2
        one, two = model.encode_passages(texts)
        assert np.allclose(one, two, atol=1e-6) == (not read)


# --- prefixes ---------------------------------------------------------------------------------------------------------


def test_prefixes_reach_the_model_each_through_its_own_door(model: Encoder, prefixed: TorchEncoder) -> None:
    texts = TEXTS[:4]
    expected = model.encode_passages([f"passage: {text}" for text in texts])
    assert np.allclose(prefixed.encode_passages(texts), expected, atol=1e-5)
    asked = model.encode_question("query: Where do puffins breed?")
    assert np.allclose(prefixed.encode_question("Where do puffins breed?"), asked, atol=1e-5)
    assert not np.allclose(prefixed.encode_question(texts[0]), prefixed.encode_passages(texts[:1]), atol=1e-3)


def test_a_passage_prefix_takes_its_room_from_the_passage(model: Encoder, prefixed: TorchEncoder) -> None:
    assert prefixed.max_tokens == model.max_tokens - 2  # "passage", ":"
    assert prefixed.count_tokens(["Puffins breed."]) == model.count_tokens(["Puffins breed."])


def test_the_fingerprint_tells_prefixes_apart(packaged: Model, model: Encoder, prefixed: TorchEncoder) -> None:
    made = {fingerprint(packaged, *pair) for pair in (("", ""), ("a", ""), ("", "a"), ("a", "b"), ("b", "a"))}
    assert len(made) == 5
    assert model.fingerprint == fingerprint(packaged)
    assert prefixed.fingerprint == fingerprint(packaged, "query: ", "passage: ")


def test_the_fingerprint_tells_where_one_prefix_ends_and_the_other_begins(packaged: Model) -> None:
    assert fingerprint(packaged, "a|", "b") != fingerprint(packaged, "a", "|b")


def test_the_fingerprint_changes_with_the_weights_and_with_every_setting_file(packaged: Model, folder: Path) -> None:
    same = find_model(load_settings(model=str(folder)))
    assert same.sha256 == packaged.sha256
    made = {same.name}
    for name in ("tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json"):
        changed = json.dumps(json.loads((folder / name).read_bytes()) | {"note": name})
        (folder / name).unlink()
        (folder / name).write_text(changed)
        made.add(find_model(load_settings(model=str(folder))).name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"other weights")
    made.add(find_model(load_settings(model=str(folder))).name)
    assert len(made) == 5


# --- the model on disk ------------------------------------------------------------------------------------------------


def test_the_packaged_model_is_the_official_one(packaged: Model) -> None:
    with open(packaged.folder / "model.safetensors", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == packaged.sha256 == PACKAGED_SHA256


def test_weights_with_one_changed_byte_are_refused_and_both_digests_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    sound = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(sound[:-1000] + bytes([sound[-1000] ^ 1]) + sound[-999:])
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=rf"sha256 {digest}, expected {PACKAGED_SHA256}"):
        find_model(load_settings(model=str(folder), model_sha256=PACKAGED_SHA256))


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


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled weights are not loaded"):
        find_model(load_settings(model=str(folder)))


def test_a_model_without_its_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"lacks .*tokenizer\.json"):
        find_model(load_settings(model=str(folder)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"garbled"),
        ("config.json", b"garbled"),
        ("modules.json", b"{}"),
        ("model.safetensors", b"garbled"),
        ("model.safetensors", b""),
        ("1_Pooling/config.json", b"{}"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(folder: Path, name: str, content: bytes) -> None:
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        TorchEncoder(find_model(load_settings(model=str(folder))))
    assert "\n" not in str(caught.value)


def test_a_copy_of_the_model_in_another_folder_gives_the_same_vectors(folder: Path, rows: Embeddings) -> None:
    encoder = TorchEncoder(find_model(load_settings(model=str(folder), model_sha256=PACKAGED_SHA256)))
    assert np.allclose(encoder.encode_passages(TEXTS[:4]), rows[:4], atol=1e-5)
