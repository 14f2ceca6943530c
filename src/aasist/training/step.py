"""One step: from a batch of waveforms to new weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from aasist.errors import AasistError
from aasist.model.aasist import Aasist
from aasist.model.speech_encoder import SpeechEncoder
from aasist.model.training_form import PlainForm, prepared
from aasist.training.adversarial import attacked
from aasist.training.averaging import norms_of
from aasist.training.distillation import distillation_of
from aasist.training.distributed import Ranks
from aasist.training.draws import Integers, Purpose, generator, seed_dropout
from aasist.training.loss import Total, loss_of, total_of
from aasist.training.precision import Precision
from aasist.training.recipe import Recipe
from aasist.training.schedule import learning_rate
from aasist.training.sharpness import ascended, norm_of
from aasist.training.state import named, optimiser_tensors, restore_optimiser, under


@dataclass(frozen=True)
class Ready:
    """A batch, or this rank's part of one, on the device and augmented.

    ``waveforms`` (B, T), ``labels`` (B,) 1 = bona fide, ``mask`` (B, bands) or None, ``pairs`` (P, 2) of rows of the
    batch, bona fide first. ``number`` is that of the batch in the epoch. ``clean`` (B, T): before augmentation, where
    somebody hears that. ``attack_keys`` (B,) of the draws of what perturbs rows, where something does. ``told`` (B, files):
    what score files say, where they teach.
    """

    waveforms: Tensor
    labels: Tensor
    mask: Tensor | None
    pairs: Tensor
    epoch: int
    number: int
    clean: Tensor | None = None
    attack_keys: Integers | None = None
    told: Tensor | None = None


@dataclass(frozen=True)
class Outcome:
    """What a step came to; ``skipped`` where the loss or its gradient was not finite and nothing was changed."""

    loss: float
    gradient_norm: float
    learning_rate: float
    skipped: bool
    stop: str
    """Why some rank asked to stop; empty where none did."""
    faults: int
    """Trials of the step that could not be read, on all ranks."""


STOPS = ("signal", "memory")
"""Reasons for which a rank may ask to stop."""


class Learner:
    """A model with its optimiser, and with a head that teaches its encoder where the recipe wants one."""

    def __init__(
        self, recipe: Recipe, ranks: Ranks, precision: Precision, encoder: SpeechEncoder | None = None
    ) -> None:
        self.recipe, self.ranks, self.precision = recipe, ranks, precision
        torch.manual_seed(int(generator(recipe.seed, Purpose.START).integers(1 << 62)))
        self.model = Aasist(recipe.model.resolved(), encoder)
        self.head = EncoderHead(self.model) if recipe.loss.head_weight else None
        self.distillation = distillation_of(recipe.teachers, precision, shortest_samples=recipe.shortest_samples)
        widths = [] if self.distillation is None else self.distillation.hint_widths
        self.hint = EncoderHead(self.model, sum(widths)) if widths else None
        parts = {"model": self.model, "head": self.head, "hint": self.hint}
        self.whole = nn.ModuleDict({name: part for name, part in parts.items() if part is not None})
        self.whole.to(ranks.device)
        self.form = _form(self.model, recipe, precision)
        self.parameters = _trained(self.whole, recipe.optimiser.freeze_norms)
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser.kind]
        keys = recipe.optimiser
        self.optimiser = kind(
            self.parameters, keys.learning_rate, betas=keys.betas, weight_decay=keys.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision.scaled)
        self.statistics = [b for norm in norms_of(self.model) for b in norm.buffers() if b.dtype.is_floating_point]

    def take(self, batches: Sequence[Ready], step: int, horizon: int, *, stop: str = "", faults: int = 0) -> Outcome:
        """Step number ``step`` on what makes it up: as many batches as ``optimiser.accumulate`` says. All ranks come here
        together; ``stop`` is what this one asks for, ``faults`` how many of its trials could not be read."""
        rate = learning_rate(self.recipe.schedule, self.recipe.optimiser.learning_rate, step, horizon)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batches = [self._attacked(batch) for batch in batches]
        self._train_mode()
        self.optimiser.zero_grad(set_to_none=False)
        before = [statistics.clone() for statistics in self.statistics]
        total, together = self._total(batches)
        taken = [batch for batch, by_all in zip(batches, together, strict=True) if by_all and len(batch.labels)]
        sums = torch.tensor([0.0, faults, *(stop == reason for reason in STOPS)], device=self.ranks.device)
        sums[0] = self._backward(taken, total)
        self._sum_over_ranks([*self.statistics, sums])
        for statistics in self.statistics:
            statistics.div_(self.ranks.world)
        self._sharpen(taken, total)
        self.scaler.unscale_(self.optimiser)
        most = self.recipe.optimiser.clip_norm
        norm = float(nn.utils.clip_grad_norm_(self.parameters, math.inf if most is None else most))
        value, faulty, *asked = sums.tolist()
        skipped = not (math.isfinite(value) and math.isfinite(norm))
        if skipped:
            for statistics, kept in zip(self.statistics, before, strict=True):
                statistics.copy_(kept)  # what is not finite would stay in a running mean for good
        else:
            self.scaler.step(self.optimiser)
        self.scaler.update()  # in fp16: lower after what was not finite, higher after long enough without
        stop = next((reason for reason, count in zip(STOPS, asked, strict=True) if count), "")
        return Outcome(value, norm, rate, skipped, stop, round(faulty))

    def _attacked(self, batch: Ready) -> Ready:
        """The batch with the rows perturbed that the recipe wants perturbed. Teachers hear them as they were: what misleads
        the student may mislead them."""
        if batch.attack_keys is None or not len(batch.labels):
            return batch
        self.whole.eval()
        waveforms = attacked(
            *(self.recipe.adversarial, self.form, batch.waveforms, batch.labels, batch.mask, batch.attack_keys),
            scaled=self.scaler.scale,
        )
        heard = batch.waveforms if batch.clean is None and self.distillation is not None else batch.clean
        return replace(batch, waveforms=waveforms, clean=heard)

    def _backward(self, batches: Sequence[Ready], total: Total) -> float | Tensor:
        """Add the gradients of the batches, scaled where the precision is, to those there are -> their loss."""
        sum_: float | Tensor = 0.0
        for batch in batches:
            seed_dropout(self.recipe.seed, batch.epoch, batch.number, self.ranks.rank)
            loss = self._loss(batch, total)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            sum_ = sum_ + loss.detach()
        return sum_

    def _sharpen(self, batches: Sequence[Ready], total: Total) -> None:
        """Put the gradients at the worst point near the weights in the place of those at the weights, where the recipe
        wants that: of the same batches and the same dropout.

        Running statistics stay those of the weights. Gradients that are not finite stay too: there is no such point, and
        the step will be skipped.
        """
        keys = self.recipe.optimiser
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not keys.sharpness or not bool(norm_of(gradients).isfinite()):
            return
        buffers = [buffer for norm in norms_of(self.model) for buffer in norm.buffers()]
        kept = [buffer.clone() for buffer in buffers]
        with ascended(self.parameters, keys.sharpness, adaptive=keys.sharpness_adaptive):
            self._backward(batches, total)
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)
        self._sum_over_ranks([])

    def _loss(self, batch: Ready, total: Total) -> Tensor:
        """What a batch adds to the loss of the step ()."""
        loss = self.recipe.loss
        features, logits = self.form.features_and_logits(batch.waveforms, batch.mask)
        value = loss_of(loss, logits, batch.labels, batch.pairs, total, self.model.out)
        if self.head is not None:
            taught = self.head(features)
            value = value + loss.head_weight * loss_of(loss, taught, batch.labels, batch.pairs, total)
        if self.distillation is not None:
            heard = batch.waveforms if batch.clean is None else batch.clean
            hints = None if self.hint is None else self.hint(features)
            value = value + self.distillation.loss(
                *(loss, heard, logits, hints, batch.labels, batch.pairs, total), told=batch.told
            )
        return value

    def _total(self, batches: Sequence[Ready]) -> tuple[Total, list[bool]]:
        """What the loss of the step is divided by, over all its batches and ranks; and which batches are taken.

        Batch norms that see all ranks wait for each other in every layer: a batch of which one rank has nothing is then
        left out by all.
        """
        totals = torch.stack([total_of(self.recipe.loss, batch.labels, batch.pairs) for batch in batches])
        empty = totals.new_tensor([float(not len(batch.labels)) for batch in batches])
        self.ranks.sum_([totals, empty])
        together = [True] * len(batches)
        if self.recipe.optimiser.sync_norms:
            together = (empty == 0).tolist()
            totals = totals * (empty == 0).unsqueeze(1)
        weight, pairs = totals.sum(0).clamp_min(1e-12)
        return Total(weight, pairs), together

    def _sum_over_ranks(self, others: Sequence[Tensor]) -> None:
        """Gradients, and ``others``, become the sums of all ranks."""
        if self.ranks.world > 1:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            self.ranks.sum_([*gradients, *others])

    def _train_mode(self) -> None:
        self.whole.train()
        if self.recipe.optimiser.freeze_norms:
            for norm in norms_of(self.model):
                norm.eval()

    def tensors(self) -> dict[str, Tensor]:
        """All that a later start needs to go on as if nothing had happened."""
        scaler = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.scaler.state_dict().items()}
        return (
            named("weights", self.whole.state_dict())
            | named("optimiser", optimiser_tensors(self.optimiser))
            | named("scaler", scaler)
        )

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `tensors`."""
        self.whole.load_state_dict(under("weights", tensors))
        restore_optimiser(self.optimiser, under("optimiser", tensors))
        if scaler := under("scaler", tensors):
            now = self.scaler.state_dict()
            self.scaler.load_state_dict({name: type(value)(scaler[name]) for name, value in now.items()})


