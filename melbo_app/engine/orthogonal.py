"""Sets of orthogonal vectors of norm R."""

import torch
from torch import Tensor


def random_rows(count: int, width: int, radius: float, generator: torch.Generator) -> Tensor:
    """[count, width] float32 rows of norm ``radius`` in uniformly random directions, on the CPU."""
    rows = torch.randn(count, width, generator=generator)
    return radius * torch.nn.functional.normalize(rows, dim=1)


def seeded_rows(count: int, width: int, radius: float, seed: int) -> Tensor:
    """``random_rows`` that the seed determines."""
    return random_rows(count, width, radius, torch.Generator().manual_seed(seed))


def polar(rows: Tensor, radius: float) -> Tensor:
    """The orthogonal rows of norm ``radius`` nearest to ``rows`` [V, d], V ≤ d. Symmetric orthogonalisation (Löwdin
    1950), the orthogonal factor of the polar decomposition: unlike Gram–Schmidt it treats all rows alike."""
    left, _, right = torch.linalg.svd(precise(rows), full_matrices=False)
    return (radius * (left @ right)).to(rows)


def ranked(rows: Tensor, strength: Tensor, radius: float) -> Tensor:
    """``rows`` [V, d], V ≤ d, made orthogonal with norm ``radius`` by Gram–Schmidt, the strongest first. Weak rows
    yield to strong ones, and no row changes its sign."""
    order = strength.argsort(descending=True)
    columns, triangle = torch.linalg.qr(precise(rows[order]).T)
    signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0)  # QR leaves the sign of a column open
    result = torch.empty_like(rows)
    result[order] = (radius * (columns * signs).T).to(rows)
    return result


def precise(rows: Tensor) -> Tensor:
    """``rows`` in float64; on the CPU if their device has no float64 (Apple's)."""
    return (rows.cpu() if rows.device.type == "mps" else rows).double()


def without(rows: Tensor, others: Tensor, radius: float) -> Tensor:
    """``rows`` [n, d] without their components along the orthogonal ``others`` [m, d] of norm ``radius``."""
    if others.shape[0] == 0:
        return rows
    basis = others / radius
    return rows - (rows @ basis.T) @ basis


def tangent(gradient: Tensor, rows: Tensor) -> Tensor:
    """``gradient`` [V, d] without its component along ``rows`` [V, d], so that it changes only their directions."""
    unit = torch.nn.functional.normalize(rows, dim=1)
    return gradient - (gradient * unit).sum(dim=1, keepdim=True) * unit
