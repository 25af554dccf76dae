"""The workbench for visitors: one place decides for the page, the HTTP API and MCP."""

import inspect
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.job import Job
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.jobs.study import Study
from melbo_app.library.answers import FoundAnswer
from melbo_app.library.bank import Bank
from melbo_app.library.contrast_sets import CONTRAST, Setting
from melbo_app.library.conversation import Conversation, ConversationSummary
from melbo_app.library.damage import Listed
from melbo_app.library.job_records import JobRecord
from melbo_app.library.label import Label
from melbo_app.library.prompt_sets import SHIPPED, SetPrompt
from melbo_app.public.discretion import Discretion
from melbo_app.public.quotas import BANK_BYTES, Quotas
from melbo_app.public.shown_job import ShownJob
from melbo_app.public.uses import FREE, LOOKING, NAMED, OWN, REFUSED
from melbo_app.public.visitors import Visitor, Visitors
from melbo_app.sizes import size_text
from melbo_app.studies import read_study
from melbo_app.studies.chat import Chat
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.report import Report
from melbo_app.studies.search_meaning import NO_ONE, SearchMeaning
from melbo_app.workbench import Workbench

logger = logging.getLogger(__name__)
Refusal = tuple[str, str, str]
OTHERS_JOB: Refusal = ("job", "it is somebody else's", "Only the person who started it can stop it")
OTHERS_DOWNLOAD: Refusal = ("download", "it is somebody else's", "Only the person who started it can stop it")
OTHERS_LABEL: Refusal = (
    "label", "somebody else has labelled this vector", "Label another one, or combine vectors into a bank of your own",
)  # fmt: skip
OTHERS_CHAT: Refusal = ("conversation", "it is not one of yours", "Begin a new one")
NOBODY: Refusal = (
    "chat", "it is kept by address, and yours is not known", "Ask whoever runs this page to let it through the proxy",
)  # fmt: skip
OTHER_JUDGE: Refusal = ("endpoint", "a public page only asks its operator's judge", "This one has none")


def public_workbench(bench: Workbench, visitor: Callable[[], str]) -> Workbench:
    """``bench`` for a public page; ``visitor`` returns the address of the current request.

    It has the same methods, except those that visitors may not use (``uses.py``). They also raise InputError for
    actions that visitors may not take, and BusyError beyond the quotas.
    """
    return cast(Workbench, _PublicWorkbench(bench, visitor))


