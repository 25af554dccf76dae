"""Settings of one server or command, read once from ``MELBO_*`` environment variables and passed down."""

import os
import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_cache_path
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from melbo_app.errors import InputError
from melbo_app.hosts import read_embedder, read_host, read_network
from melbo_app.paths import absolute, expanded, written_path
from melbo_app.prefix import read_prefix

_PACKAGE = Path(__file__).resolve().parent
IS_CLONE = (_PACKAGE.parent / "pyproject.toml").is_file() and (_PACKAGE.parent / "assets").is_dir()
ROOT = _PACKAGE.parent if IS_CLONE else _PACKAGE
"""Folder of the files that ship with the code: the clone, or the installed package."""
CACHE = ROOT / "cache" if IS_CLONE else user_cache_path("melbo-explorer", appauthor=False)
Names = Annotated[tuple[str, ...], NoDecode]
_NAMES: dict[str, tuple[Callable[[str], Any], str]] = {
    "allow_host": (partial(read_host, pattern=True), "a host name, such as lab.example or *.lab.example"),
    "trusted_proxy": (read_network, "an address or network, such as 127.0.0.1 or 10.0.0.0/8"),
    "embed": (read_embedder, "an origin, such as https://lab.example"),
}


class Settings(BaseSettings):
    """The settings; ``MELBO_<NAME>`` sets each field, and an empty value means the default. Folders and files may begin
    with ``~`` or ``$HOME``, and become absolute paths."""

    model_config = SettingsConfigDict(env_prefix="MELBO_", env_ignore_empty=True, frozen=True)

    cache_dir: Path = Field(CACHE, description="Folder of generated files: weights, banks, the database.")
    assets_dir: Path = Field(ROOT / "assets", description="Folder of shipped files: sample banks and sets of prompts.")
    uploads_dir: Path | None = Field(
        None, validation_alias="GRADIO_TEMP_DIR", description="Folder of uploaded files; default: in the cache."
    )
    database_url: str | None = Field(
        None, description="postgresql+psycopg://… instead of the file melbo.sqlite in the cache."
    )
    model: str = Field("SmolLM2-135M-Instruct", description="Model to start with: key, hub name, folder or .gguf file.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    dtype: str = Field("auto", description="auto, float32, bfloat16, float16.")
    memory_gb: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Memory that work may use; default: 70 % of the free memory."
    )
    host: str = Field("127.0.0.1", description="Address the page listens on.")
    port: int = Field(7860, ge=1, le=65535, description="Port the page listens on.")
    root_path: str = Field("", description="Path below which a proxy shows the page, such as /proxy/7860.")
    allow_host: Names = Field(
        (), description="Names under which browsers reach the server, besides those of this machine."
    )
    trusted_proxy: Names = Field((), description="Addresses of proxies whose X-Forwarded-For is trusted.")
    embed: Names = Field((), description="Origins whose pages may show this one in a frame.")
    token: SecretStr | None = Field(
        None, description="Access token; default: a new one if other machines can reach the server."
    )
    no_token: bool = Field(False, description="Let other machines reach the server without a token.")
    mcp: bool = Field(False, description="Offer the verbs of the HTTP API as MCP tools, too.")
    public: bool = Field(False, description="Let strangers use the page: no deletions, and quotas per visitor.")
    models: Names = Field(
        (), description="The only models, separated by commas, that the page loads besides the first; default: any."
    )
    judge_url: str | None = Field(None, description="Address of the judge for MELBO_JUDGE_KEY: https://host/v1.")
    judge_model: str | None = Field(None, description="Name of that judge's model.")

    @property
    def uploads(self) -> Path:
        """The folder of uploads and downloads; old files in it are removed, so it holds nothing else."""
        return self.cache_dir / "uploads" if self.uploads_dir is None else self.uploads_dir / "melbo-explorer"

    @field_validator("cache_dir", "assets_dir", "uploads_dir", mode="before")
    @classmethod
    def _folder(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, (str, Path)):
            return given
        if not str(given).strip():
            return cls.model_fields[str(info.field_name)].default
        path = _path(str(given))
        if os.path.exists(path) and not os.path.isdir(path):
            raise PydanticCustomError("path", "“{path}” is a file. Name a folder", {"path": str(path)})
        return path

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: str | None) -> str | None:
        """Expands the path in an SQLite address."""
        scheme, mark, rest = (url or "").partition(":///")
        file, query, options = rest.partition("?")
        if not scheme.startswith("sqlite") or not file or file == ":memory:":
            return url
        path = _path(file)
        if os.path.isdir(path):
            raise PydanticCustomError("path", "“{path}” is a folder. Name a file in it", {"path": str(path)})
        return f"{scheme}{mark}{path}{query}{options}"

    @field_validator("model")
    @classmethod
    def _model(cls, spec: str) -> str:
        """Makes existing paths absolute. Names and missing files stay as they are; loading them raises the error."""
        path = expanded(spec)
        is_path = os.sep in path and os.path.exists(path)
        return str(absolute(Path(path))) if is_path else path

    @field_validator("allow_host", "trusted_proxy", "embed", "models", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """Splits lists at commas, as in environment variables."""
        parts = given.split(",") if isinstance(given, str) else given
        return [part.strip() for text in parts for part in str(text).split(",") if part.strip()]

    @field_validator(*_NAMES)
    @classmethod
    def _names(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        read, right = _NAMES[str(info.field_name)]
        for text in given:
            if read(text) is None:
                raise PydanticCustomError("name", "“{text}” is not {right}", {"text": text[:80], "right": right})
        return given

    @field_validator("token")
    @classmethod
    def _secret(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not re.fullmatch(r"[A-Za-z0-9_.~-]{16,200}", given.get_secret_value()):
            raise PydanticCustomError("token", "it needs 16 to 200 letters, digits or . _ ~ -")
        return given

    @field_validator("models")
    @classmethod
    def _models(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Treats each like ``model``."""
        return tuple(cls._model(name) for name in given)

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, given: str) -> str:
        prefix = read_prefix(given)
        if prefix is None:
            template = "“{path}” cannot be used. Write the path below which the page is, such as /proxy/7860"
            raise PydanticCustomError("path", template, {"path": given[:80]})
        return prefix


def fault(error: ValidationError, words: Collection[str] = ()) -> str:
    """The problem with the settings on one line; ``words`` are the fields given as words of the command."""
    first = error.errors()[0]
    name = "_".join(map(str, first["loc"]))
    if name in words:
        name = name.replace("_", "-")
    elif not name.isupper():
        name = f"MELBO_{name.upper()}"
    return f"{name}: {first['msg']}."


def _path(text: str) -> Path:
    try:
        return absolute(written_path(text))
    except InputError as refused:
        sentence = f"{refused.problem}. {refused.remedy}"
        raise PydanticCustomError("path", "{sentence}", {"sentence": sentence}) from refused
