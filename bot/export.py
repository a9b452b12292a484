"""A sentence-transformers model -> graphs that serve without torch: made once, checked against the original, kept.

    <folder>/<name>/
      record.json          what was made of which model, the sha256 of the graphs, how near they are to the original
      int8.onnx            encodes questions: weights in 8 bits, what they are multiplied with made so on the way
      weights8.onnx        encodes passages: weights in 8 bits; the engine chooses what it computes in
      float32.onnx         instead of one of them that is not near enough to the original

Weights are quantised per channel, so that a graph is a quarter of the size. Pooling and normalising are part of it. The
export is ``torch.onnx.export``'s, as sentence-transformers' own needs packages that do not go with its version 6 (ONNX
opset 17; quantising: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.encoder import Graph, OnnxEncoder, Prefixes, TorchEncoder
from bot.errors import ModelError
from bot.model import Model
from bot.types import Encoder

#: Part of an encoder's identity: raise it when a model would be exported differently.
EXPORT_VERSION = 3

#: A quantised graph is kept if its vectors are on average this near (cosine) to the original's.
NEAR_ENOUGH = 0.99
_EXACT = 0.9999

#: Texts that are compared, and the longest stretch of each, in characters.
_SAMPLE, _STRETCH = 64, 1_000

_OPSET = 17

#: Seconds after which a half-made export belongs to no process any more.
_STALE = 3_600

_log = logging.getLogger("signpost")


class Export(BaseModel):
    """What stands in ``record.json``. ``cosine`` is the mean, ``lowest`` the least of the compared texts'.

    ``precision`` is that of the graph for questions, ``torch`` if the model could not be exported;
    ``passages_precision`` and ``passages_cosine`` are those of the graph for passages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str
    precision: Literal["int8", "float32", "torch"]
    questions: str
    passages_precision: Literal["weights8", "float32", "torch"]
    passages: str
    longest: int
    pad: int
    cosine: float
    lowest: float
    passages_cosine: float
    compared: int

    def fingerprint(self, prefixes: Prefixes) -> str:
        """Return what identifies the encoder that this makes: the model, its graphs and the prefixes."""
        passages = "" if self.precision == "torch" else self.passages_precision
        graphs = (self.precision, self.questions[:16], passages, self.passages[:16])
        return " ".join(filter(None, (self.model, *graphs, str(prefixes))))

    def __str__(self) -> str:
        if self.precision == "torch":
            return "questions are encoded with torch, as the model could not be exported"
        return (
            f"questions are encoded in {self.precision}, cosine to the original {self.cosine:.4f} on average, "
            f"{self.lowest:.4f} at least, of {self.compared} texts; passages in {self.passages_precision}, "
            f"{self.passages_cosine:.4f} on average"
        )


def home_of(model: Model, folder: Path) -> Path:
    """Return where a model's export is kept below a folder."""
    return folder / hashlib.sha256(f"{EXPORT_VERSION} {model.name}".encode()).hexdigest()[:16]


def find_export(model: Model, folder: Path) -> Export | None:
    """Return what was exported of a model, or ``None`` if nothing was. The graphs are checked when they are loaded.

    :raises ModelError: if the record cannot be read.
    """
    path = home_of(model, folder) / "record.json"
    try:
        found = Export.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelError(f"{str(path)!r} cannot be read: remove its folder and run `signpost index`") from error
    return found if found.model == model.name else None


def open_export(export: Export, model: Model, folder: Path, prefixes: Prefixes) -> Encoder:
    """Load the encoder that an export describes.

    :raises ModelError: if a graph is not what was exported.
    """
    return (
        TorchEncoder(model, prefixes)
        if export.precision == "torch"
        else _opened(export, model, home_of(model, folder), prefixes)
    )


