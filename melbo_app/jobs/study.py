"""The base of studies: one use case each, from request to result. ``melbo_app/studies/`` has one per file."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.quoting import shown

Result = TypeVar("Result")
How = Literal["look", "compute", "job", "training"]


@dataclass(frozen=True)
class Option:
    """The form of a field on the command line, if it has another name or parser there; used in ``Annotated``.

    ``parse`` converts the option's text, and ``default`` is the text if the option is left out.
    """

    name: str
    parse: Callable[[str], Any] | None = None
    default: str | None = None


class Made(NamedTuple):
    """A study's results in the library: name of a bank and number of a comparison, for the job's record."""

    bank: str | None = None
    comparison: int | None = None


class Study(BaseModel, Generic[Result]):
    """A request, serialisable as JSON. Its fields become the options of the command line and the arguments of the HTTP
    API, MCP and Python; its docstring becomes their help.

    Attributes:
        kind: its name in jobs; it is stored in the database, so it never changes.
        verb: the name of the command and of the endpoint; by default the ``kind``.
        how: "look" is one pass of the model, "compute" is done in the request itself, a "job" begins at once in the
            background, and a "training" waits for the trainings before it. Programs that request a job wait for its
            result; those that request a training get the job.
        doors: where the verb is offered.
        hidden: fields that the doors do not offer.
        makes_bank: whether it makes a bank.
        loads: whether it loads models of its own, beside the server's; its job waits for none.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: ClassVar[str]
    verb: ClassVar[str]
    how: ClassVar[How] = "job"
    doors: ClassVar[frozenset[Literal["command", "http"]]] = frozenset({"command", "http"})
    hidden: ClassVar[frozenset[str]] = frozenset()
    makes_bank: ClassVar[bool] = False
    loads: ClassVar[bool] = False

    def __init__(self, **fields: Any) -> None:
        """Raises InputError for missing fields and wrong types."""
        if unknown := fields.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        try:
            super().__init__(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "request"
            problem = "it is missing" if first["type"] == "missing" else f"{shown(first['input'])} cannot be used"
            raise InputError(field, problem, first["msg"]) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "verb" not in cls.__dict__ and "kind" in cls.__dict__:
            cls.verb = cls.kind.replace("-", "_")

    def kept(self) -> dict[str, Any]:
        """The study as JSON; ``studies.read_study`` restores it."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @property
    def title(self) -> str:
        """The title of its job."""
        return self.verb.replace("_", " ").capitalize()

    @property
    def bank_name(self) -> str | None:
        """The name of the bank that it will make; two active jobs cannot use the same name."""
        return None

    def bound(self, bench: Bench) -> Self:
        """The same study with defaults filled in: the loaded model, the bank's prompts."""
        return self

    def other_model(self, bench: Bench) -> str | None:
        """The model that it needs, if another one is loaded."""
        return None

    def renamed(self, bench: Bench, taken: Sequence[str]) -> Self:
        """The same study with a free name for its bank; ``taken`` are the names used by active jobs."""
        return self

    def check(self, bench: Bench) -> None:
        """Raise InputError for mistakes that can be found without the model."""

    def check_model(self, bench: Bench) -> None:
        """Raise InputError for requests that the loaded model cannot fulfil, before the job is queued."""

    def run(self, bench: Bench, stop: Stop) -> Generator[Any, None, Result]:
        """Yield progress (``stage``, ``done``, ``total`` and perhaps a ``note`` for the log) and return the result.

        Raises:
            InputError: the study cannot be done.
            Stopped: ``stop()`` became true before there was anything to keep.
        """
        raise NotImplementedError

    def made(self, result: Result) -> Made:
        """The parts of the result that are in the library."""
        return Made()

    def answer(self, result: Result, not_kept: str | None) -> Any:
        """The result as JSON, the same at every door; ``not_kept`` says why it could not be stored."""
        return result.model_dump(mode="json") if isinstance(result, BaseModel) else result

    def lines(self, result: Result) -> list[str]:
        """The result for the terminal."""
        return [str(self.answer(result, None))]


class ModelStudy(Study[Result]):
    """A study that names its model; other studies name a bank, which records its model."""

    model: str = ""
    model_hash: str | None = None
    """Hash of the weights; None if no model was loaded yet."""

    def bound(self, bench: Bench) -> Self:
        if self.model:
            return self
        loaded = bench.model.state().weights_hash
        return self.model_copy(update={"model": bench.model.spec, "model_hash": loaded})

    def other_model(self, bench: Bench) -> str | None:
        return None if self.loads or bench.model.is_meant(self.model, self.model_hash) else self.model


class ResumableStudy(ModelStudy[Result]):
    """A study that can resume from a checkpoint."""

    def run(self, bench: Bench, stop: Stop) -> Generator[Any, None, Result]:
        return self.resume(bench, stop, None)

    def resume(self, bench: Bench, stop: Stop, checkpoint: Checkpointing | None) -> Generator[Any, None, Result]:
        """Like ``run``, but from the state in ``checkpoint``, and saving states in it."""
        raise NotImplementedError
