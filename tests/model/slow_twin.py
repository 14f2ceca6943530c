"""AASIST once more, slowly: NumPy in float64 and plain loops over nodes, pairs, channels and steps.

Written from the paper's equations (Jung et al., ICASSP 2022; Ravanelli and Bengio, SLT 2018 for the filters) and from
the published model's facts, without a line of the package: both must go wrong in the same way to agree. One utterance
at a time. ``weights`` is a state dict of the package, as float64 arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, Array]

NORM_EPSILON = 1e-5


def weights_of(module: Any) -> Weights:
    """The state dict of a torch module as float64 arrays."""
    return {name: tensor.detach().double().numpy() for name, tensor in module.state_dict().items()}


def under(weights: Weights, prefix: str) -> Weights:
    """The weights of one part: those whose names start with ``prefix.``."""
    return {name[len(prefix) + 1 :]: value for name, value in weights.items() if name.startswith(prefix + ".")}


def selu(values: Array) -> Array:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return np.array([scale * (v if v > 0 else alpha * math.expm1(v)) for v in values.ravel()]).reshape(values.shape)


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def linear(weights: Weights, name: str, vector: Array) -> Array:
    return np.array([row @ vector for row in weights[f"{name}.weight"]]) + weights[f"{name}.bias"]


def batch_norm(weights: Weights, name: str, vector: Array) -> Array:
    """One vector of channels, by the running statistics."""
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    normal = (vector - mean) / np.sqrt(variance + NORM_EPSILON)
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


# --- sinc bands


def mel_edges(bands: int, rate: int) -> list[float]:
    top = 2595 * math.log10(1 + rate / 2 / 700)
    return [700 * (10 ** (top * edge / bands / 2595) - 1) for edge in range(bands + 1)]


def band_pass_tap(low_hz: float, high_hz: float, step: int, rate: int, pieces: int = 200) -> float:
    """Integral of ``2 cos(2 pi f n / r) / r`` over the band, by Simpson's rule: one sample of the ideal response."""
    frequencies = np.linspace(low_hz, high_hz, 2 * pieces + 1)
    values = 2 * np.cos(2 * np.pi * frequencies * step / rate) / rate
    width = (high_hz - low_hz) / (2 * pieces)
    return float(width / 3 * (values[0] + values[-1] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum()))


