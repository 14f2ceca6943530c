"""A model with its batch norms folded into the layers before them: the same function in fewer operations.

In eval mode a batch norm is ``scale * x + shift`` for each channel, and so is what it follows. Scales and weights are
multiplied in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aasist.model.aasist import Aasist
from aasist.model.encoder import ResidualBlock
from aasist.model.graph import GraphAttention, HeterogeneousAttention


def folded(model: Aasist) -> Aasist:
    """A copy of ``model``, in eval mode and without gradients, whose blocks and graph layers have no norms any more.

    What opens the encoder, and the prosodic frames, keep theirs: no layer stands before them. Norms that the published
    blocks own and never apply are gone. The speech encoder in front, where there is one, is shared and left as it is.
    """
    copy = Aasist(model.architecture, model.speech_encoder)
    copy.to(model.spectral_position.dtype).load_state_dict(model.state_dict())
    for module in copy.modules():
        if isinstance(module, ResidualBlock):
            module.unused_norm = None
            _fold(module.norm, [module.conv1])
            module.norm = nn.Identity()  # type: ignore[assignment]
        elif isinstance(module, GraphAttention | HeterogeneousAttention):
            _fold(module.norm, [module.attended, module.own])
            module.norm = nn.Identity()  # type: ignore[assignment]
    return copy.eval().requires_grad_(False)


@torch.no_grad()
def _fold(norm: nn.BatchNorm1d | nn.BatchNorm2d, layers: Sequence[nn.Conv2d | nn.Linear]) -> None:
    """Scale the layers, the sum of whose outputs ``norm`` takes, and shift the last of them."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.double() - scale * norm.running_mean.double()
    for layer in layers:
        _set(layer.weight, layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        assert layer.bias is not None
        _set(layer.bias, layer.bias.double() * scale + (shift if layer is layers[-1] else 0.0))


def _set(parameter: Tensor, value: Tensor) -> None:
    parameter.copy_(value.to(parameter.dtype))
