"""Names that not every disk can hold: refused where one is given, and no trouble where one is there already."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_banks import bank, banks, names, own, samples  # noqa: F401

from melbo_app.errors import InputError
from melbo_app.library.banks import check_name
from melbo_app.library.file_names import check_file_name, fault, same_file

DEVICES = ["CON", "nul", "Aux", "prn", "COM1", "lpt9", "com¹", "CON.txt", "nul.tar.gz", "con .x", "CONIN$"]
SIGNS = [f"a{sign}b" for sign in '<>:"/\\|?*\x00\n\x7f']


@pytest.mark.parametrize("name", [*DEVICES, *SIGNS, "dot.", "blank ", "dots..."])
def test_what_windows_cannot_hold_is_refused_in_a_sentence(name):
    with pytest.raises(InputError) as refused:
        check_file_name("out", name)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name", ["console", "com10", "com", "nullable", ".hidden", "a.b.c", "Ünï-cödé_1", "con-1", "lpt"]
)
def test_ordinary_names_stay(name):
    assert fault(name) is None and check_name(name.lstrip(".")) == name.lstrip(".")


def test_a_name_is_measured_in_bytes():
    with pytest.raises(InputError, match="bytes"):
        check_file_name("out", "é" * 128)
    check_file_name("out", "é" * 127)


@given(st.text())
def test_checking_never_fails_otherwise_and_twins_are_twins(name):
    with suppress(InputError):
        check_file_name("out", name)
    assert same_file(name) == same_file(same_file(name))


def test_twins_by_case_and_by_accents_are_refused_and_the_one_that_is_there_is_named(banks, own):  # noqa: F811
    banks.save(bank("Caf\u00e9"))
    for twin in ("caf\u00e9", "CAF\u00c9", "cafe\u0301", "Cafe\u0301"):
        with pytest.raises(InputError, match="^name: a bank called “Café” already exists"):
            banks.check_free(twin)
        with pytest.raises(InputError):
            banks.save(bank(twin))
    with pytest.raises(InputError, match="“Sample”"):
        banks.check_free("SAMPLE")
    assert names(own) == ["Caf\u00e9.safetensors"]


def test_a_bank_gets_another_name_and_nobody_else_s(banks, own):  # noqa: F811
    banks.save(bank("first"))
    banks.save(bank("second"))
    assert banks.rename("first", " third ") == "third"
    assert names(own) == ["second.safetensors", "third.safetensors"]
    assert banks.load("third").record.name == "third"
    assert banks.rename("third", "Third") == "Third"  # its case alone
    assert names(own) == ["Third.safetensors", "second.safetensors"]
    for new in ("second", "SECOND", "sample", "CON", "a/b", "", "Third"):
        with pytest.raises(InputError):
            banks.rename("Third", new)
    for name, new in (("Sample", "mine"), ("nobody", "x")):
        with pytest.raises(InputError):
            banks.rename(name, new)
    assert names(own) == ["Third.safetensors", "second.safetensors"]


def test_banks_that_have_such_names_already_stay_usable_and_can_be_renamed(banks, own):  # noqa: F811
    """As a library of before has them, or one that was copied from another disk."""
    own.mkdir(parents=True)
    for name in ("CON", "twin", "TWIN"):
        (own / f"{name}.safetensors").write_bytes(bank(name).to_bytes())
    assert {line.name for line in banks.list()} == {"CON", "twin", "TWIN", "Sample"}
    for name in ("CON", "twin", "TWIN"):
        assert banks.load(name).record.name == name
    assert banks.rename("CON", "console") == "console" and banks.rename("TWIN", "other") == "other"
    assert names(own) == ["console.safetensors", "other.safetensors", "twin.safetensors"]
