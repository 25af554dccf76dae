"""The published method: one vector after the other."""

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.orthogonal import precise, random_rows, tangent, without
from melbo_app.engine.start import starting_rows
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped

MOMENTS = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
"""The optimizer's state, empty before its first step."""


def sequential(ascent: Ascent) -> Training:
    """Each vector orthogonal to those before it (Mack & Turner 2024). Learning rate, moments and projections are those
    of the published code (AdamW with amsgrad, rate 0.001 whatever R is, 300 steps)."""
    config, radius, steps, device = ascent.config, ascent.config.radius, ascent.config.total_steps, ascent.device
    found = torch.zeros(0, ascent.width, device=device)
    curves: list[list[float]] = []
    done, total, stopped = 0, config.vectors * steps, False
    progress = TrainingProgress(f"vector 1 of {config.vectors}", 0, total, None, curves, 0)
    try:
        begun = ascent.resume("sequential")
        if begun:
            found, starts = begun.tensors["found"].to(device), begun.tensors.get("starts")
            curves, done = begun.facts["curves"], begun.facts["done"]
        else:
            starts = None if config.start == "random" else (yield from starting_rows(ascent, config.vectors))
        given = {} if starts is None else {"starts": starts}

        def keep(tensors: dict[str, Tensor]) -> None:
            ascent.keep("sequential", {"found": found, **given, **tensors}, curves=curves, done=done)

        for number in range(len(found) + 1, config.vectors + 1):
            if begun and "theta" in begun.tensors:
                theta = torch.nn.Parameter(begun.tensors["theta"].to(device))
                optimizer = _optimizer(theta)
                optimizer.state[theta] = {
                    name: tensor if name == "step" else tensor.to(device)  # it counts steps on the CPU
                    for name, tensor in begun.tensors.items()
                    if name in MOMENTS
                }
            else:
                if starts is None:  # drawn one at a time, so that a vector does not depend on how many follow
                    row = random_rows(1, ascent.width, radius, ascent.generator)
                else:
                    row = starts[number - 1 : number]
                start = without(row.to(device), found, radius)
                theta = torch.nn.Parameter(radius * torch.nn.functional.normalize(start, dim=1))
                optimizer = _optimizer(theta)
                curves.append([])
            begun = None
            keep({"theta": theta, **optimizer.state[theta]})
            while len(curves[-1]) < steps:
                values, gradients = yield from ascent.values_and_gradients(theta, progress)
                curves[-1].append(float(values))
                with torch.no_grad():
                    theta.grad = -tangent(without(gradients, found, radius), theta)
                    optimizer.step()
                    theta.copy_(radius * torch.nn.functional.normalize(without(theta, found, radius), dim=1))
                done += 1
                keep({"theta": theta, **optimizer.state[theta]})
                finished = number - 1 + (done == number * steps)
                left = ascent.seconds_left(done, total)
                progress = TrainingProgress(f"vector {number} of {config.vectors}", done, total, left, curves, finished)
                yield progress
            # again in float64, because float32 rounding errors add up over the vectors
            exact = without(precise(theta.detach()), precise(found), radius)
            found = torch.cat([found, (radius * torch.nn.functional.normalize(exact, dim=1)).to(found)])
            keep({})
    except Stopped:
        stopped = True
    curves = curves[: len(found)]
    final = ascent.final(found, curves, stopped)
    return TrainingResult(found.float().cpu(), final, curves, steps, stopped, ascent.seconds)


def _optimizer(theta: torch.nn.Parameter) -> torch.optim.AdamW:
    return torch.optim.AdamW([theta], lr=0.001, betas=(0.9, 0.98), weight_decay=0.0, amsgrad=True)
