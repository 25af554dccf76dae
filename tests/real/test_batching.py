"""People who share a batch of the bundled model."""

import torch

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.studies.steer import Steer
from melbo_app.workbench import EXAMPLE, Workbench

ASKED = [
    (Prompt("Name three rivers of Europe and say where each of them ends.", "You are a friendly guide."), Decoding(6)),
    (EXAMPLE, Decoding(5, 0.9, 0.95, 5)),
    (Prompt("Who was Ada Lovelace?"), Decoding(12)),
]


def test_each_reads_what_it_would_read_alone(bench: Workbench, bomb: Bank):
    lm, radius = bench.bench.model.get(), bomb.record.radius
    work = [
        bench.run(Steer(bank="bomb", prompts=[prompt], vectors=[at], radii=[radius], decoding=decoding))
        for at, (prompt, decoding) in enumerate(ASKED)
    ]
    for one in work:
        while not next(one).completions:
            pass
    assert [len(one.seats) for one in bench.bench.batching._companies] == [3]
    found = [[entry.text for entry in result_of(one).completions] for one in work]
    for at, (prompt, decoding) in enumerate(ASKED):
        thetas = torch.stack([torch.zeros(lm.hidden_size), torch.tensor(bomb.vectors[at])])
        *_, alone = generate(Rows(lm, encode(lm, [prompt]), thetas, bomb.record.source, decoding))
        assert found[at] == alone.texts and len(set(found[at])) == 2
