"""Sets of prompts: those that ship, and files of people."""

import codecs
import json
from collections import Counter
from pathlib import Path

import pytest

from melbo_app.errors import InputError
from melbo_app.library.prompt_sets import MOST_BYTES, MOST_PROMPTS, SHIPPED, PromptSets, SetPrompt, parse_prompts

SETS = PromptSets(Path(__file__).resolve().parents[2] / "assets" / "prompts")


def refusal(data: bytes, **options) -> str:
    with pytest.raises(InputError) as raised:
        parse_prompts(data, "mine", **options)
    return str(raised.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_set_that_ships_has_enough_prompts_in_several_groups(name):
    found = SETS.read(name)
    groups = Counter(one.group for one in found)
    assert len(found) >= 12 and len(groups) >= 3 and min(groups.values()) >= 3
    assert {one.set for one in found} == {name} and name not in groups


def test_no_prompt_is_in_two_sets():
    together = SETS.read_all(list(SHIPPED))
    assert len(together) == sum(len(SETS.read(name)) for name in SHIPPED)


def test_a_text_file_has_a_prompt_a_line_in_a_group_of_its_name(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("\ufeffOne?\r\n\r\n  Two?  \r\nOne?\n".encode())
    assert SETS.read(str(path)) == [SetPrompt("One?", "mine", "mine"), SetPrompt("Two?", "mine", "mine")]


def test_jsonl_says_the_groups_and_is_known_by_its_ending_or_its_first_brace(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('\n{"prompt": "One?", "group": "a", "id": 1}\n{"prompt": "Two\\nlines?"}\n', "utf-8")
    wanted = [SetPrompt("One?", "a", "mine"), SetPrompt("Two\nlines?", "mine", "mine")]
    assert SETS.read(str(path)) == wanted
    other = path.rename(tmp_path / "mine.txt")
    assert SETS.read(str(other)) == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["été?\r\nTwo?", '{"prompt": "été?"}\n{"prompt": "Two?"}'])
def test_a_file_is_read_by_its_byte_order_mark(encoding, text):
    assert [one.text for one in parse_prompts(text.encode(encoding), "mine")] == ["été?", "Two?"]


def test_files_with_marks_can_be_put_one_after_the_other():
    data = b"".join(f'{{"prompt": "{word}"}}\n'.encode("utf-8-sig") for word in ("été?", "Two?"))
    assert [one.text for one in parse_prompts(data, "mine")] == ["été?", "Two?"]


def test_lines_end_at_line_feeds_alone():
    assert [one.text for one in parse_prompts("a\u2028b\x0bc\nd".encode(), "mine")] == ["a\u2028b\x0bc", "d"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "prompts: “mine” is empty."),
        (b"\xef\xbb\xbf \n\r\n", "prompts: “mine” is empty."),
        (b"one\ntwo\n\xff\xfe\x00", "prompts: line 3 of “mine” is not text in UTF-8."),
        ("one".encode("utf-16-le"), "prompts: line 1 of “mine” contains an invalid character."),
        (codecs.BOM_UTF16_LE + b"\0\xd8", "prompts: line 1 of “mine” is not text in UTF-8."),
        (b"one\n\x7fELF\x00\x01", "prompts: line 2 of “mine” contains an invalid character."),
        (b'{"prompt": "a"}\n{"prompt": ', "prompts: line 2 of “mine” is not JSON."),
        (b'{"prompt": "a"}\n\n["a"]', "prompts: line 3 of “mine” is not a JSON object."),
        (b'{"prompt": "a"}\nplain', "prompts: line 2 of “mine” is not JSON."),
        (b'{"words": "a"}', "prompts: line 1 of “mine” has no “prompt”."),
        (b'{"prompt": " "}', "prompts: line 1 of “mine” has a “prompt” that is empty or not a string."),
        (b'{"prompt": 3}', "prompts: line 1 of “mine” has a “prompt” that is empty or not a string."),
        (b'{"prompt": "a", "group": 3}', "prompts: line 1 of “mine” has a “group” that is not a string."),
        (
            b'{"prompt": "a", "group": "' + b"g" * 61 + b'"}',
            "prompts: line 1 of “mine” has a “group” of 61 characters.",
        ),
        (b'{"prompt": "\\ud800"}', "prompts: line 1 of “mine” contains an invalid character."),
        (b'{"prompt": ' + b"[" * 100_000, "prompts: line 1 of “mine” is not JSON."),
        (b'{"prompt": ' + b"9" * 5000 + b"}", "prompts: line 1 of “mine” is not JSON."),
        (b"x" * (MOST_BYTES + 1), "prompts: “mine” has 1,000,001 bytes."),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_line(data, sentence):
    told = refusal(data)
    assert told.startswith(sentence) and "\n" not in told


def test_too_many_prompts_are_refused_in_one_file_and_over_several(tmp_path):
    lines = [f"prompt {number}" for number in range(MOST_PROMPTS + 1)]
    assert refusal("\n".join(lines).encode()).startswith("prompts: “mine” has 201 prompts. Use at most 200.")
    halves = [tmp_path / "a.txt", tmp_path / "b.txt"]
    halves[0].write_text("\n".join(lines[:150]))
    halves[1].write_text("\n".join(lines[100:]))
    with pytest.raises(InputError, match="prompts: there are 201"):
        SETS.read_all([str(path) for path in halves])


def test_what_is_not_there_is_said_with_the_names_of_the_sets(tmp_path):
    for given, problem in (("none", "neither a file nor a set"), (str(tmp_path), "a folder")):
        with pytest.raises(InputError) as raised:
            SETS.read(given)
        assert str(raised.value) == (
            f"prompts: “{given}” is {problem}. Give a file, or one of refused, everyday, arithmetic, code."
        )
    with pytest.raises(InputError, match="prompts: no set is given"):
        SETS.read_all([])
    (tmp_path / "big.txt").write_bytes(b"x" * (MOST_BYTES + 5))
    with pytest.raises(InputError, match="“big.txt” is too large"):
        SETS.read(str(tmp_path / "big.txt"))


def test_the_sets_are_jsonl_with_two_fields():
    for name in SHIPPED:
        lines = (SETS._folder / f"{name}.jsonl").read_text("utf-8").splitlines()
        assert all(json.loads(line).keys() == {"prompt", "group"} for line in lines)
