"""Losses: weighted cross-entropy, focal loss and OC-Softmax, each with a ranking loss within pairs beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.keys import key
from aasist.session import BONAFIDE, SPOOF


@dataclass(frozen=True)
class Loss:
    """What is minimised; the weights of the classes count by their ratio alone."""

    kind: str = key(
        "cross-entropy",
        "cross-entropy, focal (Lin et al., ICCV 2017), or oc-softmax (Zhang et al., SPL 2021), which wants model.readout"
        " to be cosine",
        choices=("cross-entropy", "focal", "oc-softmax"),
    )
    bonafide_weight: float = key(0.9, "weight of a bona fide trial", low=0.0)
    spoof_weight: float = key(0.1, "weight of a spoof", low=0.0)
    smoothing: float = key(0.0, "share of the target that goes to both classes alike", low=0.0, high=0.5)
    focal_gamma: float = key(2.0, "how little trials count that are right already, of focal", low=0.0)
    oc_scale: float = key(20.0, "sharpness of oc-softmax", low=0.0)
    oc_bonafide_margin: float = key(0.9, "cosine that bona fide shall be above, of oc-softmax", low=-1.0, high=1.0)
    oc_spoof_margin: float = key(0.2, "cosine that spoofs shall be below, of oc-softmax", low=-1.0, high=1.0)
    rank_weight: float = key(0.0, "weight of the ranking loss within pairs beside it", low=0.0)
    head_weight: float = key(
        0.0,
        "weight of the same loss (with oc-softmax, of cross-entropy: a head has no cosine) of a linear head on the encoder,"
        " which teaches it and is left out of the model",
        low=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Total:
    """What a loss is divided by, summed over all that makes up a step: the trials' weights (), and the pairs' number ()."""

    weight: Tensor
    pairs: Tensor


def total_of(loss: Loss, labels: Tensor, pairs: Tensor) -> Tensor:
    """Labels (B,) and pairs (P, 2) -> (2,): what one batch adds to the `Total` of its step."""
    return torch.stack([class_weights(loss, labels).sum(), labels.new_tensor(len(pairs)).to(torch.float32)])


def loss_of(
    loss: Loss, logits: Tensor, labels: Tensor, pairs: Tensor, total: Total, out: nn.Linear | None = None
) -> Tensor:
    """What a batch (or a part of one) adds to the loss of its step: the parts of a step sum up to the step's loss ().

    ``logits`` (B, 2), ``labels`` (B,) 1 = bona fide, ``pairs`` (P, 2) of rows, bona fide first. ``out`` is the layer that
    gave the logits, which OC-Softmax needs.
    """
    weighted = (class_weights(loss, labels) * row_losses(loss, logits, labels, out)).sum() / total.weight
    if not loss.rank_weight or not len(pairs):
        return weighted
    margin = logits[:, BONAFIDE] - logits[:, SPOOF]
    ranking = functional.softplus(margin[pairs[:, 1]] - margin[pairs[:, 0]]).sum() / total.pairs
    return weighted + loss.rank_weight * ranking


def class_weights(loss: Loss, labels: Tensor) -> Tensor:
    """Labels (B,) -> the weight (B,) of each trial."""
    return torch.where(labels == BONAFIDE, loss.bonafide_weight, loss.spoof_weight).to(torch.float32)


def row_losses(loss: Loss, logits: Tensor, labels: Tensor, out: nn.Linear | None = None) -> Tensor:
    """Logits (B, 2), labels (B,) -> the loss (B,) of each trial, before any weight; without ``out``, cross-entropy in
    place of OC-Softmax.

    Where the published code takes the mean weighted by class, smoothing there weighs each class's part by the class;
    here a trial's whole loss has the weight of its own class. Without smoothing the two are one.
    """
    if loss.kind == "oc-softmax" and out is not None:
        return _one_class(loss, _cosines(logits, out), labels)
    entropy = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=loss.smoothing)
    if loss.kind != "focal":
        return entropy
    own, other = (logits.gather(1, of.unsqueeze(1)).squeeze(1) for of in (labels, 1 - labels))
    # (1 - p)^gamma by its logarithm: the power itself has no finite gradient at p = 1 where gamma is below 1.
    return torch.exp(loss.focal_gamma * functional.logsigmoid(other - own)) * entropy


def _one_class(loss: Loss, cosines: Tensor, labels: Tensor) -> Tensor:
    """``log(1 + exp(alpha (m_y - cos) (-1)^y))``, y = 0 for bona fide (Zhang et al., SPL 2021, eq. 5)."""
    short_of = torch.where(labels == BONAFIDE, loss.oc_bonafide_margin - cosines, cosines - loss.oc_spoof_margin)
    return functional.softplus(loss.oc_scale * short_of)


def _cosines(logits: Tensor, out: nn.Linear) -> Tensor:
    """Logits (B, 2) of a readout of unit length -> its cosine (B,) with the direction in which ``out`` looks for bona
    fide, so that the score of the model and that of the loss are in one order."""
    direction = out.weight[BONAFIDE] - out.weight[SPOOF]
    shift = out.bias[BONAFIDE] - out.bias[SPOOF]
    length: Tensor = torch.linalg.vector_norm(direction).clamp_min(1e-12)
    return (logits[:, BONAFIDE] - logits[:, SPOOF] - shift) / length
