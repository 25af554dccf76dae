"""What a person asked a job to do: all that is needed to do it, and to do it again."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.library.explorations import ExploreSettings


class TrainingRequest(BaseModel):
    """A training. ``model_hash`` is that of the weights it is meant for; None: no model was loaded yet."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: Literal["training"] = "training"
    prompts: tuple[Prompt, ...]
    config: TrainingConfig
    name: str
    model: str
    model_hash: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Training “{self.name}”"


class _Completing(BaseModel):
    model_config = ConfigDict(frozen=True)

    bank: str
    prompts: tuple[Prompt, ...]
    vectors: tuple[int, ...]
    radii: tuple[float, ...]
    decoding: Decoding
    random_control: bool = False


class MapRequest(_Completing):
    """Completions, embedded and laid out."""

    kind: Literal["map"] = "map"

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Map of “{self.bank}”"


class SweepRequest(_Completing):
    """The same vectors at many R."""

    kind: Literal["sweep"] = "sweep"
    both_signs: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Sweep of “{self.bank}” over {len(self.radii)} R"


def _beginning(prompt: Prompt) -> str:
    words = " ".join(prompt.user.split())
    return words if len(words) <= 40 else words[:39] + "…"


class AtlasRequest(BaseModel):
    """A layer atlas: pairs of layers, and those of them whose vectors are completed with (None: all)."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: Literal["atlas"] = "atlas"
    prompts: tuple[Prompt, ...]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    read: tuple[tuple[int, int], ...] | None
    scope: str
    model: str
    model_hash: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Layers on “{_beginning(self.prompts[0])}”"


class CurveRequest(BaseModel):
    """A diversity curve: vectors trained at each R, one bank trained and rescaled, or the first vectors of ``bank``."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: Literal["curve"] = "curve"
    prompts: tuple[Prompt, ...]
    training: TrainingConfig | None
    bank: str | None
    rescaled: bool
    relative_radii: tuple[float, ...]
    vectors: int
    seeds: int
    decoding: Decoding
    model: str
    model_hash: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Curve over R on “{_beginning(self.prompts[0])}”"


class ExploreRequest(BaseModel):
    """One press of Explore."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: Literal["explore"] = "explore"
    prompt: Prompt
    settings: ExploreSettings
    model: str
    model_hash: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Exploring “{_beginning(self.prompt)}”"


Request = TrainingRequest | MapRequest | SweepRequest | AtlasRequest | CurveRequest | ExploreRequest
_READER: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])


def read_request(kept: dict[str, Any]) -> Request:
    """The request that was kept as JSON. Raises InputError where this version cannot read it."""
    try:
        return _READER.validate_python(kept)
    except (ValidationError, InputError) as error:
        raise InputError("job", "it was asked for in another version's words", "Fill in the form again") from error
