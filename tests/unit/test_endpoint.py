"""Functions as endpoints: what is sent is checked, what is refused is said in words, lookups do not wait for work."""

import threading
from collections.abc import Iterator

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from patience import PATIENCE
from typing_extensions import TypedDict

from melbo_app.errors import BusyError, Stopped, StorageError
from melbo_app.ui.endpoint import publish


class Sum(TypedDict):
    total: float
    parts: list[float]


class Verbs:
    """Stands for the verbs of the program."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def add(self, first: float, others: list[float] | None = None, scale: float = 1.0) -> Sum:
        """Add numbers.

        Args:
            first: a number
            others: more of them
            scale: what the sum is multiplied by
        """
        parts = [first, *(others or [])]
        return {"total": scale * sum(parts), "parts": parts}

    def fail(self, how: str) -> Sum:
        """Fail.

        Args:
            how: in which way
        """
        kinds = {"busy": BusyError, "storage": StorageError, "stopped": Stopped}
        raise kinds.get(how, RuntimeError)("<b>“it”</b> is ${full}")

    def work(self) -> Sum:
        """Work until it is told to go on."""
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        return {"total": 0.0, "parts": []}


@pytest.fixture(scope="module")
def verbs() -> Verbs:
    return Verbs()


@pytest.fixture(scope="module")
def client(verbs: Verbs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        with gr.Blocks(analytics_enabled=False) as page:
            publish(verbs.work, queue="work", at_once=2)
            for verb in (verbs.add, verbs.fail):
                publish(verb, queue="look", at_once=2)
        _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False)
        yield Client(url, verbose=False)
        page.close(verbose=False)


def test_types_defaults_and_descriptions_come_from_the_function(client):
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/add"]
    told = [
        (one["parameter_name"], one["python_type"]["type"], one["python_type"]["description"], one["parameter_default"])
        for one in endpoint["parameters"]
    ]
    assert told == [
        ("first", "float", "a number", None),
        ("others", "None | list[float]", "more of them", None),
        ("scale", "float", "what the sum is multiplied by", 1.0),
    ]
    assert endpoint["returns"][0]["python_type"]["type"] == "dict(total: float, parts: list[float])"
    assert client.predict(2, others=[3], api_name="/add") == {"total": 5.0, "parts": [2.0, 3.0]}


def test_a_number_that_json_cannot_hold_is_null(client):
    assert client.predict(1e308, others=[1e308], api_name="/add") == {"total": None, "parts": [1e308, 1e308]}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("two",), "first: “two” is not a number. Give one without quotes, such as 2.5."),
        ((1, "two"), "others: “two” is not a list. Give one in square brackets."),
        ((1, [2, None]), "others[1]: None is not a number. Give one without quotes, such as 2.5."),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(client, arguments, sentence):
    with pytest.raises(AppError) as refused:
        client.predict(*arguments, api_name="/add")
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("busy", "<b>“it”</b> is ${full}"),
        ("storage", "<b>“it”</b> is ${full}"),
        ("stopped", "Stopped."),
        ("otherwise", "Something went wrong: RuntimeError: <b>“it”</b> is ${full}"),
    ],
)
def test_what_goes_wrong_reaches_the_program_as_it_was_said(client, how, sentence):
    with pytest.raises(AppError) as refused:
        client.predict(how, api_name="/fail")
    assert str(refused.value) == sentence


def test_only_so_many_work_at_once_and_others_do_not_wait_for_them(client, verbs):
    asked = [client.submit(api_name="/work") for _ in range(3)]
    try:
        assert verbs.begun.acquire(timeout=PATIENCE) and verbs.begun.acquire(timeout=PATIENCE)
        assert client.predict(1, api_name="/add")["total"] == 1.0
        assert not verbs.begun.acquire(blocking=False)  # the third one waits
    finally:
        verbs.go_on.set()
    assert [one.result(PATIENCE)["total"] for one in asked] == [0.0] * 3
