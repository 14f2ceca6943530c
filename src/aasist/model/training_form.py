"""The form a model trains in: the same numbers, less time and memory.

On a processor the encoder, where nearly all of the work is, goes through a batch stretch by stretch
(``residual``, ``residual_first``); on CUDA the model runs as it is written, within autocast. Either way the weights and
running statistics are those of the model itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from aasist.model.aasist import Aasist
from aasist.model.encoder import ResidualBlock
from aasist.model.residual import Residual
from aasist.model.residual_first import FirstResidual
from aasist.model.sinc import pooled_bands
from aasist.model.stretch import MOST_POOLED, Stretch, each, stretches
from aasist.recipe import SINC

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


class PlainForm(nn.Module):
    """The model as it is written, within autocast but for the sinc bands and what opens the encoder.

    Those have no weights to speak of, and are float32 wherever the model is run: in bf16 the upper bands of a recording
    that is weak there would be noise of rounding, and their logarithms too. A speech encoder, nearly all of the work where
    there is one, runs within autocast.
    """

    def __init__(self, model: Aasist, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """Waveform (B, T), band mask (B, bands) -> logits (B, 2) float32."""
        return self.features_and_logits(waveform, band_mask)[1]

    def features_and_logits(self, waveform: Tensor, band_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same, and the encoder's features (B, C, F, T') float32."""
        model, device = self.model, waveform.device.type
        narrow = self.dtype in {torch.bfloat16, torch.float16}
        with torch.autocast(device, self.dtype, enabled=narrow and model.front is not None):
            bands = model.bands(waveform, band_mask).to(waveform.dtype)
        with torch.autocast(device, enabled=False):
            maps = model.encoder.opened(bands.unsqueeze(1))
            prosodic = model.prosodic(waveform)
        with torch.autocast(device, self.dtype, enabled=narrow):
            features = model.encoder.blocks(maps)
            logits = model.logits(features, prosodic)
        return features.to(waveform.dtype), logits.to(waveform.dtype)


