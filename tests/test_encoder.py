"""What every vector rests on: each text is seen alone, whole and in its place, as the model itself would see it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from bot.encoder import OnnxEncoder, Prefixes, TorchEncoder
from bot.engine import export_folder
from bot.errors import ModelError
from bot.export import find_export, open_export
from bot.model import PACKAGED_SHA256, Model, find_model
from bot.settings import load_settings
from bot.types import Embeddings, Encoder
from tests.models import direct, expected, found, link, replace

TEXTS = [
    "Boats may go at most 5 knots inside the harbour.",
    "Puffins",
    "",
    "港口有灯塔。 👩‍🚀 Café — “keeper’s”",
    "The ferry sails twice a day from April to October. " * 30,  # longer than the model reads
    *(f"Mooring {number} " + "is taken " * (number % 7) for number in range(65)),
]  # more than one batch, in no order of length

SHORT = [*TEXTS[:4], *TEXTS[5:]]

QUESTIONS = [
    "How fast may a boat go in the harbour?",
    "Where do puffins breed?",
    "what does a ticket cost for kids",
    "Who gives out the moorings, and when?",
    "Wann fährt die Fähre? 🚢",
    "Is the café near the keeper’s house open in summer, and may one bring a dog? " * 20,
]

PREFIXES = Prefixes("lighthouse keeper: ", "passage: ")

#: Least cosine to the model itself: a question in int8, a passage with weights in 8 bits; and the noise of float32.
INT8, WEIGHTS8, NOISE = 0.98, 0.99, 1e-5


@pytest.fixture(scope="module")
def packaged() -> Model:
    return find_model(load_settings())


@pytest.fixture(scope="module")
def reference(packaged: Model) -> SentenceTransformer:
    return direct(packaged)


@pytest.fixture(scope="module")
def vectors(reference: SentenceTransformer) -> Embeddings:
    return expected(reference, TEXTS)


def opened(packaged: Model, prefixes: Prefixes = Prefixes()) -> Encoder:  # noqa: B008 - it cannot change
    """What serves, opened anew, as the engine of passages is chosen at their first use."""
    folder = export_folder(load_settings())
    export = find_export(packaged, folder)
    assert export is not None
    return open_export(export, packaged, folder, prefixes)


@pytest.fixture(scope="module")
def openvino(model: Encoder, packaged: Model) -> Encoder:
    """Passages with OpenVINO, where it is installed."""
    pytest.importorskip("openvino")
    encoder = opened(packaged)
    encoder.encode_passages(["Puffins"])
    return encoder


@pytest.fixture(scope="module")
def runtime(model: Encoder, packaged: Model) -> Encoder:
    """Passages with ONNX Runtime, as where OpenVINO is not installed."""
    encoder = opened(packaged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        encoder.encode_passages(["Puffins"])
    return encoder


@pytest.fixture(scope="module")
def torch(packaged: Model) -> TorchEncoder:
    return TorchEncoder(packaged, Prefixes())


@pytest.fixture(params=["openvino", "runtime", "torch"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    found: Encoder = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", params=["onnx", "torch"])
def prefixed(request: pytest.FixtureRequest, model: Encoder, packaged: Model) -> Encoder:
    return opened(packaged, PREFIXES) if request.param == "onnx" else TorchEncoder(packaged, PREFIXES)


@pytest.fixture
def folder(packaged: Model, tmp_path: Path) -> Path:
    return link(packaged, tmp_path / "model")


def cosines(one: Embeddings, other: Embeddings) -> Embeddings:
    """Of each row with the row in its place; what is not of length 1 does not count as near."""
    assert one.shape == other.shape
    assert np.allclose(np.linalg.norm(one, axis=1), 1, atol=NOISE)
    products: Embeddings = (one * other).sum(axis=1)
    return products


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_vectors_are_rows_of_float32_of_length_one(encoder: Encoder) -> None:
    rows = encoder.encode_passages(TEXTS[:8])
    asked = np.concatenate([encoder.encode_question(text) for text in QUESTIONS])
    assert rows.shape == (8, encoder.dim) == (8, 384)
    assert rows.dtype == asked.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.concatenate([rows, asked]), axis=1), 1, atol=NOISE)
    assert encoder.encode_question("").shape == (1, 384)
    assert encoder.encode_passages([]).shape == (0, 384)


@pytest.mark.parametrize("known", ["AVX2", "AVX512_CORE_VNNI"])
def test_where_openvino_fails_onnx_runtime_encodes(
    model: Encoder, vectors: Embeddings, tmp_path: Path, known: str
) -> None:
    """On some processors it does with these settings: when it compiles, or only when it runs. Elsewhere it works."""
    code = "import sys, numpy; from tests.test_encoder import TEXTS, opened; from bot.model import find_model; "
    code += "from bot.settings import load_settings; "
    code += "numpy.save(sys.argv[1], opened(find_model(load_settings())).encode_passages(TEXTS[:8]))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": known}
    file = tmp_path / "rows.npy"
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, env=environment, timeout=120)
    assert cosines(np.load(file), vectors[:8]).min() >= WEIGHTS8


def test_what_serves_needs_no_torch(model: Encoder) -> None:
    assert isinstance(model, OnnxEncoder)


def test_passages_have_nearly_the_vectors_of_the_model(
    runtime: Encoder, openvino: Encoder, vectors: Embeddings
) -> None:
    for encoder in (runtime, openvino):
        assert cosines(encoder.encode_passages(TEXTS), vectors).min() >= WEIGHTS8


@pytest.mark.parametrize("tiles", [True, False])
def test_passages_have_them_whatever_the_processor_multiplies_best(
    packaged: Model, vectors: Embeddings, monkeypatch: pytest.MonkeyPatch, *, tiles: bool
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("bot.encoder._multiplies_tiles", lambda: tiles)
    assert cosines(opened(packaged).encode_passages(TEXTS), vectors).min() >= WEIGHTS8


def test_questions_have_nearly_the_vectors_of_the_model(model: Encoder, reference: SentenceTransformer) -> None:
    asked = np.concatenate([model.encode_question(text) for text in QUESTIONS])
    assert cosines(asked, expected(reference, QUESTIONS)).min() >= INT8


def test_torch_has_the_vectors_of_the_model_used_directly(
    torch: TorchEncoder, reference: SentenceTransformer, vectors: Embeddings
) -> None:
    assert np.allclose(torch.encode_passages(SHORT), np.delete(vectors, 4, axis=0), atol=NOISE)
    asked = np.concatenate([torch.encode_question(text) for text in QUESTIONS])
    assert np.allclose(asked, expected(reference, QUESTIONS), atol=NOISE)


def test_a_text_has_the_same_vector_alone_and_among_others(encoder: Encoder) -> None:
    texts = TEXTS[:9]
    alone = np.concatenate([encoder.encode_passages([text]) for text in texts])
    assert cosines(encoder.encode_passages(texts), alone).min() >= 0.9999


def test_vectors_tell_what_is_near_in_meaning(encoder: Encoder) -> None:
    passages = ["Children travel free of charge.", "The lamp is cleaned in April.", "Puffins nest on the cliffs."]
    scores = encoder.encode_passages(passages) @ encoder.encode_question("What does a ticket cost for kids?")[0]
    assert scores.argmax() == 0


def test_threads_do_not_disturb_each_other(encoder: Encoder) -> None:
    """Neither those that ask each other, nor one that encodes passages of all lengths meanwhile."""
    questions, passages = QUESTIONS[:5], [*SHORT[:10], "boat " * 100]
    asked, read = [encoder.encode_question(text) for text in questions], encoder.encode_passages(passages)
    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(encoder.encode_passages, passages) for _ in range(2)]
        found = list(pool.map(encoder.encode_question, questions * 4))
    assert np.allclose(np.concatenate(found), np.concatenate(asked * 4), atol=NOISE)
    for rows in reading:
        assert np.allclose(rows.result(), read, atol=NOISE)


def test_progress_counts_up_to_all_texts(encoder: Encoder) -> None:
    done: list[int] = []
    encoder.encode_passages(["Puffins"] * 70, done.append)
    assert done == sorted(set(done))
    assert len(done) > 1 and done[-1] == 70


def test_vectors_have_length_one_even_if_the_model_does_not_see_to_it(folder: Path, vectors: Embeddings) -> None:
    parts = ["models.Transformer", "models.Pooling"]
    replace(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{part}"}
            for number, (part, path) in enumerate(zip(parts, ["", "1_Pooling"], strict=True))
        ],
    )
    encoder = TorchEncoder(found(folder), Prefixes())
    assert np.allclose(encoder.encode_passages(TEXTS[:4]), vectors[:4], atol=NOISE)


def test_a_copy_of_the_model_in_another_folder_gives_the_same_vectors(folder: Path, vectors: Embeddings) -> None:
    model = find_model(load_settings(model=str(folder), model_sha256=PACKAGED_SHA256))
    assert np.allclose(TorchEncoder(model, Prefixes()).encode_passages(TEXTS[:4]), vectors[:4], atol=NOISE)


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_beyond_what_the_model_reads(encoder: Encoder, packaged: Model) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(packaged.folder), model_max_length=10**6)
    encoder.encode_passages(["Puffins", "word " * 300])  # which cuts and pads
    texts = [*TEXTS, *QUESTIONS, "word " * 400]
    assert encoder.count_tokens(texts) == [len(ids) for ids in tokenizer(texts, truncation=False)["input_ids"]]
    assert encoder.count_tokens(["word " * 400, ""]) == [402, 2]
    assert encoder.count_tokens([]) == []


def test_as_many_tokens_are_read_as_the_model_says(encoder: Encoder, reference: SentenceTransformer) -> None:
    assert encoder.max_tokens == reference.max_seq_length == 256


def test_the_last_token_that_fits_is_read_and_the_next_is_lost(encoder: Encoder) -> None:
    for before, read in ((253, True), (254, False)):
        texts = ["boat " * before + last for last in ("lighthouse", "island")]
        assert encoder.count_tokens(texts) == [before + 3] * 2
        one, two = encoder.encode_passages(texts)
        assert np.allclose(one, two, atol=1e-6) == (not read)
        asked, other = (encoder.encode_question(text) for text in texts)
        assert np.allclose(asked, other, atol=1e-6) == (not read)


# --- prefixes ---------------------------------------------------------------------------------------------------------


def test_prefixes_reach_the_model_each_through_its_own_door(prefixed: Encoder, reference: SentenceTransformer) -> None:
    texts = [*TEXTS[:2], TEXTS[3]]
    doors = [PREFIXES.passage, PREFIXES.question, ""]
    rows = prefixed.encode_passages(texts)
    own, *others = (cosines(rows, expected(reference, [prefix + text for text in texts])) for prefix in doors)
    assert own.min() >= WEIGHTS8 and all((own > other).all() for other in others)
    doors = [PREFIXES.question, PREFIXES.passage, ""]
    row = prefixed.encode_question(TEXTS[0])
    own, *others = (cosines(row, expected(reference, [prefix + TEXTS[0]])) for prefix in doors)
    assert own.min() >= INT8 and all((own > other).all() for other in others)


def test_a_passage_prefix_takes_its_room_from_the_passage(prefixed: Encoder, model: Encoder) -> None:
    assert prefixed.max_tokens == model.max_tokens - 2  # "passage", ":"
    assert prefixed.count_tokens(["Puffins breed."]) == model.count_tokens(["Puffins breed."])
    for before, read in ((251, True), (252, False)):
        texts = ["boat " * before + last for last in ("lighthouse", "island")]
        assert (prefixed.count_tokens(texts) <= [prefixed.max_tokens] * 2) == read
        one, two = prefixed.encode_passages(texts)
        assert np.allclose(one, two, atol=1e-6) == (not read)


def test_prefixes_are_told_apart_and_so_is_where_one_ends_and_the_other_begins() -> None:
    pairs = [("a", ""), ("", "a"), ("a", "b"), ("b", "a"), ("a|", "b"), ("a", "|b"), ('a", "', ""), ("a", " ")]
    assert len({str(Prefixes(*pair)) for pair in pairs}) == len(pairs)
    assert str(Prefixes()) == ""


def test_the_fingerprint_tells_models_prefixes_and_precisions_apart(
    packaged: Model, model: Encoder, torch: TorchEncoder, prefixed: Encoder
) -> None:
    made = {model.fingerprint, torch.fingerprint, prefixed.fingerprint}
    assert len(made) == 3
    assert all(packaged.name in fingerprint for fingerprint in made)
    assert opened(packaged).fingerprint == model.fingerprint


# --- models that cannot be loaded -------------------------------------------------------------------------------------


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
    replace(folder / name, content)
    with pytest.raises(ModelError) as caught:
        TorchEncoder(found(folder), Prefixes())
    assert "\n" not in str(caught.value)