def _opened(export: Export, model: Model, home: Path, prefixes: Prefixes) -> OnnxEncoder:
    return OnnxEncoder(
        model,
        prefixes,
        questions=Graph(home / f"{export.precision}.onnx", export.questions),
        passages=Graph(home / f"{export.passages_precision}.onnx", export.passages),
        longest=export.longest,
        pad=export.pad,
        fingerprint=export.fingerprint(prefixes),
    )


def make_export(model: Model, folder: Path, sample: Sequence[str]) -> Export:
    """Export a model and compare the graphs with it; what is not near enough is not used.

    :param sample: texts of the kind that will be encoded; some of them are compared.
    :raises ModelError: if the model cannot be loaded, or the disk refuses.
    """
    reference = TorchEncoder(model, Prefixes())
    home = home_of(model, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _work_folder(folder) as work:
            export = _export(reference, model, work, _chosen(sample))
            (work / "record.json").write_text(export.model_dump_json(indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(home, ignore_errors=True)
            with contextlib.suppress(FileExistsError, NotADirectoryError):  # another process was faster, with the same
                work.rename(home)
    except OSError as error:
        raise ModelError(f"the exported model could not be written to {str(folder)!r}: {error.strerror}") from error
    return find_export(model, folder) or export


@contextlib.contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A folder of this process' own; those that killed processes left behind are cleared."""
    for leftover in folder.glob(".exporting-*"):
        if time.time() - leftover.stat().st_mtime > _STALE:
            shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".exporting-", dir=folder))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _chosen(sample: Sequence[str]) -> list[str]:
    texts = [text[:_STRETCH] for text in sample if text.strip()] or ["Is this near enough?"]
    return [texts[round(place)] for place in np.linspace(0, len(texts) - 1, min(_SAMPLE, len(texts)))]


def _export(reference: TorchEncoder, model: Model, work: Path, sample: Sequence[str]) -> Export:
    vectors = reference.encode_passages(sample)
    pad = int(getattr(reference.module.tokenizer, "pad_token_id", None) or 0)
    nothing = Export(
        model=model.name, precision="torch", questions="", passages_precision="torch", passages="",
        longest=reference.max_tokens, pad=pad, cosine=1, lowest=1, passages_cosine=1, compared=len(sample),
    )  # fmt: skip
    try:
        with _quietly():
            _write_float32(reference, work / "float32.onnx")
            _write_int8(work / "float32.onnx", work / "int8.onnx", *_attention(reference))
            _write_weights8(work / "float32.onnx", work / "weights8.onnx")
        sha256 = {path.stem: _sha256(path) for path in work.glob("*.onnx")}

        def tried(questions: str, passages: str) -> tuple[Export, OnnxEncoder]:
            graphs = {"questions": sha256[questions], "passages": sha256[passages]}
            export = nothing.model_copy(update={"precision": questions, "passages_precision": passages, **graphs})
            return export, _opened(export, model, work, Prefixes())

        for questions, needed in (("int8", NEAR_ENOUGH), ("float32", _EXACT)):
            export, encoder = tried(questions, "weights8")
            asked = np.concatenate([encoder.encode_question(text) for text in sample])
            near = np.sum(asked * vectors, axis=1)
            if near.mean() < needed:
                continue
            stored = np.sum(encoder.encode_passages(sample) * vectors, axis=1).mean()
            if stored < NEAR_ENOUGH:
                export, encoder = tried(questions, "float32")
                stored = np.sum(encoder.encode_passages(sample) * vectors, axis=1).mean()
            _keep_only(work, export.precision, export.passages_precision)
            found = {"cosine": near.mean(), "lowest": near.min(), "passages_cosine": stored}
            return export.model_copy(update={name: float(value) for name, value in found.items()})
        reason = f"its vectors differ from the model's own (cosine {near.mean():.3f})"
    except OSError:
        raise
    except Exception as error:  # a model may hold anything, and every layer below has its own kinds of error
        reason = str(error).split("\n")[0]
    _log.warning("model %s is used with torch, as it cannot be exported: %s", model.name, reason)
    _keep_only(work)
    return nothing


def _keep_only(work: Path, *names: str) -> None:
    for graph in work.glob("*.onnx*"):
        if graph.stem not in names:
            graph.unlink()


def _write_float32(reference: TorchEncoder, path: Path) -> None:
    """Trace the model on two short texts; lengths and numbers of texts stay open."""
    import torch

    module = reference.module
    for part in module.modules():
        choose = getattr(part, "set_attn_implementation", None)
        if choose is not None:
            choose("eager")  # torch's fused attention becomes more steps than it has
    tokens = module.tokenizer(["a short text", "and another"], padding=True, return_tensors="pt")
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokens]

    class Graphed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            features: dict[str, torch.Tensor] = dict(zip(names, values, strict=True))
            for layer in self.inner:
                features = layer(features)
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    torch.onnx.export(
        Graphed().eval(),
        tuple(tokens[name] for name in names),
        str(path),
        input_names=names,
        output_names=["embedding"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names} | {"embedding": {0: "texts"}},
        opset_version=_OPSET,
        dynamo=False,
    )


