"""Residual encoder over the rectified sinc bands."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

COMPRESSION_FLOOR, COMPRESSION_POWER = 1e-3, 0.3
"""The floor, 60 dB under the window's level, keeps dither and noise floors from telling the class. The power is that of
loudness, about."""


class SqueezeExcitation(nn.Module):
    """A gain for each channel of a map, from the means of all of them (Hu et al., CVPR 2018).

    Gains are twice a sigmoid, in (0, 2): before training about 1, so that maps keep their size through all blocks.
    """

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.squeezed = nn.Linear(channels, max(channels // squeeze, 1))
        self.excited = nn.Linear(max(channels // squeeze, 1), channels)

    def forward(self, means: Tensor) -> Tensor:
        """Mean of each channel over bands and time (B, C) -> gains (B, C)."""
        gains: Tensor = 2 * torch.sigmoid(self.excited(functional.selu(self.squeezed(means))))
        return gains


class ResidualBlock(nn.Module):
    """Features (B, C_in, F, T) -> (B, C_out, F, T // time_pool).

    conv (2, 3) - BN - SELU - conv (2, 3), plus the input (through a (1, 3) convolution where channels change, and where
    ``shortcut`` asks for one), then max-pooling in time; nothing follows the sum. ``inner`` channels lie between the two
    convolutions, without it C_out. The first convolution pads F by one on both sides and the second by
    none, so F comes out as it went in. With ``squeeze`` above 0 squeeze-excitation scales what comes out of pooling:
    there, and not before the sum, it sees a whole map that is kept anyway (``training_form``).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        time_pool: int,
        unused_norm: bool,
        squeeze: int = 0,
        inner: int | None = None,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        inner = channels_out if inner is None else inner
        # The published blocks compute this norm and then convolve the block's input all the same: it is kept only so
        # that their weights load strictly.
        self.unused_norm = nn.BatchNorm2d(channels_in) if unused_norm else None
        self.conv1 = nn.Conv2d(channels_in, inner, (2, 3), padding=(1, 1))
        self.norm = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels_out, (2, 3), padding=(0, 1))
        self.shortcut = (
            nn.Conv2d(channels_in, channels_out, (1, 3), padding=(0, 1))
            if shortcut or channels_in != channels_out
            else None
        )
        self.time_pool = time_pool
        self.excitation = SqueezeExcitation(channels_out, squeeze) if squeeze else None

    def forward(self, features: Tensor) -> Tensor:
        identity = features if self.shortcut is None else self.shortcut(features)
        out: Tensor = self.conv2(functional.selu(self.norm(self.conv1(features)))) + identity
        out = functional.max_pool2d(out, (1, self.time_pool)) if self.time_pool > 1 else out
        if self.excitation is not None:
            out = out * self.excitation(out.mean((2, 3)))[:, :, None, None]
        return out


class Encoder(nn.Module):
    """Rectified, pooled bands (B, F, T) -> features (B, channels[-1], F, T') with T' = T pooled by every block."""

    def __init__(
        self,
        channels: Sequence[int],
        time_pools: Sequence[int],
        compression: str,
        unused_norms: bool,
        squeeze: int = 0,
        centring: float = 0.0,
        inner_channels: Sequence[int] = (),
        shortcuts: Sequence[bool] = (),
    ) -> None:
        """``inner_channels`` and ``shortcuts``: of each block, or empty for `ResidualBlock`'s own."""
        super().__init__()
        self.compression, self.centring = compression, centring
        self.norm = nn.BatchNorm2d(1)
        blocks = zip(
            (1, *channels[:-1]),
            channels,
            time_pools,
            inner_channels or channels,
            shortcuts or (False,) * len(channels),
            strict=True,
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(width_in, width_out, pool, unused_norms and index > 0, squeeze, inner, shortcut)
                for index, (width_in, width_out, pool, inner, shortcut) in enumerate(blocks)
            )
        )

    def forward(self, bands: Tensor) -> Tensor:
        encoded: Tensor = self.blocks(self.opened(bands.unsqueeze(1)))
        return encoded

    def opened(self, bands: Tensor, time: int = 3) -> Tensor:
        """Bands (B, 1, F, T) as the first block takes them, of the same shape; ``time`` is the dimension of T."""
        if self.compression == "log":
            bands = torch.log(bands + COMPRESSION_FLOOR)
        elif self.compression == "power":
            bands = (bands + COMPRESSION_FLOOR) ** COMPRESSION_POWER
        if self.centring:
            bands = bands - self.centring * bands.mean(dim=time, keepdim=True)
        return functional.selu(self.norm(bands))