def sinc_filters(bands: int, taps: int, rate: int) -> Array:
    edges = mel_edges(bands, rate)
    filters = np.zeros((bands, taps))
    for band in range(bands):
        for tap in range(taps):
            hamming = 0.54 - 0.46 * math.cos(2 * math.pi * tap / (taps - 1))
            ideal = band_pass_tap(edges[band], edges[band + 1], tap - (taps - 1) // 2, rate)
            filters[band, tap] = hamming * ideal
    return filters


def sinc_bands(filters: Array, waveform: Array, stride: int) -> Array:
    """Waveform (T,) -> bands (B, (T - taps) // stride + 1); a correlation, but the filters are symmetric."""
    taps = filters.shape[1]
    starts = range(0, len(waveform) - taps + 1, stride)
    return np.array([[taps_of @ waveform[start : start + taps] for start in starts] for taps_of in filters])


# --- encoder


def convolution(features: Array, weight: Array, bias: Array, pad: tuple[int, int]) -> Array:
    """Features (C, F, T) -> (O, F', T')."""
    padded = np.pad(features, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    height, width = weight.shape[2:]
    rows, columns = padded.shape[1] - height + 1, padded.shape[2] - width + 1
    out = np.zeros((weight.shape[0], rows, columns))
    for channel in range(weight.shape[0]):
        for row in range(rows):
            for column in range(columns):
                patch = padded[:, row : row + height, column : column + width]
                out[channel, row, column] = (patch * weight[channel]).sum() + bias[channel]
    return out


def max_pool(features: Array, height: int, width: int) -> Array:
    """Features (C, F, T) -> (C, F // height, T // width); what is left over is dropped."""
    rows, columns = features.shape[1] // height, features.shape[2] // width
    out = np.zeros((features.shape[0], rows, columns))
    for row in range(rows):
        for column in range(columns):
            patch = features[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
            out[:, row, column] = patch.max(axis=(1, 2))
    return out


def norm_of_map(weights: Weights, name: str, features: Array) -> Array:
    out = np.zeros_like(features)
    for row in range(features.shape[1]):
        for column in range(features.shape[2]):
            out[:, row, column] = batch_norm(weights, name, features[:, row, column])
    return out


def residual_block(weights: Weights, features: Array, time_pool: int) -> Array:
    inner = convolution(features, weights["conv1.weight"], weights["conv1.bias"], (1, 1))
    inner = selu(norm_of_map(weights, "norm", inner))
    inner = convolution(inner, weights["conv2.weight"], weights["conv2.bias"], (0, 1))
    if "shortcut.weight" in weights:
        features = convolution(features, weights["shortcut.weight"], weights["shortcut.bias"], (0, 1))
    out = max_pool(inner + features, 1, time_pool)
    if "excitation.squeezed.weight" not in weights:
        return out
    means = np.array([channel.sum() / channel.size for channel in out])
    gains = linear(weights, "excitation.excited", selu(linear(weights, "excitation.squeezed", means)))
    return np.array([2 * sigmoid(gain) * channel for gain, channel in zip(gains, out, strict=True)])


# --- context: transformer and conformer blocks over temporal nodes


def layer_norm(weights: Weights, name: str, vector: Array) -> Array:
    mean = vector.sum() / len(vector)
    variance = ((vector - mean) ** 2).sum() / len(vector)
    return (vector - mean) / math.sqrt(variance + NORM_EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def silu(values: Array) -> Array:
    return np.array([value * sigmoid(value) for value in values])


def relative_shares(weights: Weights, nodes: list[Array], heads: int) -> Array:
    """Nodes N x (D,) -> how much node i gathers from node j in each head, (heads, N, N)."""
    size = len(nodes[0]) // heads
    farthest = (len(weights["distance_bias"]) - 1) // 2
    out = np.zeros((heads, len(nodes), len(nodes)))
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        for i, node in enumerate(nodes):
            query, scores = linear(weights, "query", node)[own], []
            for j, other in enumerate(nodes):
                distance = min(max(j - i, -farthest), farthest)
                bias = weights["distance_bias"][farthest + distance, head]
                scores.append(query @ (weights["key.weight"] @ other)[own] / math.sqrt(size) + bias)
            out[head, i] = softmax(scores)
    return out


def relative_attention(weights: Weights, nodes: list[Array], heads: int) -> list[Array]:
    size, shares = len(nodes[0]) // heads, relative_shares(weights, nodes, heads)
    values = [linear(weights, "value", node) for node in nodes]
    out = []
    for i in range(len(nodes)):
        gathered = [
            sum(shares[channel // size, i, j] * values[j][channel] for j in range(len(nodes)))
            for channel in range(len(nodes[0]))
        ]
        out.append(linear(weights, "out", np.array(gathered)))
    return out


def convolution_part(weights: Weights, nodes: list[Array]) -> list[Array]:
    width, kernel = len(nodes[0]), weights["along.weight"].shape[2]
    both = [linear(weights, "gated", node) for node in nodes]
    gated = [one[:width] * np.array([sigmoid(gate) for gate in one[width:]]) for one in both]
    out = []
    for i in range(len(nodes)):
        along = weights["along.bias"].copy()
        for tap in range(kernel):
            j = i + tap - kernel // 2
            if 0 <= j < len(nodes):
                along = along + weights["along.weight"][:, 0, tap] * gated[j]
        out.append(linear(weights, "out", silu(layer_norm(weights, "norm", along))))
    return out


def context(weights: Weights, architecture: Any, nodes: Array) -> Array:
    """Temporal nodes (N, D) -> (N, D) behind all blocks."""
    whole = list(nodes)
    kinds = {"transformer": ["attend", "feed"], "conformer": ["feed", "attend", "convolve", "feed"]}
    for index, kind in enumerate(kinds[architecture.context] * architecture.context_blocks):
        part = under(weights, str(index))
        inner, normal = under(part, "inner"), [layer_norm(part, "norm", node) for node in whole]
        if kind == "attend":
            added = relative_attention(inner, normal, architecture.context_heads)
        elif kind == "convolve":
            added = convolution_part(inner, normal)
        else:
            added = [linear(inner, "out", silu(linear(inner, "hidden", node))) for node in normal]
        whole = [node + part["scale"] * more for node, more in zip(whole, added, strict=True)]
    return np.array(whole)


# --- graphs


def graph_attention(weights: Weights, nodes: Array, temperature: float) -> Array:
    """Nodes (N, D) -> (N, E)."""
    out = []
    for node in nodes:
        scores = [pair_score(weights, "pair_projection", "pair_weight", node, other) for other in nodes]
        share = softmax([score / temperature for score in scores])
        gathered = sum(part * other for part, other in zip(share, nodes, strict=True))
        out.append(
            selu(batch_norm(weights, "norm", linear(weights, "attended", gathered) + linear(weights, "own", node)))
        )
    return np.array(out)


def pair_score(weights: Weights, projection: str, weight: str, node: Array, other: Array) -> float:
    return float(np.tanh(linear(weights, projection, node * other)) @ weights[weight][:, 0])


def heterogeneous_attention(
    weights: Weights, temporal: Array, spectral: Array, master: Array, temperature: float
) -> tuple[Array, Array, Array]:
    """Temporal (N_t, D), spectral (N_s, D), master (D,) -> the same with E."""
    nodes = [("temporal", linear(weights, "temporal_projection", node)) for node in temporal]
    nodes += [("spectral", linear(weights, "spectral_projection", node)) for node in spectral]
    out = []
    for kind, node in nodes:
        scores = []
        for other_kind, other in nodes:
            weight = f"{kind}_weight" if kind == other_kind else "cross_weight"
            scores.append(pair_score(weights, "pair_projection", weight, node, other) / temperature)
        gathered = sum(part * other for part, (_, other) in zip(softmax(scores), nodes, strict=True))
        out.append(
            selu(batch_norm(weights, "norm", linear(weights, "attended", gathered) + linear(weights, "own", node)))
        )
    to_master = [pair_score(weights, "master_projection", "master_weight", node, master) for _, node in nodes]
    share = softmax([score / temperature for score in to_master])
    gathered = sum(part * node for part, (_, node) in zip(share, nodes, strict=True))
    new_master = linear(weights, "master_attended", gathered) + linear(weights, "master_own", master)
    return np.array(out[: len(temporal)]), np.array(out[len(temporal) :]), new_master


def graph_pool(weights: Weights, nodes: Array, ratio: float) -> Array:
    """Nodes (N, D) -> the best (max(int(N * ratio), 1), D), best first, each times its score."""
    scores = [sigmoid(float(linear(weights, "score", node)[0])) for node in nodes]
    best = sorted(range(len(nodes)), key=lambda index: -scores[index])[: max(int(len(nodes) * ratio), 1)]
    return np.array([scores[index] * nodes[index] for index in best])


# --- the whole


def features(weights: Weights, architecture: Any, filters: Array, waveform: Array) -> Array:
    """Waveform (T,) -> encoder output (C, F, T')."""
    a = architecture
    if a.level == "rms":
        waveform = waveform / math.sqrt(sum(sample * sample for sample in waveform) / len(waveform))
    bands = np.abs(sinc_bands(filters, waveform, a.sinc_stride))
    out = max_pool(bands[None], *a.front_pool)
    if a.compression == "log":
        out = np.log(out + 1e-3)
    elif a.compression == "power":
        out = np.exp(0.3 * np.log(out + 1e-3))
    if a.centring:
        out = np.array([[band - a.centring * sum(band) / len(band) for band in channel] for channel in out])
    out = selu(norm_of_map(weights, "encoder.norm", out))
    for index, pool in enumerate(a.time_pools):
        out = residual_block(under(weights, f"encoder.blocks.{index}"), out, pool)
    return out


def logits(weights: Weights, architecture: Any, filters: Array, waveform: Array) -> Array:
    """Waveform (T,) -> logits (2,)."""
    a = architecture
    encoded = features(weights, a, filters, waveform)
    spectral = np.array([np.abs(encoded[:, band]).max(axis=1) for band in range(encoded.shape[1])])
    spectral = spectral + weights["spectral_position"][0]
    temporal = np.array([np.abs(encoded[:, :, step]).max(axis=1) for step in range(encoded.shape[2])])
    temporal = context(under(weights, "context"), a, temporal)
    spectral = graph_attention(under(weights, "spectral_attention"), spectral, a.temperatures[0])
    temporal = graph_attention(under(weights, "temporal_attention"), temporal, a.temperatures[1])
    spectral = graph_pool(under(weights, "spectral_pool"), spectral, a.spectral_ratio)
    temporal = graph_pool(under(weights, "temporal_pool"), temporal, a.temporal_ratio)
    branches = [branch(under(weights, f"branches.{index}"), a, temporal, spectral) for index in range(2)]
    temporal, spectral, master = (np.maximum(one, other) for one, other in zip(*branches, strict=True))
    hidden = [np.abs(temporal).max(axis=0), temporal.mean(axis=0), np.abs(spectral).max(axis=0), spectral.mean(axis=0)]
    hidden.append(master)
    if a.statistics:
        hidden += [of(encoded) for of in (time_means, time_deviations, time_maxima)]
    seen = np.concatenate(hidden)
    if a.readout == "cosine":
        seen = seen / math.sqrt((seen**2).sum())
    return linear(weights, "out", seen)


def time_means(encoded: Array) -> Array:
    """Features (C, F, T) -> (C F,)."""
    return np.array([row.sum() / len(row) for channel in encoded for row in channel])


def time_deviations(encoded: Array) -> Array:
    """Of what varies by more than 0.003; below it, that."""
    rows = [row for channel in encoded for row in channel]
    return np.array([math.sqrt(max(((row - row.sum() / len(row)) ** 2).sum() / len(row), 1e-5)) for row in rows])


def time_maxima(encoded: Array) -> Array:
    return np.array([max(row) for channel in encoded for row in channel])


def branch(weights: Weights, architecture: Any, temporal: Array, spectral: Array) -> tuple[Array, Array, Array]:
    temperature, ratio = architecture.temperatures[2], architecture.heterogeneous_ratio
    master = weights["master"][0, 0]
    temporal, spectral, master = heterogeneous_attention(
        under(weights, "layer1"), temporal, spectral, master, temperature
    )
    temporal = graph_pool(under(weights, "temporal_pool"), temporal, ratio)
    spectral = graph_pool(under(weights, "spectral_pool"), spectral, ratio)
    more = heterogeneous_attention(under(weights, "layer2"), temporal, spectral, master, temperature)
    return temporal + more[0], spectral + more[1], master + more[2]
