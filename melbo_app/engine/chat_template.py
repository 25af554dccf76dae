"""Renders prompts with a model's chat templates, and refuses a rendering that lacks part of the prompt."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from itertools import chain
from json import dumps
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import jinja2.meta
from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from melbo_app.engine.chat_prompt import ChatPrompt, said
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.template_choice import DATE, FIELD, TemplateChoice
from melbo_app.errors import InputError

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

DEFAULT = "default"
SWITCHES = {"enable_thinking", "thinking"}
"""Options that are on or off."""
PROBES = "x0", "x1"
"""They end in different characters, so that none of these is taken for the template's."""
_GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
_GIVEN = {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"}
_GIVEN |= {"bos_token", "eos_token", "pad_token", "unk_token", "raise_exception", "strftime_now", *DEFAULT_NAMESPACE}


def _text(text: str) -> str:
    return text


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


_FORMS = ((_text, _text), (_parts, _parts), (_text, _parts), (_parts, _text))
"""Forms of the system's and the user's contents; the first one that renders completely is used."""


@dataclass(frozen=True)
class Rendering:
    """A prompt in its template; ``tail`` is the text that the template adds after the user's, "" where it varies."""

    text: str
    tail: str


def names(tokenizer: Any) -> tuple[str, ...]:
    """The names of the chat templates if there are several, else empty."""
    templates = getattr(tokenizer, "chat_template", None)
    return tuple(templates) if isinstance(templates, dict) else ()


def usual(tokenizer: Any) -> bool | str:
    """The default ``template`` of a prompt: True for the default template, the name of the first one where none is the
    default, False without templates."""
    sources = _sources(tokenizer)
    if not sources:
        return False
    return True if DEFAULT in sources or len(sources) == 1 else shlex.quote(next(iter(sources)))


def choices(tokenizer: Any) -> tuple[str, ...]:
    """The choices of ``template`` for a list: the name of each template if there are several, and with each switch."""
    found: list[str] = []
    for name, source in _sources(tokenizer).items():
        own = () if len(_sources(tokenizer)) == 1 else (shlex.quote(name),)
        found += own
        switches = sorted(_reads(source, tokenizer) & SWITCHES)
        found += [" ".join([*own, f"{switch}={value}"]) for switch in switches for value in ("false", "true")]
    return tuple(found)


def option_names(tokenizer: Any) -> tuple[str, ...]:
    """The options that any of the templates reads, such as ``enable_thinking``, in alphabetical order."""
    sources = _sources(tokenizer).values()
    return tuple(sorted(set().union(*(_reads(source, tokenizer) for source in sources)) if sources else ()))


def thinking(tokenizer: Any, template: bool | str) -> str | None:
    """The switch of a prompt's template that turns thinking on or off; None where it has none."""
    choice, sources = TemplateChoice.of(template), _sources(tokenizer)
    if not template or not sources:
        return None
    default = DEFAULT if DEFAULT in sources else next(iter(sources))
    source = sources.get(choice.name or default)
    return next(iter(sorted(_reads(source, tokenizer) & SWITCHES)), None) if source else None


def render(lm: "LanguageModel", prompt: Prompt) -> Rendering:
    """The prompt in the chat template that it chooses, up to where the answer begins.

    Contents are passed as text, or as a list of parts where text does not render. Raises InputError for an unknown
    template or option, a template that refuses the messages, or a rendering without the user's or the system text.
    """
    choice = TemplateChoice.of(prompt.template)
    source = _chosen(lm, choice)
    asked = [prompt, *(replace(prompt, user=probe) for probe in (*PROBES, _unlike(prompt.user)))]
    asked += [replace(prompt, system=_unlike(prompt.system))] if prompt.system else []
    before = _earlier(prompt)
    if isinstance(prompt, ChatPrompt) and before:
        asked.append(replace(prompt, earlier=_unlike_earlier(before)))
    refused: list[Exception] = []
    lost = ""
    for form in _FORMS if prompt.system else _FORMS[:2]:
        try:
            renderings = [_apply(lm, source, _messages(each, *form), choice) for each in asked]
        except Exception as error:  # templates are programs from the model's authors and may raise anything
            refused.append(error)
            continue
        written, one, two, other_user, *others = renderings
        if not _holds(written, prompt.user, other_user):
            lost = lost or "prompt"
        elif prompt.system and not _holds(written, prompt.system, others[0]):
            lost = lost or "system text"
        elif before and not _holds_all(written, before, others[-1]):
            lost = lost or "conversation"
        else:
            tail = _common_end(one, two)
            return Rendering(written, tail if written.endswith(tail) else "")
    field = lost or _refused_part(lm, prompt)
    problem = (
        "leaves part of it out" if lost == "conversation" else "leaves it out" if lost else f"refuses it ({refused[0]})"
    )
    remedies = {
        "system text": "Remove it, or write it into the prompt",
        "conversation": "Begin a new one, or load a model whose template takes several messages",
    }
    remedy = remedies.get(field, "Switch the template off")
    raise InputError(field, f"the chat template of {lm.name} {problem}", remedy) from next(iter(refused), None)


def _messages(prompt: Prompt, system: Callable[[str], Any], user: Callable[[str], Any]) -> list[dict[str, Any]]:
    turns = [turn for exchange in _earlier(prompt) for turn in zip(("user", "assistant"), exchange, strict=True)]
    messages = [{"role": role, "content": user(text)} for role, text in [*turns, ("user", prompt.user)]]
    return [{"role": "system", "content": system(prompt.system)}, *messages] if prompt.system else messages


def _earlier(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    return prompt.earlier if isinstance(prompt, ChatPrompt) else ()


def _refused_part(lm: "LanguageModel", prompt: Prompt) -> str:
    """The part of a prompt without which the template works."""
    if prompt.system and _works(lm, replace(prompt, system=None)):
        return "system text"
    alone = Prompt(prompt.user, prompt.system, prompt.template)
    return "conversation" if _earlier(prompt) and _works(lm, alone) else FIELD


def after_answers(lm: "LanguageModel") -> Iterator[tuple[str, str]]:
    """The text of each template after an assistant's message: at the end of the messages, and before the next user
    message. Skips templates that refuse or change the message."""
    for source in _sources(lm.tokenizer).values():
        for content in (_text, _parts):
            turns = [("user", "q0"), ("assistant", "a0"), ("user", "q1")]
            messages = [{"role": role, "content": content(text)} for role, text in turns]
            try:
                ended, followed = (_apply(lm, source, messages[:count], TemplateChoice()) for count in (2, 3))
            except Exception:  # as in render
                continue
            if "a0" in ended and "q1" in followed.rpartition("a0")[2]:
                yield ended.rpartition("a0")[2], followed.rpartition("a0")[2].partition("q1")[0]
                break


def pinned(lm: "LanguageModel", prompt: Prompt, day: date) -> Prompt:
    """The prompt with the date fixed to ``day`` if its template writes one, so that it renders the same again."""
    choice = TemplateChoice.of(prompt.template)
    if not prompt.template or choice.day or DATE not in _reads(_chosen(lm, choice), lm.tokenizer):
        return prompt
    return replace(prompt, template=str(replace(choice, options={**choice.options, DATE: day.isoformat()})))


def _sources(tokenizer: Any) -> Mapping[str, str]:
    templates = getattr(tokenizer, "chat_template", None)
    if isinstance(templates, dict):
        return templates
    return {DEFAULT: templates} if templates else {}


def _chosen(lm: "LanguageModel", choice: TemplateChoice) -> str:
    sources = _sources(lm.tokenizer)
    if not sources:
        raise InputError(FIELD, f"{lm.name} has none", "Switch the template off")
    listed = ", ".join(sources)
    if choice.name is None and DEFAULT not in sources and len(sources) > 1:
        problem = f"{lm.name} has {len(sources)} and no default: {listed}"
        raise InputError(FIELD, problem, f"Choose one of them, as in --template {shlex.quote(next(iter(sources)))}")
    default = DEFAULT if DEFAULT in sources else next(iter(sources))
    source = sources.get(default if choice.name is None else choice.name)
    if source is None:
        raise InputError(FIELD, f"{lm.name} has no template “{choice.name}”", f"It has {listed}")
    for option in choice.options:
        if option not in (known := _reads(source, lm.tokenizer)):
            remedy = f"It reads {', '.join(sorted(known))}" if known else "It reads no options"
            raise InputError(FIELD, f"the template of {lm.name} does not read “{option}”", remedy)
    return source


def _apply(lm: "LanguageModel", source: str, messages: list[dict[str, Any]], choice: TemplateChoice) -> str:
    options: dict[str, Any] = dict(choice.options)
    if choice.day and (formats := _clock_formats(source)):
        options.pop(DATE)
        noon = datetime.combine(choice.day, time(12))
        options["melbo_dates"] = {format: noon.strftime(format) for format in formats}
        # a macro replaces the clock, because transformers passes no functions to templates
        source = "{% macro strftime_now(format) %}{{ melbo_dates[format] }}{% endmacro +%}" + source
    answering = messages[-1]["role"] == "assistant"
    return lm.tokenizer.apply_chat_template(
        messages, chat_template=source, tokenize=False, add_generation_prompt=not answering, **options
    )


def _works(lm: "LanguageModel", prompt: Prompt) -> bool:
    try:
        render(lm, prompt)
    except InputError:
        return False
    return True


def _unlike(text: str) -> str:
    """A text that does not contain ``text``."""
    return "q" if text.strip() != "q" else "z"


def _holds(written: str, text: str, other: str) -> bool:
    """Whether a rendering contains ``text`` more often than ``other``, which was rendered without it. White space is
    ignored, because templates trim it. JSON escapes count; parts printed as a Python list do not."""

    def count(rendering: str, form: str) -> int:
        return "".join(rendering.split()).count("".join(form.split()))

    if count(written, str(_parts(text))):
        return False
    return any(count(written, form) > count(other, form) for form in (text, dumps(text, ensure_ascii=False)[1:-1]))


def _unlike_earlier(earlier: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """As many exchanges whose texts contain none of these."""
    texts = {text.strip() for exchange in earlier for text in exchange}
    probe = next(letter for letter in map(chr, range(ord("q"), 0x10000)) if letter not in texts)
    return ((probe, probe),) * len(earlier)


def _holds_all(written: str, earlier: tuple[tuple[str, str], ...], other: str) -> bool:
    """Whether a rendering contains every earlier text, of answers what comes after the thoughts."""
    spoken = ((user.strip(), said(answer)) for user, answer in earlier)
    return all(_holds(written, text, other) for text in {*chain.from_iterable(spoken)} if text)


def _common_end(one: str, other: str) -> str:
    return "" if one == other else commonprefix([one[::-1], other[::-1]])[::-1]  # noqa: RUF071 (letter by letter)


def _reads(source: str, tokenizer: Any) -> frozenset[str]:
    """The options that a template reads; ``date`` stands for the clock."""
    return (_variables(source) - set(tokenizer.special_tokens_map)) | ({DATE} if _clock_formats(source) else set())


@lru_cache
def _parsed(source: str) -> nodes.Template | None:
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    try:
        return environment.parse(_GENERATION.sub("", source))
    except TemplateSyntaxError:  # rendering reports it
        return None


@lru_cache
def _variables(source: str) -> frozenset[str]:
    """Variables that a template reads and does not set itself, or sets only if they are undefined."""
    parsed = _parsed(source)
    if parsed is None:
        return frozenset()
    read = jinja2.meta.find_undeclared_variables(parsed) - _GIVEN
    stored = {name.name for name in parsed.find_all(nodes.Name) if name.ctx == "store"}
    tests: list[nodes.Test | nodes.Filter] = [
        test for test in parsed.find_all(nodes.Test) if test.name in ("defined", "undefined")
    ]
    tests += [test for test in parsed.find_all(nodes.Filter) if test.name in ("default", "d")]
    asked = {test.node.name for test in tests if isinstance(test.node, nodes.Name)}
    return frozenset(read - stored | read & asked)


@lru_cache
def _clock_formats(source: str) -> tuple[str, ...]:
    """The formats in which a template writes the current date."""
    calls = [] if (parsed := _parsed(source)) is None else parsed.find_all(nodes.Call)
    clock = [call for call in calls if isinstance(call.node, nodes.Name) and call.node.name == "strftime_now"]
    return tuple(arg.value for call in clock for arg in call.args[:1] if isinstance(arg, nodes.Const))
