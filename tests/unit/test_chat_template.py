"""Chat templates: what was written stands in what comes out, or it is refused; names, options and the clock."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CHAT, NO_SYSTEM_CHAT, TRIMMING_CHAT, tiny

from melbo_app.engine.chat_template import choices, names, option_names, pinned, render, usual
from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.template_choice import TemplateChoice
from melbo_app.errors import InputError

HEAD, TAIL = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
LOOP = "{% for m in messages %}<|im_start|>{{ m.role }}\n%s<|im_end|>\n{% endfor %}" + "{{ '<|im_start|>assistant\n' }}"
PARTS = LOOP.replace("%s", "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}")
RAISING_PARTS = LOOP.replace(
    "%s", "{% if m.content is string %}{{ raise_exception('a list of parts') }}{% endif %}{{ m.content[0].text }}"
)
MIXED = LOOP.replace("%s", "{% if m.role == 'system' %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %}")
NO_SYSTEM_SILENT = CHAT.replace(
    "{% for message in messages %}", "{% for message in messages if message.role != 'system' %}"
)
FOLDED = (
    "{% set first = messages[0].content if messages[0].role == 'system' else '' %}{% for m in messages %}"
    "{% if m.role == 'user' %}<|im_start|>user\n{{ first }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
DEFAULT_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nbe kind<|im_end|>\n{% endif %}" + CHAT
CUT = CHAT.replace("message.content", "message.content[:3]")
THINKING = CHAT.replace(
    "<|im_start|>assistant\n{%",
    "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}<think></think>"
    "{% else %}<think>{% endif %}{%",
)
DATED = "{{ strftime_now('%d %b %Y') }}\n" + CHAT
DATED_IN_A_MACRO = "{% macro head() %}It is {{ strftime_now('%Y-%m-%d') }}.{% endmacro %}{{ head() }}\n" + CHAT


def lm_with(template):
    return tiny("llama", chat_template=template)


@pytest.mark.parametrize("template", [PARTS, RAISING_PARTS])
@pytest.mark.parametrize("system", [None, "be brief"])
def test_contents_are_given_as_parts_where_a_text_does_not_come_out(template, system):
    lm = lm_with(template)
    found = render(lm, Prompt("hello the world", system))
    head = "" if system is None else "<|im_start|>system\nbe brief<|im_end|>\n"
    assert found.text == head + HEAD + "hello the world" + TAIL
    assert found.tail == TAIL
    one, other = encode(lm, [Prompt("hello"), Prompt("world")]).hashes
    assert one != other


def test_a_template_may_want_a_text_of_the_system_and_parts_of_the_user():
    found = render(lm_with(MIXED), Prompt("hello", "be brief"))
    assert found.text == "<|im_start|>system\nbe brief<|im_end|>\n" + HEAD + "hello" + TAIL


@pytest.mark.parametrize("template", ["{{ bos_token }}<|im_start|>assistant", CUT, LOOP.replace("%s", "x0")])
@pytest.mark.parametrize("user", ["assistant", "hello the world"])
def test_a_rendering_without_the_users_text_is_refused(template, user):
    with pytest.raises(InputError, match="^prompt: the chat template of tiny llama leaves it out"):
        render(lm_with(template), Prompt(user))


@pytest.mark.parametrize("system", ["be brief", "user", "<|im_end|>"])
def test_a_template_that_skips_the_system_text_is_refused_with_it_and_works_without(system):
    lm = lm_with(NO_SYSTEM_SILENT)
    with pytest.raises(InputError, match="^system text: the chat template of tiny llama leaves it out"):
        render(lm, Prompt("hello", system))
    assert render(lm, Prompt("hello")).text == HEAD + "hello" + TAIL


def test_a_template_that_raises_at_a_system_text_is_refused_with_it():
    with pytest.raises(InputError, match=r"^system text: .*System role not supported"):
        render(lm_with(NO_SYSTEM_CHAT), Prompt("hello", "be brief"))


def test_a_template_that_raises_at_everything_is_not_blamed_on_the_system_text():
    lm = lm_with("{{ raise_exception('never') }}")
    for system in (None, "be brief"):
        with pytest.raises(InputError, match=r"^chat template: .*never.*Switch the template off"):
            render(lm, Prompt("hello", system))


def test_a_system_text_that_is_folded_into_the_users_turn_is_taken():
    assert render(lm_with(FOLDED), Prompt("hello", "be brief")).text == HEAD + "be brief\nhello" + TAIL


def test_the_system_text_that_the_template_has_anyway_is_taken():
    lm = lm_with(DEFAULT_SYSTEM)
    assert render(lm, Prompt("hello", "be kind")).text == render(lm, Prompt("hello")).text


@pytest.mark.parametrize("user", ["  hello  ", "a\n\n\tb", "x0", "x1", "�", "naïve 😀 日本語", "{{ 7 * 7 }}", "${x}"])
@pytest.mark.parametrize(
    "template", [CHAT, TRIMMING_CHAT, PARTS, FOLDED, LOOP.replace("%s", "{{ m.content | tojson }}")]
)
def test_texts_that_come_out_whole_are_taken(template, user):
    found = render(lm_with(template), Prompt(user, "be brief"))
    assert found.text.endswith(found.tail) and found.tail.endswith(TAIL)
    assert "49" not in found.text


def test_several_templates_without_a_default_are_named_and_one_is_chosen():
    lm = lm_with({"plain": "{{ messages[0].content }}>", "tool_use": CHAT})
    assert lm.has_template and names(lm.tokenizer) == ("plain", "tool_use")
    with pytest.raises(InputError, match=r"has 2 and no default: plain, tool_use. .* --template plain"):
        render(lm, Prompt("hello"))
    assert render(lm, Prompt("hello", template="plain")).text == "hello>"
    assert render(lm, Prompt("hello", template="tool_use")).text == HEAD + "hello" + TAIL
    with pytest.raises(InputError, match=r"no template “rag”. It has plain, tool_use"):
        render(lm, Prompt("hello", template="rag"))


def test_a_list_offers_names_and_switches():
    assert choices(lm_with(CHAT).tokenizer) == choices(lm_with(None).tokenizer) == ()
    assert choices(lm_with(THINKING).tokenizer) == ("enable_thinking=false", "enable_thinking=true")
    lm = lm_with({"my own": CHAT, "b": THINKING})
    assert choices(lm.tokenizer) == ("'my own'", "b", "b enable_thinking=false", "b enable_thinking=true")
    assert [usual(one.tokenizer) for one in (lm, lm_with(CHAT), lm_with(None))] == ["'my own'", True, False]
    for choice in (usual(lm.tokenizer), *choices(lm.tokenizer)):
        assert "hello" in render(lm, Prompt("hello", template=choice)).text


def test_of_several_templates_the_default_is_taken_and_a_single_one_needs_no_name():
    lm = lm_with({"plain": "{{ messages[0].content }}>", "default": CHAT})
    assert render(lm, Prompt("hello")).text == HEAD + "hello" + TAIL
    assert render(lm_with({"only": CHAT}), Prompt("hello")).text == HEAD + "hello" + TAIL
    assert names(lm_with(CHAT).tokenizer) == ()
    assert render(lm_with(CHAT), Prompt("hello", template="default")).text == HEAD + "hello" + TAIL


def test_an_option_that_the_template_reads_is_set_and_another_one_refused():
    lm = lm_with(THINKING)
    assert option_names(lm.tokenizer) == ("enable_thinking",)
    assert render(lm, Prompt("hello")).tail == TAIL + "<think>"
    assert render(lm, Prompt("hello", template="enable_thinking=false")).tail == TAIL + "<think></think>"
    assert render(lm, Prompt("hello", template="enable_thinking=true")).tail == TAIL + "<think>"
    with pytest.raises(InputError, match=r"does not read “thinking”. It reads enable_thinking"):
        render(lm, Prompt("hello", template="thinking=false"))
    with pytest.raises(InputError, match=r"does not read “messages”"):
        render(lm, Prompt("hello", template="messages=x"))


def test_what_a_template_sets_itself_is_not_an_option_unless_it_asks_for_it():
    source = (
        "{% if messages[0].role == 'x' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
        "{% if not date_string is defined %}{% set date_string = 'today' %}{% endif %}{{ bos_token }}{{ date_string }}"
        "{{ reasoning_effort | default('low') }}{% for m in rest %}{{ m.content }}{% endfor %}>"
    )
    lm = lm_with(source)
    assert option_names(lm.tokenizer) == ("date_string", "reasoning_effort")
    chosen = Prompt("hello", template="date_string='26 Jul 2024' reasoning_effort=high")
    assert render(lm, chosen).text == "26 Jul 2024highhello>"


def test_templates_of_training_with_generation_tags_are_read_as_well():
    lm = lm_with("{%- generation -%}" + THINKING + "{% endgeneration %}")
    assert option_names(lm.tokenizer) == ("enable_thinking",)


@pytest.mark.parametrize(("template", "written"), [(DATED, "26 Jul 2024\n"), (DATED_IN_A_MACRO, "It is 2024-07-26.\n")])
def test_a_template_that_writes_the_date_is_rendered_again_as_it_was(template, written):
    lm = lm_with(template)
    assert option_names(lm.tokenizer) == ("date",)
    then = pinned(lm, Prompt("hello", "be brief"), date(2024, 7, 26))
    assert then.template == "date=2024-07-26"
    assert render(lm, then).text == written + render(lm_with(CHAT), Prompt("hello", "be brief")).text
    assert render(lm, then).text != render(lm, Prompt("hello", "be brief")).text
    assert pinned(lm, then, date(2025, 1, 1)) == then


def test_where_no_date_is_written_there_is_none_to_set():
    lm = lm_with(CHAT)
    assert pinned(lm, Prompt("hello"), date(2024, 7, 26)) == Prompt("hello")
    assert pinned(lm_with(DATED), Prompt("hello", template=False), date(2024, 7, 26)) == Prompt("hello", template=False)
    with pytest.raises(InputError, match=r"does not read “date”. It reads no options"):
        render(lm, Prompt("hello", template="date=2024-07-26"))


@pytest.mark.parametrize(
    ("written", "name", "options"),
    [
        ("tool_use", "tool_use", {}),
        ("enable_thinking=False", None, {"enable_thinking": False}),
        ("tool_use reasoning_effort=high n=3", "tool_use", {"reasoning_effort": "high", "n": 3}),
        ("date_string='26 Jul 2024' 'my own'", "my own", {"date_string": "26 Jul 2024"}),
        ("a==b", None, {"a": "=b"}),
    ],
)
def test_a_choice_is_read_and_written(written, name, options):
    choice = TemplateChoice.parse(written)
    assert (choice.name, dict(choice.options)) == (name, options)
    assert TemplateChoice.parse(str(choice)) == choice


@given(st.text("ab '\"\\=\n", max_size=8), st.text(max_size=6))
def test_what_is_written_is_read_again(name, value):
    choice = TemplateChoice(name if name.strip() and "=" not in name else None, {"option": value})
    again = TemplateChoice.parse(str(choice))
    assert again.name == choice.name
    assert str(again) == str(choice)


@pytest.mark.parametrize("written", ["a b", "'open", "x=1 x=2", "date=tomorrow"])
def test_a_choice_that_cannot_be_read_is_refused(written):
    with pytest.raises(InputError, match="^chat template: "):
        Prompt("hello", template=written)


def test_the_same_choice_is_the_same_prompt_however_it_is_written():
    assert Prompt("hello", template="b=1 name a=TRUE") == Prompt("hello", template="name  a=true b=1")
    assert Prompt("hello", template="") == Prompt("hello")