class EncoderHead(nn.Linear):
    """Features (B, C, F, T) of the encoder -> logits (B, 2), or so many ``outputs``, from their mean and maximum in time."""

    def __init__(self, model: Aasist, outputs: int = 2) -> None:
        architecture = model.architecture
        super().__init__(2 * architecture.channels[-1] * architecture.spectral_nodes, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(torch.cat([features.mean(3), features.amax(3)], dim=1).flatten(1))


def _form(model: Aasist, recipe: Recipe, precision: Precision) -> PlainForm:
    """The fastest form that trains as the recipe says."""
    if recipe.optimiser.sync_norms:
        if precision.device.type != "cuda":
            raise AasistError("recipe", "optimiser.sync_norms needs CUDA: leave it false")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return prepared(model, precision.name, precision.device)


def _trained(whole: nn.Module, freeze_norms: bool) -> list[nn.Parameter]:
    """The parameters that are trained: not those of norms that the published blocks own and never apply, and not those
    of any norm where they are frozen."""
    norms = {id(parameter) for norm in norms_of(whole) for parameter in norm.parameters()} if freeze_norms else set()
    trained = []
    for name, parameter in whole.named_parameters():
        if "unused_norm" in name or id(parameter) in norms:
            parameter.requires_grad_(False)
        else:
            trained.append(parameter)
    return trained
