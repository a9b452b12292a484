"""Real models to export or to harm: the packaged one, link by link, and tiny ones that take a second instead of ten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, FNetConfig, FNetModel

from bot.model import Model, find_model
from bot.settings import load_settings
from bot.types import Embeddings

#: Tokens that a tiny model reads of a text.
LONGEST = 48


def direct(model: Model) -> SentenceTransformer:
    """The oracle: a model as its makers mean it to be used."""
    return SentenceTransformer(str(model.folder), device="cpu", local_files_only=True)


def expected(reference: SentenceTransformer, texts: Sequence[str]) -> Embeddings:
    """Unit vectors, each text by itself, so that no text is padded."""
    rows: Embeddings = reference.encode(list(texts), batch_size=1, normalize_embeddings=True, show_progress_bar=False)
    return rows


def link(model: Model, folder: Path) -> Path:
    """Fill a folder with a model, file by file, to be harmed; the files are links."""
    for path in model.folder.rglob("*"):
        if path.is_file():
            place = folder / path.relative_to(model.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return folder


def replace(path: Path, content: bytes | dict[str, object] | list[object]) -> None:
    """Write another file in a link's place."""
    path.unlink()
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def tiny(packaged: Model, folder: Path, *, pooling: str = "mean", unit: bool = True, outlier: bool = False) -> Path:
    """Write a BERT with the packaged model's words, and random weights that are the same each time.

    :param unit: whether the model makes vectors of length 1 itself.
    :param outlier: whether one weight, of a word that no text has, is so large that the others vanish beside it.
    """
    torch.manual_seed(0)
    bert = BertModel(
        BertConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    )
    if outlier:
        with torch.no_grad():
            bert.embeddings.word_embeddings.weight[1, 0] = 1e4
    return _written(bert, packaged, folder, pooling=pooling, unit=unit)


def fourier(packaged: Model, folder: Path) -> Path:
    """Write an FNet, whose Fourier transforms cannot be expressed in the ONNX of an export."""
    torch.manual_seed(0)
    config = FNetConfig(
        vocab_size=30_522, hidden_size=32, num_hidden_layers=2, intermediate_size=64, max_position_embeddings=64
    )
    return _written(FNetModel(config), packaged, folder)


def static(packaged: Model, folder: Path) -> Path:
    """Write a model without any transformer, which looks up a vector for each word and reads texts of any length."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(packaged.folder / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu").save(str(folder))
    return folder


def _written(
    weights: BertModel | FNetModel, packaged: Model, folder: Path, *, pooling: str = "mean", unit: bool = True
) -> Path:
    weights.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).symlink_to(packaged.folder / name)
    parts = ["Transformer", "Pooling", "Normalize"] if unit else ["Transformer", "Pooling"]
    modules = [
        {"idx": number, "name": str(number), "path": f"{number}_{part}" if number else "", "type": f"{_KIND}.{part}"}
        for number, part in enumerate(parts)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode": pooling})
    )
    return folder


_KIND = "sentence_transformers.models"


def found(folder: Path) -> Model:
    """Find a model in a folder, as Signpost does."""
    return find_model(load_settings(model=str(folder)))
