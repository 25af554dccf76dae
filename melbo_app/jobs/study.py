"""A study: one use case, from what is asked for to what comes of it. ``melbo_app/studies/`` holds one in each file."""

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
    """How the command line writes a field, where that is not as the field is called, in an ``Annotated`` type.

    ``parse`` reads a field from one text, ``default`` is the text where none is given.
    """

    name: str
    parse: Callable[[str], Any] | None = None
    default: str | None = None


class Made(NamedTuple):
    """What a study put into the library: the name of a bank and the number of a comparison, for the job's record."""

    bank: str | None = None
    comparison: int | None = None


class Study(BaseModel, Generic[Result]):
    """What is asked for, as JSON can hold it. Its fields become the options of the command line and the arguments of
    the HTTP API, MCP and Python; its docstring becomes their help.

    Attributes:
        kind: what jobs call it; kept in the database, so it never changes.
        verb: the name of the command and of the endpoint; by default the ``kind``.
        how: "look" is one pass of the model, "compute" is done in the request itself, a "job" begins at once in the
            background, and a "training" waits for the trainings before it. Programs that ask for a job wait for its
            result; those that ask for a training get the job.
        doors: where the verb is offered.
        hidden: fields that the doors do not offer.
        makes_bank: whether a bank comes of it.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: ClassVar[str]
    verb: ClassVar[str]
    how: ClassVar[How] = "job"
    doors: ClassVar[frozenset[Literal["command", "http"]]] = frozenset({"command", "http"})
    hidden: ClassVar[frozenset[str]] = frozenset()
    makes_bank: ClassVar[bool] = False

    def __init__(self, **fields: Any) -> None:
        """Raises InputError for a field that is missing or of another type."""
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
        """The study as JSON can hold it; ``studies.read_study`` gives it back."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @property
    def title(self) -> str:
        """What people call the job."""
        return self.verb.replace("_", " ").capitalize()

    @property
    def bank_name(self) -> str | None:
        """The name of the bank that it is going to make: two active jobs cannot make banks of one name."""
        return None

    def bound(self, bench: Bench) -> Self:
        """The same study with what was left out: the model that is loaded now, what the bank says."""
        return self

    def other_model(self, bench: Bench) -> str | None:
        """The model that it is for, where another one is loaded."""
        return None

    def renamed(self, bench: Bench, taken: Sequence[str]) -> Self:
        """The same study once more, with a free name for its bank; ``taken`` are those of active jobs."""
        return self

    def check(self, bench: Bench) -> None:
        """Raise InputError for what can be refused without the model."""

    def check_model(self, bench: Bench) -> None:
        """Raise InputError for what the loaded model cannot do, before the job waits in the queue."""

    def run(self, bench: Bench, stop: Stop) -> Generator[Any, None, Result]:
        """Yield progress (``stage``, ``done``, ``total`` and perhaps a ``note`` for the log) and return the result.

        Raises:
            InputError: the study cannot be done.
            Stopped: ``stop()`` became true before there was anything to keep.
        """
        raise NotImplementedError

    def made(self, result: Result) -> Made:
        """What of the result is in the library."""
        return Made()

    def answer(self, result: Result, not_kept: str | None) -> Any:
        """The result as JSON can hold it, the same at every door; ``not_kept`` says why it could not be stored."""
        return result.model_dump(mode="json") if isinstance(result, BaseModel) else result

    def lines(self, result: Result) -> list[str]:
        """The result for the terminal."""
        return [str(self.answer(result, None))]


class ModelStudy(Study[Result]):
    """A study that needs one model; the others name a bank, which says for which model it is."""

    model: str = ""
    model_hash: str | None = None
    """Hash of the weights; None: no model was loaded yet."""

    def bound(self, bench: Bench) -> Self:
        if self.model:
            return self
        loaded = bench.model.state().weights_hash
        return self.model_copy(update={"model": bench.model.spec, "model_hash": loaded})

    def other_model(self, bench: Bench) -> str | None:
        return None if bench.model.is_meant(self.model, self.model_hash) else self.model


class ResumableStudy(ModelStudy[Result]):
    """A study that goes on from a checkpoint after a crash."""

    def run(self, bench: Bench, stop: Stop) -> Generator[Any, None, Result]:
        return self.resume(bench, stop, None)

    def resume(self, bench: Bench, stop: Stop, checkpoint: Checkpointing | None) -> Generator[Any, None, Result]:
        """``run``, from where ``checkpoint`` stands, and writing down there how far it is."""
        raise NotImplementedError
