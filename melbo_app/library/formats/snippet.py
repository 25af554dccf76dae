"""A Python snippet for the steering-vectors package, which has no file format of its own."""

import base64
import textwrap

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.formats.format import Parcel, model_name

_SNIPPET = '''\
# {title}
# For the package steering-vectors: pip install steering-vectors
import base64

import torch
from steering_vectors import SteeringVector

DATA = """
{data}
"""
LAYER = {layer}  # added to the output of this block, counted from 0
numbers = torch.frombuffer(bytearray(base64.b64decode(DATA)), dtype=torch.float32)
vector = SteeringVector(layer_activations={{LAYER: numbers}}, layer_type="decoder_block")

# model = AutoModelForCausalLM.from_pretrained({model!r})
# with vector.apply(model):  # R = {radius:.4g}; multiplier=1.5 makes it larger
#     model.generate(...)
'''


def write(parcel: Parcel) -> bytes:
    """A Python file that defines ``vector``, the bank's only one, scaled to R. Raises InputError for several."""
    bank = parcel.bank
    if len(bank.vectors) != 1:
        raise InputError("vector", f"a snippet holds one, not {len(bank.vectors)}", "Choose one")
    data = base64.b64encode(np.asarray(bank.vectors[0], dtype="<f4").tobytes()).decode()
    text = _SNIPPET.format(
        title=parcel.stem,
        data="\n".join(textwrap.wrap(data, 100)),
        layer=bank.record.source,
        model=model_name(bank.record.model),
        radius=bank.record.radius,
    )
    return text.encode()
