"""The base class of records."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A record that cannot be changed."""

    model_config = ConfigDict(frozen=True)
