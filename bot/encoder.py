"""Text -> unit vectors. With ``bot.export`` the one place that knows ONNX Runtime, OpenVINO and torch.

``OnnxEncoder`` serves: it runs what ``bot.export`` made of a model, and imports neither torch nor transformers.
``TorchEncoder`` runs the model itself with sentence-transformers: the reference that an export is checked against, and
what is used where a model cannot be exported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding

from bot.errors import ModelError
from bot.model import Model
from bot.types import Embeddings, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Tokens of one batch, padding included; and most texts of one.
_BATCH_TOKENS, _BATCH_TEXTS = 4_096, 64

#: Tokens that are read of a text by a model that sets no limit.
_LONGEST = 8_192

#: Activations are made 8 bits in groups of so many where weights are 8 bits and the processor multiplies such numbers.
_OPENVINO = {"PERFORMANCE_HINT": "LATENCY", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"}

#: ONNX Runtime would make one step of an addition and the layer normalisation or the GELU after it, which takes longer
#: than the two: with the former three times as long.
_SLOWER = ["SkipLayerNormFusion", "BiasGeluFusion"]

_log = logging.getLogger("signpost")

_AGAIN = "remove its folder and run `signpost index`"

#: What a graph is fed: its inputs by name, each of shape (texts, tokens).
Feed: TypeAlias = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What a model wants before its texts, such as ``query: `` and ``passage: ``."""

    question: str = ""
    passage: str = ""

    def __str__(self) -> str:
        """What tells vectors made with these prefixes from those made without; empty without any."""
        return json.dumps([self.question, self.passage]) if self.question or self.passage else ""


@dataclass(frozen=True, slots=True)
class Graph:
    """A file with an exported model, and the sha256 that it must have."""

    path: Path
    sha256: str

    def checked(self) -> Path:
        """Return the path, after its bytes were checked.

        :raises ModelError: if they are not what was exported.
        """
        self.read()
        return self.path

    def read(self) -> bytes:
        """Return the file's bytes, checked; what is loaded are these, not the disk again.

        :raises ModelError: if they are not what was exported.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelError(f"the exported model {str(self.path)!r} cannot be read: {error.strerror}; {_AGAIN}") from (
                error
            )
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ModelError(f"the exported model {str(self.path)!r} is not what was exported; {_AGAIN}")
        return data


class _Tokenized:
    """What both encoders know of a model's tokenizer."""

    def __init__(self, model: Model, prefixes: Prefixes, longest: int) -> None:
        self._counter = model.tokenizer
        self._prefixes = prefixes
        empty, prefixed = self.count_tokens(["", prefixes.passage])
        self.max_tokens = longest - max(0, prefixed - empty)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in tokens, special tokens included, with truncation off."""
        return [len(encoding.ids) for encoding in self._counter.encode_batch_fast(list(texts))]

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's word pieces, in order, without special tokens and without truncation."""
        return [encoding.ids for encoding in self._counter.encode_batch_fast(list(texts), add_special_tokens=False)]


class OnnxEncoder(_Tokenized):
    """Encodes with an exported graph. Texts are cut at ``max_tokens``; longer ones lose their end.

    A question goes through ``questions`` alone, unpadded, on the thread that asks; passages go through ``passages`` in
    batches of similar length, on all cores, with OpenVINO where it is installed. Threads may share one.

    :param longest: tokens that the model reads of a text.
    :param pad: id of the token that fills up the shorter texts of a batch.
    :raises ModelError: if a graph cannot be loaded.
    """

    def __init__(
        self,
        model: Model,
        prefixes: Prefixes,
        *,
        questions: Graph,
        passages: Graph,
        longest: int,
        pad: int,
        fingerprint: str,
    ) -> None:
        super().__init__(model, prefixes, longest)
        self.fingerprint = fingerprint
        self._passages = passages
        self._pad = pad
        self._longest = longest
        self._questions = _session(questions, threads=1)
        self._inputs = tuple(given.name for given in self._questions.get_inputs())
        self.dim = self.encode_question("").shape[1]
        self._bulk: Callable[[Feed], Embeddings] | None = None
        self._lock = threading.Lock()

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Return shape ``(len(texts), dim)``, float32 rows of length 1, in the order of ``texts``."""
        with self._lock:  # the graph for passages takes all cores for itself, and is loaded when first needed
            self._bulk = self._bulk or _bulk_runner(self._passages)
            found = self._counter.encode_batch_fast([self._prefixes.passage + text for text in texts])
            ids = [_cut(encoding, self._longest) for encoding in found]
            order = sorted(range(len(ids)), key=lambda number: -len(ids[number]))  # little padding in a batch
            rows = np.zeros((len(texts), self.dim), dtype=np.float32)
            start = 0
            while start < len(order):
                size = min(_BATCH_TEXTS, max(1, _BATCH_TOKENS // len(ids[order[start]])))
                chosen = order[start : start + size]
                rows[chosen] = self._bulk(self._feed([ids[number] for number in chosen]))
                start += len(chosen)
                if progress is not None:
                    progress(start)
        return rows

    def encode_question(self, text: str) -> Embeddings:
        """Return shape ``(1, dim)``, one float32 row of length 1."""
        ids = _cut(self._counter.encode(self._prefixes.question + text), self._longest)
        (rows,) = self._questions.run(None, self._feed([ids]))
        return np.asarray(rows, dtype=np.float32)

    def _feed(self, texts: Sequence[Sequence[int]]) -> Feed:
        longest = max(map(len, texts))
        ids = np.full((len(texts), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {name: values[name] for name in self._inputs}


def _cut(encoding: Encoding, longest: int) -> list[int]:
    """A text's tokens; of a text that is too long the first, and the special ones at its end."""
    if len(encoding.ids) <= longest:
        return encoding.ids
    trailing = next((n for n, special in enumerate(reversed(encoding.special_tokens_mask)) if not special), 0)
    return encoding.ids[: longest - trailing] + encoding.ids[len(encoding.ids) - trailing :]