class _PublicWorkbench:
    """Methods not defined here are the workbench's own, within the visitor's quotas."""

    def __init__(self, bench: Workbench, visitor: Callable[[], str]) -> None:
        self._bench, self._address = bench, visitor
        self._visitors, self._quotas = Visitors(bench.settings.cache_dir), Quotas()
        self._discretion = Discretion(bench.settings)
        self._getter: Visitor | None = None  # who started the running download

    def __getattr__(self, name: str) -> Any:
        if name in REFUSED:
            return self._refused(name)
        if name in OWN:
            return lambda id, *given: self._plain(name)(self.conversation(id).id, *given)
        if name in NAMED:
            return self._named(name)
        if name not in FREE | LOOKING:
            raise AttributeError(f"visitors have no {name}")
        if isinstance(inspect.getattr_static(type(self._bench), name), property):
            return self._discretion.value(getattr(self._bench, name))
        return self._looking(name) if name in LOOKING else self._plain(name)

    def why_not(self, use: str, about: Any = None) -> str:
        """Why the visitor may not use a method, in one sentence; "" if they may. ``about`` is a job's record, or the
        bank and vector of a label."""
        me = self._visitor()
        if use == "stop_job" and isinstance(about, JobRecord):
            return "" if me.alone and about.who == me.name else _sentence(OTHERS_JOB)
        if use == "save_label" and about is not None:
            return "" if self._may_label(*about) else _sentence(OTHERS_LABEL)
        refused = {**REFUSED, "judge_endpoint": OTHER_JUDGE}.get(use)
        return _sentence(refused) if refused else ""

    def load_model(self, spec: str | None = None, *, stop: Stop = never) -> ModelState:
        """Load one of the operator's models."""
        load = self._plain("load_model")
        if spec is None:
            return load(stop=stop)
        with self._quotas.computing(self._visitor().name):
            return load(spec, stop=stop)

    def start_getting(self, key: str) -> ModelGetting:
        """Start downloading one of the operator's models."""
        before, present = self._bench.getting(), self._plain("start_getting")(key)
        if before is None:
            self._getter = self._visitor()
        return present

    def import_bank(self, path: Path, name: str | None = None, **said: Any) -> Bank:
        """Import a bank from a file of limited size."""
        size = sum(one.stat().st_size for one in (path, *said.get("beside", ())) if one.is_file())
        if size > BANK_BYTES:
            problem = f"the file has {size_text(size)}"
            raise InputError("bank file", problem, f"On a public page it may have {size_text(BANK_BYTES)}")
        who = self._visitor().name
        with self._quotas.computing(who), self._quotas.bank(who):
            return self._plain("import_bank")(path, name, **said)

    def combine_banks(self, formula: str, name: str, note: str | None = None) -> Bank:
        """Combine vectors of other banks into a new one."""
        who = self._visitor().name
        with self._quotas.computing(who), self._quotas.bank(who):
            return self._plain("combine_banks")(formula, name, most_bytes=BANK_BYTES, note=note)

    def save_as_bank(self, bank_hash: str, name: str | None = None) -> Bank:
        """Put vectors of a curve or a pair of layers on the shelf."""
        with self._quotas.bank(self._visitor().name):
            return self._plain("save_as_bank")(bank_hash, name)

    def save_again(self, name: str | None = None) -> Bank:
        """Save the trained bank that could not be saved, under its own name: it may be somebody else's."""
        is_taken = self._bench.unsaved_bank() in [line.name for line in self._bench.banks()]
        return self._plain("save_again")(name if is_taken else None)

    def export_bank(self, name: str, out: Path, **how: Any) -> Path:
        """Write a bank to a file without folders in its record."""
        return self._plain("export_bank")(name, out, shown=self._discretion.bank, **how)

    def export_labels(self, out: Path, *, overwrite: bool = False, each: bool = False) -> Path:
        """Write the labels that count to a file without the folders of models."""
        return self._plain("export_labels")(out, overwrite=overwrite, shown=self._discretion.text)

    def export_report(self, found: Report, out: Path, *, overwrite: bool = False) -> Path:
        """Write a report without the folders of models."""
        return self._plain("export_report")(found, out, overwrite=overwrite, shown=self._discretion.text)

    def prompt_set(self, given: Sequence[str]) -> list[SetPrompt]:
        """The prompts of shipped sets, but not of files."""
        for name in given:
            if name not in SHIPPED:
                raise InputError("sets", "there is no such set", f"Choose from {', '.join(SHIPPED)}")
        return self._plain("prompt_set")(given)

    def contrast_set(self, given: str, field: str = "prompts") -> Setting:
        """The inputs of a shipped contrast set, but not of a file."""
        if given not in CONTRAST:
            raise InputError(field, "there is no such set", f"Choose from {', '.join(CONTRAST)}")
        return self._plain("contrast_set")(given, field)

    def judge_endpoint(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The operator's judge, whatever the page asks for."""
        address = self._bench.judge_address
        if not (address.url and address.model):
            raise InputError(*OTHER_JUDGE)
        return address.endpoint()

    def save_label(self, bank: str, vector: int, **said: Any) -> Label:
        """Label a vector that nobody else has labelled."""
        if not self._may_label(bank, vector):
            raise InputError(*OTHERS_LABEL)
        return self._plain("save_label")(bank, vector, **{**said, "author": self._visitor().name, "annotator": ""})

    def conversations(self, limit: int = 100, who: str | None = None) -> Listed[ConversationSummary]:
        """The visitor's own conversations."""
        me = self._visitor()
        return self._plain("conversations")(limit, me.name) if me.alone else Listed()

    def conversation(self, id: int) -> Conversation:
        """One of the visitor's own conversations."""
        me, found = self._visitor(), self._plain("conversation")(id)
        if not me.alone or found.who != me.name:
            raise InputError(*OTHERS_CHAT)
        return found

    def search_conversations(self, text: str, limit: int = 50, who: str | None = None) -> Listed[FoundAnswer]:
        """Answers in the visitor's own conversations."""
        me = self._visitor()
        return self._plain("search_conversations")(text, limit, me.name) if me.alone else Listed()

    def fork_conversation(self, id: int, turn: int, who: str = "") -> int:
        """Fork one's own conversation."""
        return self._plain("fork_conversation")(self.conversation(id).id, turn, self._visitor().name)

    def run(self, study: Study[Any], *, stop: Stop = never) -> Generator[Any, None, Any]:
        """Do a study here and now. Raises InputError for one that visitors can ask for as a job only."""
        if study.how not in ("look", "compute"):
            raise InputError("study", f"{study.title} is done in the background", "Start it as a job")
        if study.verb in REFUSED:
            raise InputError(*REFUSED[study.verb])
        who = self._visitor().name
        if isinstance(study, Chat):
            study = self._own(study)
        if isinstance(study, SearchMeaning):
            study = study.model_copy(update={"whose": who if self._visitor().alone else NO_ONE})
        counted = self._quotas.looking(who) if study.how == "look" else self._quotas.computing(who)
        with counted, self._discreet():
            return (yield from self._bench.run(study, stop=stop))

    def start(self, study: Study[Any], *, who: str = "") -> Job[Any, Any]:
        """Put a study into the queue, as the visitor's."""
        return self._queued(study, lambda me: self._plain("start")(study, who=me))

    def run_again(self, id: int, *, who: str = "") -> Job[Any, Any]:
        """Resume one's own interrupted job, or repeat a job that ended."""
        record = self._bench.job(int(id))
        if record.state == "interrupted" and self.why_not("stop_job", record):
            raise InputError("job", "only the person who started it can resume it", "Start one of your own")
        return self._queued(read_study(record.request), lambda me: self._plain("run_again")(id, who=me))

    def _queued(self, study: Study[Any], start: Callable[[str], Job[Any, Any]]) -> Job[Any, Any]:
        if study.verb in REFUSED:
            raise InputError(*REFUSED[study.verb])
        me = self._visitor().name
        with self._quotas.job(me, self._jobs_of), self._quotas.bank(me) if study.makes_bank else nullcontext():
            return start(me)

    def stop_job(self, id: int) -> JobRecord:
        """Stop the visitor's own job."""
        record: JobRecord = self._plain("job")(id)
        if self.why_not("stop_job", record):
            raise InputError(*OTHERS_JOB)
        return self._plain("stop_job")(id)

    def _own(self, study: Chat) -> Chat:
        """A message in one of the visitor's own conversations."""
        me = self._visitor()
        if not me.alone:
            raise InputError(*NOBODY)
        if study.conversation is not None:
            self.conversation(study.conversation)
        return study.model_copy(update={"who": me.name})

    def _visitor(self) -> Visitor:
        return self._visitors.of(self._address())

    def _may_label(self, bank: str, vector: int) -> bool:
        me, said = self._visitor(), self._plain("label_history")(bank, vector)
        if not said or not (said[0].name or said[0].tags or said[0].rating or said[0].note):
            return True
        return me.alone and said[0].author == me.name

    def _stop_getting(self, getting: ModelGetting) -> None:
        me = self._visitor()
        if not me.alone or self._getter != me:
            raise InputError(*OTHERS_DOWNLOAD)
        getting.stop()

    def _refused(self, name: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise InputError(*REFUSED[name])

        return refuse

    def _jobs_of(self, who: str) -> int:
        return sum(job.record().who == who for job in self._bench.active_jobs())

    def _named(self, name: str) -> Callable[..., Any]:
        """A method of the workbench that asks who: the visitor, whatever name is given."""
        asks = inspect.signature(getattr(self._bench, name))

        def function(*given: Any, **said: Any) -> Any:
            return self._plain(name)(**asks.bind(*given, **said).arguments | {"who": self._visitor().name})

        return function

    def _looking(self, name: str) -> Callable[..., Any]:
        """A method of the workbench that counts towards its quota."""

        def function(*given: Any, **said: Any) -> Any:
            with self._quotas.looking(self._visitor().name):
                return self._plain(name)(*given, **said)

        return function

    def _plain(self, name: str) -> Callable[..., Any]:
        """The workbench's own method, without folders in its results and errors."""

        def function(*given: Any, **said: Any) -> Any:
            with self._discreet():
                return self._shown(getattr(self._bench, name)(*given, **said))

        return function

    def _shown(self, value: Any) -> Any:
        if isinstance(value, Job):
            return ShownJob(value, self._discretion, lambda: self.stop_job(value.id))
        if isinstance(value, ModelGetting):
            return ShownJob(value, self._discretion, lambda: self._stop_getting(value))
        if isinstance(value, list) and value and isinstance(value[0], Job):
            return [self._shown(one) for one in value]
        return self._discretion.value(value)

    @contextmanager
    def _discreet(self) -> Iterator[None]:
        try:
            yield
        except Stopped:
            raise
        except MelboError as error:
            raise self._discretion.error(error) from error
        except Exception as error:
            logger.exception("a visitor's request failed")
            raise MelboError(f"Something went wrong: {type(error).__name__}.") from error


def _sentence(refused: Refusal) -> str:
    """The refusal as the page shows it in place of a button."""
    _, problem, remedy = refused
    return f"{problem[:1].upper()}{problem[1:]}. {remedy}."
