"""Settings of one server or command, read once from ``MELBO_*`` environment variables and passed down."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where things are kept and what the machine may use. Every field can be set as ``MELBO_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="MELBO_", frozen=True)

    cache_dir: Path = Field(ROOT / "cache", description="What is made at run time: weights, banks, the database.")
    assets_dir: Path = Field(ROOT / "assets", description="What ships: sample banks and sets of prompts.")
    database_url: str | None = Field(
        None, description="postgresql+psycopg://… instead of the file melbo.sqlite in the cache."
    )
    model: str = Field("SmolLM2-135M-Instruct", description="Model to start with: key, hub name, folder or .gguf file.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    dtype: str = Field("auto", description="auto, float32, bfloat16, float16.")
    memory_gb: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Memory that work may use; default: 70 % of what is free."
    )
    host: str = Field("127.0.0.1", description="Address the page listens on.")
    port: int = Field(7860, ge=1, le=65535, description="Port the page listens on.")
    mcp: bool = Field(False, description="Whether the verbs of the HTTP API are MCP tools as well.")
