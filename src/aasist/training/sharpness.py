"""Sharpness-aware minimisation: the gradient is taken where the loss is worst near the weights (Foret et al., ICLR 2021).

What is learnt then lies in flatter parts of the loss, where test sets unlike the training set are said to be met better:
of audio anti-spoofing with several data sets, Shim, Jung and Kinnunen (Interspeech 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

FLOOR = 0.01
"""Added to the magnitude of a weight in the adaptive form, so that one at zero can move (Kwon et al., ICML 2021)."""


@contextmanager
def ascended(parameters: Sequence[nn.Parameter], radius: float, *, adaptive: bool) -> Iterator[None]:
    """Within it the parameters are at the worst point near them, by their gradients, which are zero there; afterwards they
    are what they were, to the bit, with whatever gradients they have been given meanwhile.

    That point is ``w + radius g / |g|`` over all of them together (Foret et al., eq. 2), or where ``adaptive``
    ``w + radius t^2 g / |t g|`` with ``t = |w| + FLOOR``, which does not change when one layer is scaled up and the
    next down (Kwon et al.). Neither depends on the size of the gradients, so scaled ones (fp16) will do. Gradients
    have to be finite, and those of all ranks: then all ranks go to the same point.
    """
    kept = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        moves = _moves(parameters, radius, adaptive=adaptive)
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.add_(move)
            assert parameter.grad is not None
            parameter.grad.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters, kept, strict=True):
                parameter.copy_(before)  # subtracting the move would leave its rounding


def _moves(parameters: Sequence[nn.Parameter], radius: float, *, adaptive: bool) -> list[Tensor]:
    """How far each parameter goes; nowhere where all gradients are zero."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert len(gradients) == len(parameters)
    if not adaptive:
        length = norm_of(gradients)
        return [radius * gradient / length for gradient in gradients]
    sizes = [parameter.abs() + FLOOR for parameter in parameters]
    length = norm_of([size * gradient for size, gradient in zip(sizes, gradients, strict=True)])
    return [radius * size.square() * gradient / length for size, gradient in zip(sizes, gradients, strict=True)]


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm () of all numbers together, never quite zero."""
    norm: Tensor = torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]).square().sum().sqrt()
    return norm.clamp_min(1e-30)
