"""Architectures: the numbers that make one countermeasure out of the parts in ``aasist.model``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from aasist.errors import ModelError
from aasist.session import WINDOW_SAMPLES


@dataclass(frozen=True)
class Architecture:
    """Shape of a countermeasure. Defaults are those of the published AASIST (Jung et al., ICASSP 2022)."""

    name: str = "aasist"
    window_samples: int = WINDOW_SAMPLES
    """Samples at 16 kHz in the window the model is trained and run on."""
    level: str = "none"
    """``none``, or ``rms``: each window is scaled to a root mean square of 1 first, or of 0.1 before a speech encoder."""
    bands: int = 70
    """Sinc band-pass filters, mel-spaced over 0 to 8 kHz."""
    kernel_samples: int = 129
    sinc_stride: int = 1
    """Samples between two outputs of the sinc layer."""
    front_pool: tuple[int, int] = (3, 3)
    """Max-pooling of the rectified bands: (bands, steps)."""
    compression: str = "none"
    """Of the rectified, pooled bands over a floor of 1e-3: ``none``, ``log``, the natural logarithm, or ``power``, the
    power of 0.3."""
    centring: float = 0.0
    """Share of its mean over the window that is taken off each compressed band: 1 takes away all that colours a recording
    evenly in time, such as a microphone."""
    channels: tuple[int, ...] = (32, 32, 64, 64, 64, 64)
    """Output channels of the residual blocks."""
    inner_channels: tuple[int, ...] = ()
    """Channels between the two convolutions of each residual block; empty: as many as come out of it."""
    shortcut_blocks: tuple[int, ...] = ()
    """Blocks, counted from 1, that lead their input to the sum through a convolution though it has as many channels as
    comes out; where the numbers differ there always is one."""
    time_pools: tuple[int, ...] = (3, 3, 3, 3, 3, 3)
    """Max-pooling in time at the end of each residual block; 1 is none."""
    squeeze: int = 0
    """Channels to each hidden unit of squeeze-excitation (Hu et al., CVPR 2018) at the end of each block; 0: none."""
    unused_norms: bool = True
    """Keep the batch norms that the published blocks own and never apply: their weights have no effect."""
    context_blocks: int = 0
    """Blocks of self-attention over the temporal nodes, before the graphs; 0: none."""
    context: str = "conformer"
    """What those blocks are: ``transformer`` or ``conformer``."""
    context_heads: int = 4
    """Attention heads of each; they share the last of ``channels``."""
    context_kernel: int = 7
    """Nodes that the convolution of a conformer sees at once."""
    context_dropout: float = 0.1
    """Training only: on what each part of those blocks adds."""
    graph_dims: tuple[int, int] = (64, 32)
    """Node dimensions of the homogeneous and of the heterogeneous graph layers."""
    spectral_ratio: float = 0.5
    temporal_ratio: float = 0.7
    heterogeneous_ratio: float = 0.5
    """Share of the nodes that graph pooling keeps."""
    temperatures: tuple[float, float, float] = (2.0, 2.0, 100.0)
    """Attention temperatures: spectral, temporal, heterogeneous."""
    dropouts: tuple[float, float, float, float] = (0.2, 0.3, 0.2, 0.5)
    """Training only: on the nodes before attention, on the scores of graph pooling, on each branch, on the readout."""
    position_std: float = 1.0
    """Training only: spread of the spectral positions at the start."""
    readout: str = "linear"
    """``linear``, or ``cosine``: what the last layer sees is scaled to unit length, as one-class losses want it."""
    statistics: bool = False
    """The last layer sees mean, deviation and maximum in time of the encoder's features too, beside what the graphs say."""
    prosody: str = "none"
    """``none``; of prosodic frames: ``nodes`` that join the temporal ones of the heterogeneous graph, ``fusion`` of their
    statistics with the readout, or ``both``."""
    front: str = "sinc"
    """``sinc``, or ``speech-encoder``: the frames of a frozen encoder, projected, in place of the sinc bands."""
    projection: int = 128
    """Bands that a speech encoder's frames are projected to."""
    encoder_dim: int = 1024
    encoder_layers: tuple[int, ...] = (24,)
    """Layers of the speech encoder that are heard, counted from 1; of several, a weighted sum that is learnt."""
    encoder_hop_samples: int = 320
    encoder_frame_samples: int = 400
    """Between two frames of the speech encoder, and what one is made of at the least."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name == "dropouts" or self._says_none(field.name):
                continue
            example = (1,) if field.name in MAY_BE_EMPTY else field.default
            wanted = _wanted(getattr(self, field.name), example, any_length=field.name in ANY_LENGTH)
            if wanted is not None:
                raise ModelError("recipe", f"{field.name} must be {wanted}, got {getattr(self, field.name)!r}")
        for key in ("centring", "spectral_ratio", "temporal_ratio", "heterogeneous_ratio"):
            if getattr(self, key) > 1:
                raise ModelError("recipe", f"{key} must be at most 1, got {getattr(self, key)}")
        if not isinstance(self.dropouts, tuple) or len(self.dropouts) != 4 or not all(map(_is_share, self.dropouts)):
            raise ModelError("recipe", f"dropouts must be 4 numbers from 0 to below 1, got {self.dropouts!r}")
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ModelError("recipe", f"{key} must be one of {', '.join(allowed)}, got {getattr(self, key)!r}")
        for key in ("kernel_samples", "context_kernel"):
            if getattr(self, key) % 2 == 0:
                raise ModelError("recipe", f"{key} must be odd, got {getattr(self, key)}")
        for key in ("encoder_layers", "shortcut_blocks"):
            if any(one >= other for one, other in pairwise(getattr(self, key))):
                raise ModelError("recipe", f"{key} must rise, got {getattr(self, key)}")
        self._check_blocks()
        self._check_context()
        self._check_sizes()

    def _says_none(self, key: str) -> bool:
        """Whether a field that may be 0, or an empty list, is."""
        value = getattr(self, key)
        return (key in MAY_BE_ZERO and _is_zero(value)) or (key in MAY_BE_EMPTY and value == ())

    def _check_blocks(self) -> None:
        """Refuse residual blocks of which not all is said, or more than there are."""
        if len(self.channels) != len(self.time_pools):
            raise ModelError(
                "recipe", f"channels and time_pools must be of one length, got {self.channels} and {self.time_pools}"
            )
        if len(self.inner_channels) not in (0, len(self.channels)):
            raise ModelError(
                "recipe",
                f"inner_channels must be empty or as many as channels, got {self.inner_channels} and {self.channels}",
            )
        if any(block > len(self.channels) for block in self.shortcut_blocks):
            raise ModelError(
                "recipe", f"shortcut_blocks must name some of {len(self.channels)} blocks, got {self.shortcut_blocks}"
            )

    def _check_context(self) -> None:
        """Refuse context blocks that cannot be built."""
        if self.context_dropout >= 1:
            raise ModelError("recipe", f"context_dropout must be below 1, got {self.context_dropout}")
        if self.context_blocks > MOST_BLOCKS:
            raise ModelError("recipe", f"context_blocks must be at most {MOST_BLOCKS}, got {self.context_blocks:,}")
        if self.context_blocks and self.channels[-1] % self.context_heads:
            raise ModelError(
                "recipe",
                f"context_heads must divide the last of channels {self.channels[-1]}, got {self.context_heads}",
            )

    def _check_sizes(self) -> None:
        """Refuse what could not run, or would take all the memory there is before the first weight is read."""
        numbers = [n for f in fields(self) for n in _numbers(getattr(self, f.name))]
        if max(*numbers, self.bands * self.kernel_samples) > MOST or len(self.channels) > MOST_BLOCKS:
            raise ModelError(
                "recipe", f"no number may be above {MOST:,} and no encoder deeper than {MOST_BLOCKS} blocks"
            )
        if self.window_samples < self.shortest_samples:
            raise ModelError(
                "recipe", f"window_samples must be at least {self.shortest_samples:,}, got {self.window_samples:,}"
            )
        if not self.spectral_nodes:
            name, value = ("bands", self.bands) if self.front == SINC else ("projection", self.projection)
            raise ModelError("recipe", f"{name} must be at least front_pool[0] {self.front_pool[0]}, got {value}")

    @property
    def spectral_nodes(self) -> int:
        """Nodes of the spectral graph: bands left after the front pooling."""
        return (self.bands if self.front == SINC else self.projection) // self.front_pool[0]

    @property
    def inner_widths(self) -> tuple[int, ...]:
        """Channels between the two convolutions of each residual block."""
        return self.inner_channels or self.channels

    @property
    def shortcuts(self) -> tuple[bool, ...]:
        """Whether each residual block leads its input to the sum through a convolution."""
        widths = pairwise((1, *self.channels))
        return tuple(one != other or block in self.shortcut_blocks for block, (one, other) in enumerate(widths, 1))

    @property
    def hop_samples(self) -> int:
        """Between two outputs of the front."""
        return self.sinc_stride if self.front == SINC else self.encoder_hop_samples

    @property
    def frame_samples(self) -> int:
        """What one output of the front is made of at the least."""
        return self.kernel_samples if self.front == SINC else self.encoder_frame_samples

    @property
    def shortest_samples(self) -> int:
        """Fewest samples of which one temporal node is left, and three prosodic frames where those are taken."""
        steps = math.prod(self.time_pools) * self.front_pool[1]
        fewest = (steps - 1) * self.hop_samples + self.frame_samples
        return fewest if self.prosody == "none" else max(fewest, PROSODIC_SAMPLES)

    @property
    def activation_bytes(self) -> int:
        """About what one window takes while it is scored in float32: the first block's maps, four of them at once, and
        before them what a speech encoder begins with (wav2vec 2.0: three maps at 3.2 kHz)."""
        steps = ((self.window_samples - self.frame_samples) // self.hop_samples + 1) // self.front_pool[1]
        speech = 0 if self.front == SINC else 4 * 3 * self.encoder_dim * (self.window_samples // 5)
        return speech + 4 * 4 * max(self.channels[0], self.inner_widths[0]) * self.spectral_nodes * max(steps, 1)

    def to_json(self) -> str:
        """One line of JSON that ``from_json`` reads back. What only a pruned model has is left out of all others, which
        versions from before pruning then still read."""
        values = {name: value for name, value in asdict(self).items() if value != () or name not in MAY_BE_EMPTY}
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read ``to_json``'s line; an unknown key is an error."""
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ModelError("recipe", f"the recipe must be JSON: {error}") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) - known:
            extra = sorted(set(values) - known) if isinstance(values, dict) else type(values).__name__
            raise ModelError("recipe", f"unknown keys in the recipe: {extra}; known: {', '.join(sorted(known))}")
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