class StretchedForm(PlainForm):
    """The encoder in ``dtype``, stretch by stretch; the graphs and all sums in float32.

    The number of threads changes no result.
    """

    def __init__(self, model: Aasist, dtype: torch.dtype) -> None:
        super().__init__(model, dtype)
        a = model.architecture
        sinc = pooled_bands(a.bands, a.kernel_samples, a.sinc_stride, a.front_pool, fewest_folded=1)
        self.sinc = sinc.to(model.spectral_position.dtype)
        self._hop = a.sinc_stride * a.front_pool[1]
        self._frame = (a.front_pool[1] - 1) * a.sinc_stride + a.kernel_samples

    def features_and_logits(self, waveform: Tensor, band_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        model = self.model
        with torch.autocast("cpu", enabled=False):
            bands = self._bands(model.levelled(waveform), band_mask)
            maps = model.encoder.opened(bands.unsqueeze(1), time=2).squeeze(1)
            for block in model.encoder.blocks:
                assert isinstance(block, ResidualBlock)
                maps = self._through(block, maps)
            features = maps.to(waveform.dtype).permute(0, 3, 2, 1)
            return features, model.logits(features, model.prosodic(waveform))

    def _bands(self, waveform: Tensor, band_mask: Tensor | None) -> Tensor:
        """Waveform (B, T) -> pooled sinc bands (B, T', F)."""
        if waveform.requires_grad:
            reached: Tensor = ReachedBands.apply(waveform, self, band_mask)  # type: ignore[no-untyped-call]
            return reached
        return self.filtered(waveform, band_mask)

    def filtered(self, waveform: Tensor, band_mask: Tensor | None) -> Tensor:
        """The same, through which no gradient goes."""
        parts = self.sinc_stretches(waveform)
        bands = waveform.new_empty(len(waveform), parts[-1].stop, self.model.architecture.spectral_nodes)

        def work(part: Stretch) -> None:
            bands[part.row, part.start : part.stop] = self.filtered_part(self.heard(waveform, part), band_mask, part)

        for _ in each(work, parts):
            pass
        return bands

    def sinc_stretches(self, waveform: Tensor) -> list[Stretch]:
        """Stretches of the pooled bands of a waveform (B, T)."""
        a = self.model.architecture
        frames = (waveform.shape[1] - self._frame) // self._hop + 1
        return stretches(len(waveform), frames, 4 * a.bands * a.front_pool[1])

    def heard_samples(self, part: Stretch) -> slice:
        """The samples that a stretch of the bands is made of."""
        return slice(part.start * self._hop, (part.stop - 1) * self._hop + self._frame)

    def heard(self, waveform: Tensor, part: Stretch) -> Tensor:
        """Those of a waveform (B, T): (1, n)."""
        return waveform[part.row : part.row + 1, self.heard_samples(part)]

    def filtered_part(self, samples: Tensor, band_mask: Tensor | None, part: Stretch) -> Tensor:
        """What a stretch hears (1, n) -> its bands (steps, F)."""
        mask = band_mask if band_mask is None or band_mask.ndim == 1 else band_mask[part.row : part.row + 1]
        bands: Tensor = self.sinc(samples, mask)[0].T
        return bands

    def _through(self, block: ResidualBlock, maps: Tensor) -> Tensor:
        """Maps (B, T, F, C), or (B, T, F) of one channel, through a block."""
        norm, shortcut = block.norm, block.shortcut
        frozen = None if norm.training else (norm.running_mean, norm.running_var)
        arguments: list[Any] = [
            *(block.conv1.weight, block.conv1.bias, norm.weight, norm.bias, block.conv2.weight, block.conv2.bias),
            *((None, None) if shortcut is None else (shortcut.weight, shortcut.bias)),
            *(frozen, norm.eps, block.time_pool),
        ]
        count = maps.shape[0] * maps.shape[1] * (maps.shape[2] + 1)
        if maps.ndim == 3:
            out, mean, variance = FirstResidual.apply(maps, *arguments, self.dtype)  # type: ignore[no-untyped-call]
        else:
            out, mean, variance = Residual.apply(maps, *arguments)  # type: ignore[no-untyped-call]
        if frozen is None:
            follow(norm, mean, variance, count)
        if block.excitation is not None:
            gains = block.excitation(out.mean((1, 2), dtype=norm.weight.dtype))
            out = out * gains[:, None, None].to(out.dtype)
        result: Tensor = out
        return result


class ReachedBands(torch.autograd.Function):
    """Waveform (B, T) -> pooled sinc bands (B, T', F) of a form, and the gradient back to the waveform, which an attack asks
    for and training does not: nothing but the waveform is kept, a stretch is made again in cache."""

    @staticmethod
    def forward(ctx: Any, waveform: Tensor, form: StretchedForm, band_mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(waveform)
        ctx.form, ctx.band_mask = form, band_mask
        return form.filtered(waveform, band_mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (waveform,), form, band_mask = ctx.saved_tensors, ctx.form, ctx.band_mask
        parts = form.sinc_stretches(waveform)

        def back(part: Stretch) -> Tensor:
            with torch.enable_grad():  # of this thread
                samples = form.heard(waveform, part).detach().requires_grad_()
                bands = form.filtered_part(samples, band_mask, part)
            found: Tensor = torch.autograd.grad(bands, samples, gradient[part.row, part.start : part.stop])[0]
            return found[0]

        to_waveform = torch.zeros_like(waveform)
        for part, found in zip(parts, each(back, parts), strict=True):  # stretches overlap by what a filter reaches
            to_waveform[part.row, form.heard_samples(part)] += found
        return to_waveform, None, None


def prepared(model: Aasist, precision: str, device: torch.device | str) -> PlainForm:
    """The form in which ``model`` trains fastest on ``device``; it shares parameters and buffers with the model.

    ``precision`` is fp32, bf16 or (CUDA) fp16; with fp32 it computes what the model does, but for rounding.
    """
    a = model.architecture
    stretched = torch.device(device).type == "cpu" and max(a.time_pools) <= MOST_POOLED and a.front == SINC
    return (StretchedForm if stretched else PlainForm)(model, PRECISIONS[precision])


@torch.no_grad()
def follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics of a norm towards those of a batch of ``count`` places, as PyTorch does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * (count / (count - 1)), share)
