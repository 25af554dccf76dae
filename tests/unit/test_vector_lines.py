"""What the list of vectors says of each: from stored texts and labels."""

from types import SimpleNamespace
from typing import Any

from benches import trained

from melbo_app.ui.vector_lines import vector_lines


class Told:
    """A workbench with these newest texts of a bank's vectors."""

    def __init__(self, bench: Any, texts: dict[int, tuple[str, float, str]]) -> None:
        self._bench = bench
        self._texts = texts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench, name)

    def newest_texts(self, bank: str) -> dict[int, Any]:
        return {
            vector: SimpleNamespace(text=text, radius=radius, prompt=SimpleNamespace(user=prompt), scores=None)
            for vector, (prompt, radius, text) in self._texts.items()
        }


def test_a_vector_that_says_what_another_one_says_names_it(bench: Any) -> None:
    held = trained(bench)
    texts = {0: ("Hi", 6.0, "a  b"), 1: ("Hi", 6.0, "a\nb"), 2: ("Hi", 7.0, "a b")}
    lines = vector_lines(Told(bench, texts), "a", held.record, 3)
    assert [line["text"]["same"] for line in lines] == [None, 0, None]
    assert [line["index"] for line in lines] == [0, 1, 2]