def _session(graph: Graph, threads: int) -> onnxruntime.InferenceSession:
    """:param threads: how many work on one run; 0 for one on each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    path = graph.checked()
    try:  # by its path: a session keeps the bytes that it is given, 22 MB that are of no more use
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
    except Exception as error:  # its kinds of error have nothing else in common
        raise ModelError(f"the exported model {str(graph.path)!r} cannot be loaded; {_AGAIN}") from error


def _bulk_runner(graph: Graph) -> Callable[[Feed], Embeddings]:
    """The faster of the two engines that run a graph on all cores, of those that are installed and can run it here."""
    try:
        return _openvino_runner(graph)
    except ImportError:
        pass
    except RuntimeError as error:  # as where a virtual machine hides some of what the processor says it has
        _log.warning("OpenVINO cannot run the exported model here: %s", str(error).strip().split("\n")[-1])
    session = _session(graph, threads=0)
    return lambda feed: np.asarray(session.run(None, feed)[0], dtype=np.float32)


def _openvino_runner(graph: Graph) -> Callable[[Feed], Embeddings]:
    import openvino
    from openvino.passes import ConstantFolding, Manager

    core = openvino.Core()
    model = core.read_model(graph.read())
    if _multiplies_tiles():  # of bfloat16, which weights of 8 bits would be made again for each batch
        once = Manager()
        once.register_pass(ConstantFolding())
        once.run_passes(model)
    request = core.compile_model(model, "CPU", _OPENVINO).create_infer_request()
    request.infer({given.get_any_name(): np.ones((1, 1), dtype=np.int64) for given in model.inputs})
    return lambda feed: _unit(np.array(request.infer(feed)[0], dtype=np.float32))


def _multiplies_tiles() -> bool:
    """Whether the processor has Intel's Advanced Matrix Extensions, as Linux tells."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False


def _unit(rows: Embeddings) -> Embeddings:
    """Rows of length 1: in bfloat16 a graph's own normalising is off by up to one in 300."""
    scaled: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


class TorchEncoder(_Tokenized):
    """Encodes with sentence-transformers. Texts are cut at ``max_tokens``; longer ones lose their end.

    A lock guards the tokenizer's settings, which sentence-transformers changes while it encodes.

    :raises ModelError: if the model cannot be loaded.
    """

    def __init__(self, model: Model, prefixes: Prefixes) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.module = _load(model)
        super().__init__(model, prefixes, int(min(self.module.max_seq_length or 512, _LONGEST)))
        self.fingerprint = f"{model.name} torch {prefixes}".strip()
        self.dim = int(self.module.get_embedding_dimension() or 0)
        self._lock = threading.Lock()

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Return shape ``(len(texts), dim)``, float32 rows of length 1, in the order of ``texts``."""
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))  # little padding in a batch
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(order), _BATCH_TEXTS):
            chosen = order[start : start + _BATCH_TEXTS]
            rows[chosen] = self._encode([self._prefixes.passage + texts[number] for number in chosen])
            if progress is not None:
                progress(start + len(chosen))
        return rows

    def encode_question(self, text: str) -> Embeddings:
        """Return shape ``(1, dim)``, one float32 row of length 1."""
        return self._encode([self._prefixes.question + text])

    def _encode(self, texts: list[str]) -> Embeddings:
        with self._lock:
            rows = self.module.encode(
                texts, batch_size=_BATCH_TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(rows, dtype=np.float32)


def _load(model: Model) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(model.folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:  # each library below has its own kinds of error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {model.name!r} cannot be loaded: {reason}") from error
