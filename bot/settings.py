"""Every setting, in one place, validated and read once.

Flags win over the environment (``SIGNPOST_*``), which wins over ``signpost.toml`` in the working folder, which wins
over the defaults below. The README's table is compared with this class by a test.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from bot.errors import SettingsError

#: The name under which the packaged model is known.
PACKAGED_MODEL = "all-MiniLM-L6-v2"

#: Longest question, in characters. A limit of the contract, not a setting: tokenising long text is a cheap attack.
MAX_QUESTION = 1_000

#: Processes where it is not said how many: each takes some 25 MB of memory on top of what they share.
_MOST_WORKERS = 4

Starter = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")]

#: As browsers write it in the Origin header; ``null`` is a page that was opened as a file.
Origin = Annotated[str, StringConstraints(pattern="^(?:null|https?://[a-z0-9.:\\[\\]-]+)$")]


Proxy = Annotated[str, AfterValidator(lambda network: str(ipaddress.ip_network(network)))]


class Settings(BaseSettings):
    """What an operator may decide. Unknown names in the file are refused, so that a misspelt one is noticed."""

    model_config = SettingsConfigDict(
        env_prefix="SIGNPOST_",
        env_ignore_empty=True,
        toml_file="signpost.toml",
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    corpus: Path = Field(Path("corpus"), description="folder with the documents")
    index: Path = Field(Path("index"), description="folder with the built snapshots")
    model: str = Field(
        PACKAGED_MODEL,
        min_length=1,
        description="embedding model: the packaged one, a folder, or a name in the local Hugging Face cache",
    )
    model_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="expected sha256 of the model's weights; checked before use"
    )
    question_prefix: str = Field("", max_length=200, description='put before a question, e.g. "query: " for E5 models')
    passage_prefix: str = Field("", max_length=200, description='put before a passage, e.g. "passage: " for E5 models')
    encoder_folder: Path | None = Field(
        None, description="folder with the exported model; when empty, `encoder` below the index folder"
    )
    languages: tuple[Language, ...] = Field(
        ("en",), description="languages that the model knows, as codes; empty if it knows any"
    )
    passage_tokens: int = Field(160, ge=32, le=4_096, description="length a passage aims at, in the model's tokens")
    index_factory: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="FAISS index to build, as `index_factory` names it; when empty, chosen by the number of passages",
    )
    name: str = Field("Signpost", min_length=1, max_length=60, description="name shown on the pages and in the widget")
    greeting: str | None = Field(
        None, min_length=1, max_length=300, description="what the widget says first; when empty, its own words"
    )
    suggestions: tuple[Starter, ...] = Field(
        (), max_length=4, description="starter questions; when empty, the documents' own `questions`"
    )
    origins: tuple[Origin, ...] = Field(
        (), max_length=50, description="sites whose pages may use the API and frame the pages, as `https://example.org`"
    )
    feedback: bool = Field(False, description="whether people can say if an answer helped; only counted, in `/metrics`")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0 takes a free one")
    rate_limit: int = Field(
        0, ge=0, le=1_000_000, description="questions a minute from one address; 0 for no limit; a sixth of it at once"
    )
    proxies: tuple[Proxy, ...] = Field(
        (), max_length=50, description="networks of your own proxies, whose `X-Forwarded-For` tells the address"
    )
    admin_key: SecretStr | None = Field(
        None,
        min_length=16,
        max_length=200,
        description="key that `POST /v1/admin/reindex` asks for; when empty, no such",
    )
    watch: bool = Field(False, description="whether to build the index again when the corpus changes")
    answer_cache: int = Field(
        0, ge=0, le=100_000, description="answers that each process keeps, with their questions, for who asks the same"
    )
    workers: int = Field(0, ge=0, le=64, description="processes that answer; 0 for one on each core, four at most")

    @property
    def processes(self) -> int:
        """How many processes answer: Python runs on one core each."""
        return self.workers or min(os.cpu_count() or 1, _MOST_WORKERS)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file; no ``.env`` and no secrets folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**flags: object) -> Settings:
    """Read and validate the settings; a flag that is ``None`` was not given.

    :raises SettingsError: naming the setting and what is wrong with it, for all of them at once.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("; ".join(faults)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"signpost.toml is not valid TOML: {error}") from error
    except SourceError as error:
        raise SettingsError(f'{error}: a list is written like ["one", "two"]') from error