def _attention(reference: TorchEncoder) -> tuple[int, int]:
    """How many heads the model's attention has, and how wide its vectors are; both 0 if it does not tell."""
    config = getattr(reference.module, "config", None)
    heads, width = (getattr(config, name, 0) for name in ("num_attention_heads", "hidden_size"))
    told = isinstance(heads, int) and isinstance(width, int) and heads > 0 and width % heads == 0
    return (heads, width) if told else (0, 0)


def _write_int8(float32: Path, path: Path, heads: int = 0, width: int = 0) -> None:
    """Make all weights 8 bits, and each layer's attention one step where it is BERT's with so many heads.

    For a question of some twelve tokens the many steps that an attention is traced as take as long as its sums.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    wanted = FusionOptions("bert")
    wanted.enable_embed_layer_norm = wanted.enable_bias_gelu = False
    wanted.enable_skip_layer_norm = wanted.enable_bias_skip_layer_norm = False
    fused = path.with_suffix(".fused.onnx")
    optimize_model(str(float32), "bert", heads, width, optimization_options=wanted, opt_level=0).save_model_to_file(
        str(fused),
        use_external_data_format=True,  # one file holds 2 GB at most
    )
    named = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # of what comes out of a step that onnx does not know
    quantize_dynamic(fused, path, weight_type=QuantType.QInt8, per_channel=True, extra_options=named)
    for part in path.parent.glob(f"{fused.name}*"):
        part.unlink()


def _write_weights8(float32: Path, path: Path) -> None:
    """Store what activations are multiplied with in 8 bits, with a scale for each column; the graph stays as it is.

    OpenVINO multiplies them as they are where that is faster; ONNX Runtime makes them float32 again.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(float32)
    weights = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    multiplied = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"} & weights.keys()
    restored: list[onnx.NodeProto] = []
    for name in sorted(multiplied):
        values = numpy_helper.to_array(weights[name])
        scales = np.maximum(np.abs(values).max(axis=0) / 127, np.finfo(np.float32).tiny).astype(np.float32)
        parts = {f"{name}_whole": np.rint(values / scales).astype(np.int8), f"{name}_scales": scales}
        model.graph.initializer.remove(weights[name])
        model.graph.initializer.extend(numpy_helper.from_array(part, its) for its, part in parts.items())
        restored.append(helper.make_node("DequantizeLinear", list(parts), [name], axis=1))
    nodes = [*restored, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Exporting warns of what is meant here: the legacy exporter, constants that it folds, no preprocessing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    sys.stdout.flush()
    printed = os.dup(1)
    try:
        with warnings.catch_warnings(), open(os.devnull, "wb") as nowhere:
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 1)  # what cannot be exported is printed by torch's C++, graph and all
            yield
    finally:
        sys.stdout.flush()
        os.dup2(printed, 1)
        os.close(printed)
        logging.disable(before)