MOST, MOST_BLOCKS = 1 << 24, 64
"""Far beyond any countermeasure: a checkpoint's metadata must not be able to ask for all the memory there is."""

FRONTS = SINC, SPEECH_ENCODER = ("sinc", "speech-encoder")

CHOICES = {
    "level": ("none", "rms"),
    "compression": ("none", "log", "power"),
    "context": ("transformer", "conformer"),
    "readout": ("linear", "cosine"),
    "prosody": ("none", "nodes", "fusion", "both"),
    "front": FRONTS,
}
"""Fields that are words, with those that each may be."""

MAY_BE_ZERO = ("centring", "squeeze", "context_blocks", "context_dropout")
"""Numbers that may be 0, unlike every other."""

PROSODIC_SAMPLES = 480
"""Fewest samples of which prosodic frames can be told: a frame and its two neighbours, 10 ms apart."""

MAY_BE_EMPTY = ("inner_channels", "shortcut_blocks")
"""Lists that say nothing where they are empty: only what was pruned has any."""

ANY_LENGTH = ("channels", "time_pools", "encoder_layers", *MAY_BE_EMPTY)
"""Fields with any number of numbers: one for each residual block, or for each layer of an encoder that is heard."""


def _numbers(value: object) -> list[float]:
    items = value if isinstance(value, tuple) else (value,)
    return [item for item in items if isinstance(item, int | float)]


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _wanted(value: object, default: object, *, any_length: bool = False) -> str | None:
    """What ``value`` should have been to stand in for ``default``, or None where it can."""
    if isinstance(default, tuple):
        items = "numbers above 0" if isinstance(default[0], float) else "whole numbers above 0"
        wanted = f"a list of {items}" if any_length else f"{len(default)} {items}"
        if not isinstance(value, tuple) or not value or (len(value) != len(default) and not any_length):
            return wanted
        return None if all(_wanted(item, default[0]) is None for item in value) else wanted
    if isinstance(default, str | bool):
        fits, wanted = isinstance(value, type(default)), "text" if isinstance(default, str) else "true or false"
    elif isinstance(default, int):
        # To isinstance, True is an int.
        fits, wanted = type(value) is int and value > 0, "a whole number above 0"
    else:
        fits = isinstance(value, int | float) and value is not True and 0 < value < float("inf")
        wanted = "a number above 0"
    return None if fits else wanted


