"""What an export rests on: the graphs say what the model says, or are not used, and nothing half-made is ever found."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sentence_transformers import SentenceTransformer

from bot.encoder import OnnxEncoder, Prefixes, TorchEncoder
from bot.engine import load_encoder
from bot.errors import ModelError
from bot.export import Export, _write_int8, _write_weights8, find_export, home_of, make_export, open_export
from bot.model import Model, find_model
from bot.settings import load_settings
from bot.types import Embeddings, Encoder
from tests.conftest import FILES, REPOSITORY
from tests.models import LONGEST, direct, expected, found, fourier, link, static, tiny

#: Of three lengths: short, long, and longer than any model here reads.
SAMPLE = [
    "Boats may go at most 5 knots inside the harbour.",
    "Puffins",
    *FILES.values(),
    "The ferry sails twice a day from April to October. " * 30,
]

#: Least cosine to the model itself: a question in int8, a passage with weights in 8 bits; and the noise of float32.
INT8, WEIGHTS8, NOISE = 0.98, 0.99, 1e-5


@dataclasses.dataclass(frozen=True)
class Made:
    """A model, and what was exported of it below a folder."""

    model: Model
    folder: Path
    export: Export

    @property
    def home(self) -> Path:
        return home_of(self.model, self.folder)

    def open(self, prefixes: Prefixes | None = None) -> Encoder:
        return open_export(self.export, self.model, self.folder, prefixes or Prefixes())


def make(model: Model, folder: Path) -> Made:
    return Made(model, folder, make_export(model, folder, SAMPLE))


@pytest.fixture(scope="module")
def packaged() -> Model:
    return find_model(load_settings())


@pytest.fixture(scope="module")
def made(packaged: Model, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A fresh export of the packaged model, as the one that other tests share may be from another day."""
    return make(packaged, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def reference(packaged: Model) -> SentenceTransformer:
    return direct(packaged)


@pytest.fixture(scope="module")
def small(packaged: Model, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("small")
    return make(found(tiny(packaged, folder / "model")), folder / "encoder")


@pytest.fixture
def copy(small: Made, tmp_path: Path) -> Made:
    """An export to be harmed."""
    shutil.copytree(small.folder, tmp_path / "encoder")
    return dataclasses.replace(small, folder=tmp_path / "encoder")


@pytest.fixture(params=["openvino", "onnxruntime"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What encodes passages: OpenVINO, where it is installed, or ONNX Runtime where it is not."""
    if request.param == "openvino":
        pytest.importorskip("openvino")
    else:
        monkeypatch.setitem(sys.modules, "openvino", None)
    return str(request.param)


def cosines(one: Embeddings, other: Embeddings) -> Embeddings:
    """Of each row with the row in its place; what is not of length 1 does not count as near."""
    assert one.shape == other.shape
    assert np.allclose(np.linalg.norm(one, axis=1), 1, atol=NOISE)
    products: Embeddings = (one * other).sum(axis=1)
    return products


def asked(encoder: Encoder) -> Embeddings:
    return np.concatenate([encoder.encode_question(text) for text in SAMPLE])


def files_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def in_one_line(caught: pytest.ExceptionInfo[ModelError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is made -----------------------------------------------------------------------------------------------------


def test_attention_is_one_step_of_each_layer(made: Made) -> None:
    steps = [node.op_type for node in onnx.load(made.home / "int8.onnx").graph.node]
    assert steps.count("QAttention") == 6  # as many as the packaged model has layers
    assert "Softmax" not in steps


def test_an_export_has_the_vectors_of_the_model_used_directly(
    made: Made, reference: SentenceTransformer, engine: str
) -> None:
    encoder, vectors = made.open(), expected(reference, SAMPLE)
    assert isinstance(encoder, OnnxEncoder)
    assert made.export.precision == "int8"
    assert cosines(asked(encoder), vectors).min() >= INT8
    assert made.export.passages_precision == "weights8"
    assert cosines(encoder.encode_passages(SAMPLE), vectors).min() >= WEIGHTS8, engine


def test_the_record_says_what_was_made_and_how_near_it_is(made: Made, reference: SentenceTransformer) -> None:
    files = files_of(made.home)
    assert set(files) == {"record.json", "weights8.onnx", "int8.onnx"}
    assert json.loads((made.home / "record.json").read_bytes()) == made.export.model_dump()
    assert made.export.questions == files["int8.onnx"]
    assert made.export.passages == files["weights8.onnx"]
    assert (made.export.model, made.export.longest, made.export.pad) == (made.model.name, 256, 0)
    texts = [text[:1_000] for text in SAMPLE]
    asked = np.concatenate([made.open().encode_question(text) for text in texts])
    near = cosines(asked, expected(reference, texts))
    assert made.export.cosine == pytest.approx(near.mean(), abs=1e-4)
    assert made.export.lowest == pytest.approx(near.min(), abs=1e-4)
    stored = cosines(made.open().encode_passages(texts), expected(reference, texts))
    assert made.export.passages_cosine == pytest.approx(stored.mean(), abs=1e-3)
    assert made.export.compared == len(SAMPLE)
    for cosine in (made.export.cosine, made.export.lowest, made.export.passages_cosine):
        assert f"{cosine:.4f}" in str(made.export)


def test_graphs_are_smaller_than_the_model(made: Made) -> None:
    """The one for passages keeps its table of words as it is: it is looked up and not multiplied."""
    size = (made.model.folder / "model.safetensors").stat().st_size
    asks, stores = ((made.home / f"{name}.onnx").stat().st_size for name in ("int8", "weights8"))
    assert asks < 0.3 * size
    assert stores < 0.7 * size
    assert list(made.folder.iterdir()) == [made.home]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean"])
def test_models_that_pool_differently_are_exported(packaged: Model, tmp_path: Path, pooling: str) -> None:
    small = make(found(tiny(packaged, tmp_path / "model", pooling=pooling)), tmp_path / "encoder")
    encoder, vectors = small.open(), expected(direct(small.model), SAMPLE)
    assert small.export.precision == "int8"
    assert (encoder.dim, encoder.max_tokens) == (32, LONGEST)
    assert cosines(asked(encoder), vectors).min() >= INT8
    assert cosines(encoder.encode_passages(SAMPLE), vectors).min() >= WEIGHTS8


def test_vectors_have_length_one_even_if_the_model_does_not_see_to_it(
    packaged: Model, tmp_path: Path, engine: str
) -> None:
    small = make(found(tiny(packaged, tmp_path / "model", unit=False)), tmp_path / "encoder")
    reference = direct(small.model)
    own = reference.encode(SAMPLE, normalize_embeddings=False, show_progress_bar=False)
    assert not np.allclose(np.linalg.norm(own, axis=1), 1, atol=0.1)
    assert small.export.precision == "int8"
    assert cosines(asked(small.open()), expected(reference, SAMPLE)).min() >= INT8
    assert cosines(small.open().encode_passages(SAMPLE), expected(reference, SAMPLE)).min() >= WEIGHTS8


def test_as_many_texts_are_compared_as_tell_something(small: Made, tmp_path: Path) -> None:
    for sample, compared in (([f"Mooring {number}" for number in range(200)], 64), (["Puffins", " ", ""], 1), ([], 1)):
        assert make_export(small.model, tmp_path, sample).compared == compared


def test_exporting_again_elsewhere_gives_the_same_bytes(small: Made, tmp_path: Path) -> None:
    """In another process, as a snapshot names the graph that it was built with."""
    code = """if True:
        import json, sys
        from pathlib import Path
        from bot.export import make_export
        from bot.model import find_model
        from bot.settings import load_settings
        make_export(find_model(load_settings(model=sys.argv[1])), Path(sys.argv[2]), json.load(sys.stdin))"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(small.model.folder), str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        input=json.dumps(SAMPLE).encode(),
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert files_of(tmp_path) == files_of(small.folder)


# --- what is found ----------------------------------------------------------------------------------------------------


def test_what_was_made_is_found_and_nothing_else(small: Made, packaged: Model, tmp_path: Path) -> None:
    assert find_export(small.model, small.folder) == small.export
    assert find_export(packaged, small.folder) is None
    assert find_export(small.model, tmp_path) is None
    assert find_export(small.model, tmp_path / "nowhere") is None


def test_an_export_of_another_model_in_its_place_is_not_taken(copy: Made, packaged: Model) -> None:
    copy.home.rename(home_of(packaged, copy.folder))
    assert find_export(packaged, copy.folder) is None


def test_an_export_made_in_another_way_is_not_found(small: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.export.EXPORT_VERSION", 0)
    assert find_export(small.model, small.folder) is None


def test_without_an_export_the_reader_is_told_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run `signpost index`") as caught:
        load_encoder(load_settings(encoder_folder=tmp_path))
    assert str(tmp_path) in in_one_line(caught)


@pytest.mark.parametrize("prefixes", [Prefixes(), Prefixes("query: "), Prefixes("query: ", "passage: ")])
def test_the_fingerprint_is_known_before_the_encoder_is_loaded(
    small: Made, unexportable: Made, prefixes: Prefixes
) -> None:
    for export in (small, unexportable):
        assert export.export.fingerprint(prefixes) == export.open(prefixes).fingerprint


def test_the_fingerprint_changes_with_the_model_the_graph_and_the_prefixes(small: Made) -> None:
    others = (
        {"model": "another"}, {"questions": "0" * 64}, {"passages": "0" * 64}, {"precision": "float32"},
        {"passages_precision": "float32"}, {"precision": "torch"},
    )  # fmt: skip
    exports = [small.export, *(small.export.model_copy(update=update) for update in others)]
    made = {export.fingerprint(prefixes) for export in exports for prefixes in (Prefixes(), Prefixes("a"))}
    assert len(made) == 2 * len(exports)


def test_opening_and_asking_imports_nothing_that_takes_long(made: Made) -> None:
    heavy = ["torch", "transformers", "sentence_transformers", "openvino", "onnx", "onnxruntime.quantization"]
    code = f"""if True:
        import json, sys
        from bot.engine import load_encoder
        from bot.settings import load_settings
        encoder = load_encoder(load_settings())
        row = encoder.encode_question("Where do puffins breed?")[0]
        print(json.dumps([[name for name in {heavy!r} if name in sys.modules], row.tolist()]))"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True,
        env=os.environ | {"SIGNPOST_ENCODER_FOLDER": str(made.folder)},
    )  # fmt: skip
    loaded, row = json.loads(ran.stdout)
    assert loaded == []
    assert np.allclose(row, made.open().encode_question("Where do puffins breed?")[0], atol=NOISE)


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def turn_into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM = pytest.mark.parametrize("harm", [flip, cut, Path.unlink, turn_into_a_folder])


@HARM
def test_a_damaged_graph_for_questions_is_refused_in_one_line(copy: Made, harm: Callable[[Path], None]) -> None:
    harm(copy.home / "int8.onnx")
    with pytest.raises(ModelError, match="remove its folder and run `signpost index`") as caught:
        copy.open()
    assert "int8.onnx" in in_one_line(caught)


@HARM
def test_a_damaged_graph_for_passages_is_refused_when_it_is_needed(
    copy: Made, harm: Callable[[Path], None], engine: str
) -> None:
    harm(copy.home / "weights8.onnx")
    encoder = copy.open()
    assert encoder.encode_question("Puffins").shape == (1, 32)
    for _ in range(2):
        with pytest.raises(ModelError, match="remove its folder and run `signpost index`") as caught:
            encoder.encode_passages(["Puffins"])
        assert "weights8.onnx" in in_one_line(caught)


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_graph_that_cannot_be_loaded_is_refused_in_one_line(copy: Made, content: bytes, engine: str) -> None:
    """As one may be that another version made: it is what was exported, but means nothing here."""
    for name, field in (("weights8", "passages"), ("int8", "questions")):
        (copy.home / f"{name}.onnx").write_bytes(content)
        export = copy.export.model_copy(update={field: hashlib.sha256(content).hexdigest()})
        with pytest.raises(ModelError) as caught:
            dataclasses.replace(copy, export=export).open().encode_passages(["Puffins"])
        assert f"{name}.onnx" in in_one_line(caught)


@pytest.mark.parametrize(
    "change",
    [{"precision": "int4"}, {"longest": "256"}, {"pad": None}, {"more": 1}, {"cosine": "near"}],
    ids=lambda change: "-".join(change),
)
def test_a_record_of_another_shape_is_refused_in_one_line(copy: Made, change: dict[str, object]) -> None:
    path = copy.home / "record.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(ModelError, match="remove its folder and run `signpost index`") as caught:
        find_export(copy.model, copy.folder)
    assert str(path) in in_one_line(caught)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"garbled", b"\xff\xfe", b'{"model": "'])
def test_a_garbled_record_is_refused_in_one_line(copy: Made, content: bytes) -> None:
    (copy.home / "record.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        find_export(copy.model, copy.folder)
    in_one_line(caught)


def test_a_record_that_is_a_folder_is_refused_in_one_line(copy: Made) -> None:
    turn_into_a_folder(copy.home / "record.json")
    with pytest.raises(ModelError) as caught:
        find_export(copy.model, copy.folder)
    in_one_line(caught)


def test_exporting_again_mends_what_was_damaged(copy: Made) -> None:
    before = files_of(copy.folder)
    flip(copy.home / "int8.onnx")
    (copy.home / "record.json").unlink()
    make_export(copy.model, copy.folder, SAMPLE)
    assert files_of(copy.folder) == before


# --- what is not near enough, or cannot be exported -------------------------------------------------------------------


@pytest.fixture(scope="module")
def unexportable(packaged: Model, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("unexportable")
    return make(found(fourier(packaged, folder / "model")), folder / "encoder")


def test_a_quantised_graph_that_is_not_near_enough_gives_float32(packaged: Model, tmp_path: Path) -> None:
    small = make(found(tiny(packaged, tmp_path / "model", outlier=True)), tmp_path / "encoder")
    assert small.export.precision == "float32"
    assert small.export.questions == files_of(small.home)["float32.onnx"]
    assert small.export.lowest > 0.9999
    assert np.allclose(asked(small.open()), expected(direct(small.model), SAMPLE), atol=NOISE)
    _write_int8(small.home / "float32.onnx", small.home / "int8.onnx")  # what would have been, had nobody looked
    sha256 = hashlib.sha256((small.home / "int8.onnx").read_bytes()).hexdigest()
    as_int8 = small.export.model_copy(update={"precision": "int8", "questions": sha256})
    quantised = open_export(as_int8, small.model, small.folder, Prefixes())
    assert cosines(asked(quantised), expected(direct(small.model), SAMPLE)).mean() < 0.9


def test_passages_are_in_float32_where_8_bits_are_not_near_enough(
    packaged: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blurred(float32: Path, path: Path) -> None:
        _write_weights8(float32, path)
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.name.endswith("_whole"):
                coarse = numpy_helper.to_array(tensor) // 64 * 64
                tensor.CopyFrom(numpy_helper.from_array(coarse, tensor.name))
        onnx.save(model, path)

    monkeypatch.setattr("bot.export._write_weights8", blurred)
    small = make(found(tiny(packaged, tmp_path / "model")), tmp_path / "encoder")
    assert (small.export.precision, small.export.passages_precision) == ("int8", "float32")
    assert set(files_of(small.home)) == {"record.json", "float32.onnx", "int8.onnx"}
    assert small.export.passages_cosine > 0.999
    assert cosines(small.open().encode_passages(SAMPLE), expected(direct(small.model), SAMPLE)).min() > 0.995


def test_a_graph_that_reads_other_words_than_the_model_is_not_used(packaged: Model, tmp_path: Path) -> None:
    """Here the model tells capitals from small letters, and its tokenizer.json does not."""
    folder = tiny(packaged, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"do_lower_case": False}))
    small = make(found(folder), tmp_path / "encoder")
    assert small.export.precision == "torch"
    assert np.allclose(asked(small.open()), expected(direct(small.model), SAMPLE), atol=NOISE)


def test_a_model_that_cannot_be_exported_is_encoded_with_torch(unexportable: Made) -> None:
    assert unexportable.export.precision == "torch"
    assert find_export(unexportable.model, unexportable.folder) == unexportable.export
    encoder = unexportable.open()
    assert isinstance(encoder, TorchEncoder)
    assert np.allclose(asked(encoder), expected(direct(unexportable.model), SAMPLE), atol=NOISE)
    assert "torch" in str(unexportable.export)


def test_a_model_that_cannot_be_exported_is_said_to_be_so_in_one_line(
    unexportable: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make_export(unexportable.model, tmp_path, SAMPLE)
    (record,) = (record for record in caplog.records if record.name == "signpost")
    assert record.levelno == logging.WARNING
    assert unexportable.model.name in record.message and "\n" not in record.message
    assert capfd.readouterr().out == ""


def test_a_model_that_reads_texts_of_any_length_is_encoded(packaged: Model, tmp_path: Path) -> None:
    made = make(found(static(packaged, tmp_path / "model")), tmp_path / "encoder")
    encoder = made.open()
    assert 32 <= encoder.max_tokens < 10**6
    assert cosines(asked(encoder), expected(direct(made.model), SAMPLE)).min() >= INT8


# --- what fails halfway -----------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 2 MB, which is half of what the small model's larger graph needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_leaves_nothing_half_made(small: Made, tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(ModelError, match=os.strerror(errno.EFBIG)) as caught:
        make_export(small.model, tmp_path, SAMPLE)
    assert str(tmp_path) in in_one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_what_was_there(copy: Made, full_disk: None) -> None:
    before = files_of(copy.folder)
    with pytest.raises(ModelError):
        make_export(copy.model, copy.folder, SAMPLE)
    assert files_of(copy.folder) == before


def test_a_folder_that_is_a_file_is_refused_in_one_line(small: Made, tmp_path: Path) -> None:
    (tmp_path / "encoder").write_text("no folder")
    with pytest.raises(ModelError, match="could not be written") as caught:
        make_export(small.model, tmp_path / "encoder", SAMPLE)
    in_one_line(caught)
    assert (tmp_path / "encoder").read_text() == "no folder"


@pytest.mark.parametrize("where", ["torch.onnx.export", "onnxruntime.quantization.quantize_dynamic"])
def test_an_interrupted_export_leaves_nothing_half_made(
    small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        (work,) = tmp_path.iterdir()
        (work / "float32.onnx").write_bytes(b"half a graph")
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_export(small.model, tmp_path, SAMPLE)
    assert list(tmp_path.iterdir()) == []
    assert logging.root.manager.disable == logging.NOTSET
    monkeypatch.undo()
    assert make_export(small.model, tmp_path, SAMPLE) == small.export


def test_what_a_killed_export_left_is_never_found_and_cleared_when_it_is_old(small: Made, tmp_path: Path) -> None:
    """What is young may belong to a process that is still at work."""
    for name, age in (("old", 7_200), ("young", 0)):
        work = tmp_path / f".exporting-{name}"
        work.mkdir()
        (work / "float32.onnx").write_bytes(b"half a graph")
        os.utime(work, (time.time() - age,) * 2)
    assert find_export(small.model, tmp_path) is None
    make_export(small.model, tmp_path, SAMPLE)
    assert files_of(home_of(small.model, tmp_path)) == files_of(small.home)
    assert [path.name for path in tmp_path.glob(".exporting-*")] == [".exporting-young"]


def test_a_model_that_cannot_be_loaded_leaves_nothing(packaged: Model, tmp_path: Path) -> None:
    folder = link(packaged, tmp_path / "model")
    (folder / "config.json").unlink()
    (folder / "config.json").write_bytes(b"garbled")
    with pytest.raises(ModelError) as caught:
        make_export(found(folder), tmp_path / "encoder", SAMPLE)
    in_one_line(caught)
    assert find_export(found(folder), tmp_path / "encoder") is None
    assert not (tmp_path / "encoder").exists()
