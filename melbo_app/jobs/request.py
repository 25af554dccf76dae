"""What a person asked a job to do: all that is needed to do it, and to do it again."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import COUNTED_BY, TrainingConfig
from melbo_app.errors import InputError
from melbo_app.library.explorations import ExploreSettings
from melbo_app.library.generality import AskedPrompt


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())

    @property
    def title(self) -> str:
        """What people call it."""
        raise NotImplementedError


class _OfModel(_Asked):
    """``model_hash`` is that of the weights it is meant for; None: no model was loaded yet."""

    model: str
    model_hash: str | None = None


class TrainingRequest(_OfModel):
    """A training."""

    kind: Literal["training"] = "training"
    prompts: tuple[Prompt, ...]
    config: TrainingConfig
    name: str
    search_seconds: float | None = None
    """How long to look for R and the effect budget first, in place of the config's; None: the config has them."""
    other_layers: bool = False
    """Whether that search may take other layers than the config's."""
    measured_radius: float | Literal["suggested"] | None = None
    """R as a multiple of the median norm of the prompts, or as it is suggested for them: measured when the job begins,
    in place of the config's; None: the config has it."""

    @field_validator("config", mode="before")
    @classmethod
    def _without_unused(cls, kept: Any) -> Any:
        """Earlier versions took options that the method left unused: without them it is the same training."""
        if not isinstance(kept, dict):
            return kept
        unused = {option for option, methods in COUNTED_BY.items() if kept.get("method") not in methods}
        unused |= set() if kept.get("agreement") else {"temperature", "agreement_form"}
        return {option: value for option, value in kept.items() if option not in unused}

    @property
    def title(self) -> str:
        return f"Training “{self.name}”"


class _Completing(_Asked):
    bank: str
    prompts: tuple[Prompt, ...]
    vectors: tuple[int, ...]
    decoding: Decoding
    random_control: bool = False


class MapRequest(_Completing):
    """Completions, embedded and laid out. Without ``radii`` each vector has the norm that it has in the bank."""

    kind: Literal["map"] = "map"
    radii: tuple[float, ...] | None

    @property
    def title(self) -> str:
        return f"Map of “{self.bank}”"


class SweepRequest(_Completing):
    """The same vectors at many R."""

    kind: Literal["sweep"] = "sweep"
    radii: tuple[float, ...]
    both_signs: bool = False

    @property
    def title(self) -> str:
        return f"Sweep of “{self.bank}” over {len(self.radii)} R"


class AtlasRequest(_OfModel):
    """A layer atlas: pairs of layers, and those of them whose vectors are completed with (None: all)."""

    kind: Literal["atlas"] = "atlas"
    prompts: tuple[Prompt, ...]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    read: tuple[tuple[int, int], ...] | None
    scope: str

    @property
    def title(self) -> str:
        return f"Layers on “{_beginning(self.prompts[0])}”"


class CurveRequest(_OfModel):
    """A diversity curve: vectors trained at each R, one bank trained and rescaled, or the first vectors of ``bank``."""

    kind: Literal["curve"] = "curve"
    prompts: tuple[Prompt, ...]
    training: TrainingConfig | None
    bank: str | None
    rescaled: bool
    relative_radii: tuple[float, ...]
    vectors: int
    seeds: int
    decoding: Decoding

    @property
    def title(self) -> str:
        return f"Curve over R on “{_beginning(self.prompts[0])}”"


class ExploreRequest(_OfModel):
    """One press of Explore."""

    kind: Literal["explore"] = "explore"
    prompt: Prompt
    settings: ExploreSettings

    @property
    def title(self) -> str:
        return f"Exploring “{_beginning(self.prompt)}”"


class GeneralityRequest(_Asked):
    """Vectors on many prompts, beside random ones. Without ``radius`` each has the norm that it has in the bank."""

    kind: Literal["generality"] = "generality"
    bank: str
    prompts: tuple[AskedPrompt, ...]
    vectors: tuple[int, ...]
    radius: float | None
    random: int
    decoding: Decoding

    @property
    def title(self) -> str:
        return f"Generality of “{self.bank}” on {len(self.prompts)} prompts"


def _beginning(prompt: Prompt) -> str:
    words = " ".join(prompt.user.split())
    return words if len(words) <= 40 else words[:39] + "…"


Request = TrainingRequest | MapRequest | SweepRequest | AtlasRequest | CurveRequest | ExploreRequest | GeneralityRequest
_READER: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])


def read_request(kept: dict[str, Any]) -> Request:
    """The request that was kept as JSON. Raises InputError where this version cannot read it."""
    try:
        return _READER.validate_python(kept)
    except (ValidationError, InputError) as error:
        raise InputError("job", "it was saved by an incompatible version", "Fill in the form again") from error