AASIST = Architecture()

AASIST_L = Architecture(
    name="aasist-l",
    channels=(32, 32, 24, 24, 24, 24),
    graph_dims=(24, 32),
    spectral_ratio=0.4,
    temporal_ratio=0.5,
    heterogeneous_ratio=0.7,
)

# Time is thinned before the encoder (stride 3, pooling 8: one step is 1.5 ms) because the encoder's first blocks are
# four fifths of the published model's cost; 33 temporal nodes of 0.12 s are left, as many as the published 29.
EFFICIENT = Architecture(
    name="efficient",
    level="rms",
    sinc_stride=3,
    front_pool=(3, 8),
    compression="log",
    channels=(16, 24, 32, 48, 48),
    time_pools=(3, 3, 3, 3, 1),
    unused_norms=False,
    graph_dims=(48, 32),
    # With the published dropouts and positions the graphs learnt nothing in 450 steps (docs/log.md).
    dropouts=(0.0, 0.0, 0.0, 0.1),
    position_std=0.1,
)

# For edge devices and browsers: 0.5 GFLOP and 0.5 MB at the most. Shorter filters and fewer bands, because the sinc layer
# would otherwise be most of it, and half the channels of `EFFICIENT`; nodes in time are as many.
SMALL = Architecture(
    name="small",
    level="rms",
    bands=60,
    kernel_samples=65,
    sinc_stride=3,
    front_pool=(3, 8),
    compression="log",
    channels=(8, 16, 24, 32, 32),
    time_pools=(3, 3, 3, 3, 1),
    unused_norms=False,
    graph_dims=(32, 24),
    dropouts=(0.0, 0.0, 0.0, 0.1),
    position_std=0.1,
)

# The back end of Tak et al. (Odyssey 2022): no pooling in the blocks, 42 spectral and 67 temporal nodes. The encoder's
# dimensions are XLS-R 300M's; a training takes those of the one it is given.
SSL = Architecture(
    name="ssl",
    level="rms",
    front="speech-encoder",
    time_pools=(1, 1, 1, 1, 1, 1),
    unused_norms=False,
    spectral_ratio=0.5,
    temporal_ratio=0.5,
    dropouts=(0.0, 0.0, 0.0, 0.1),  # as efficient's, for what was seen there
    position_std=0.1,
)

ARCHITECTURES = {architecture.name: architecture for architecture in (AASIST, AASIST_L, EFFICIENT, SMALL, SSL)}
