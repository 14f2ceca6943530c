"""The form a model trains in: the model's own numbers, whatever the stretches and the threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model import stretch
from aasist.model.aasist import Aasist
from aasist.model.sinc import PooledBands
from aasist.model.stretch import reach, stretches
from aasist.model.training_form import PlainForm, prepared
from aasist.recipe import Architecture

PUBLISHED = Architecture(
    bands=9, kernel_samples=17, channels=(3, 3, 4), time_pools=(3, 3, 3), graph_dims=(4, 3), dropouts=(0.0,) * 4
)
OURS = Architecture(
    level="rms",
    bands=8,
    kernel_samples=17,
    sinc_stride=3,
    front_pool=(2, 4),
    compression="log",
    channels=(1, 4, 4),
    time_pools=(2, 3, 1),
    unused_norms=False,
    graph_dims=(4, 3),
    dropouts=(0.0,) * 4,
)
ALL = replace(
    OURS,
    compression="power",
    squeeze=2,
    context_blocks=1,
    context_heads=2,
    context_kernel=3,
    context_dropout=0.0,
    statistics=True,
)
SHAPES = {
    "like the published": PUBLISHED,
    "like ours": OURS,
    "with all that is offered": ALL,
    "centred": replace(OURS, centring=0.75),
    "with prosody": replace(OURS, prosody="both"),
    "pruned": replace(OURS, channels=(3, 3, 4), inner_channels=(2, 5, 3), shortcut_blocks=(2,)),
}

ROOMS = {"one stretch": 1 << 20, "some stretches": 3_000, "a stretch of one pool": 1}


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest, seeded: Callable[..., Aasist]) -> Aasist:
    trained: Aasist = seeded(SHAPES[request.param], seed=3).train()
    return trained


@pytest.fixture(params=ROOMS)
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "STRETCH_BYTES", ROOMS[request.param])


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stepped(form: nn.Module, model: Aasist, waveform: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """Logits, features, gradients and running statistics after one backward pass."""
    if isinstance(form, Aasist):
        features = form.features(waveform, mask)
        logits = form.logits(features, form.prosodic(waveform))
    else:
        features, logits = form.features_and_logits(waveform, mask)
    # A weight for every number, so that no gradient cancels.
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(8)).to(logits)
    (logits * weights).sum().backward()
    found = {"features": features.detach(), "logits": logits.detach()}
    found |= {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
    return found | {name: b.clone() for name, b in model.named_buffers() if "running" in name or "tracked" in name}


def unfolded(net: nn.Module, a: Architecture) -> nn.Module:
    """With the sinc filters in float64: folded ones are rounded to float32, which would be most of any difference."""
    net.sinc = PooledBands(a.bands, a.kernel_samples, a.sinc_stride, a.front_pool).double()
    return net


def copies(model: Aasist, dtype: torch.dtype) -> tuple[Aasist, Aasist]:
    return copy.deepcopy(model).to(dtype), copy.deepcopy(model).to(dtype)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("length", [700, 731])
@pytest.mark.parametrize("masked", [False, True])
def test_in_float64_features_logits_gradients_and_statistics_are_the_models(
    length: int, masked: bool, model: Aasist
) -> None:
    waveform = noise(3, length, seed=length).double()
    mask = (torch.rand(3, model.architecture.bands, generator=torch.Generator().manual_seed(1)) > 0.3).double()
    one, other = copies(model, torch.float64)
    a = model.architecture
    expected = stepped(unfolded(one, a), one, waveform, mask if masked else None)
    got = stepped(unfolded(prepared(other, "fp64", "cpu"), a), other, waveform, mask if masked else None)
    unused = {name for name in expected if "unused_norm" in name}
    assert got.keys() == expected.keys()
    assert len(got) > 40
    for name in got.keys() - unused:
        scale = max(float(expected[name].abs().max()), 1.0)
        torch.testing.assert_close(
            got[name], expected[name], rtol=0, atol=1e-11 * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_in_float32_logits_are_within_1e_5_and_gradients_within_1e_4(model: Aasist) -> None:
    waveform = noise(3, 700)
    one, other = copies(model, torch.float32)
    expected, got = stepped(one, one, waveform), stepped(prepared(other, "fp32", "cpu"), other, waveform)
    assert (got["logits"] - expected["logits"]).norm() < 1e-5 * expected["logits"].norm()
    assert (got["features"] - expected["features"]).norm() < 1e-5 * expected["features"].norm()
    gradients = [name for name, _ in model.named_parameters() if name in expected and "unused" not in name]
    mine, theirs = (torch.cat([found[name].flatten() for name in gradients]) for found in (got, expected))
    assert theirs.norm() > 0.1
    assert (mine - theirs).norm() < 1e-4 * theirs.norm()


def test_frozen_norms_are_used_and_left_as_they_are(model: Aasist) -> None:
    def frozen(dtype_model: Aasist) -> Aasist:
        for part in dtype_model.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.eval()
        return dtype_model

    one, other = map(frozen, copies(model, torch.float64))
    waveform, a = noise(2, 700).double(), model.architecture
    expected = stepped(unfolded(one, a), one, waveform)
    got = stepped(unfolded(prepared(other, "fp64", "cpu"), a), other, waveform)
    for name, value in expected.items():
        scale = max(float(value.abs().max()), 1.0)
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-11 * scale)
    for name, before in model.named_buffers():
        if "running" in name:
            assert torch.equal(got[name], before.double())


def test_the_number_of_threads_changes_no_bit(
    model: Aasist, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretch, "STRETCH_BYTES", 3_000)
    waveform, found = noise(4, 700), []
    for count in (1, 2, 3):
        threads(count)
        trained = copy.deepcopy(model)
        bands = prepared(trained, "bf16", "cpu")
        found.append(stepped(bands, trained, waveform))
        assert torch.get_num_threads() == count, "the caller's own number of threads was changed"
    for other in found[1:]:
        for name in ("features", *(name for name in found[0] if name.startswith("encoder"))):
            # The graphs run on torch's own threads: their sums may differ, and with them what comes back to the encoder.
            close = torch.equal if name == "features" or "running" in name else torch.allclose
            assert close(found[0][name], other[name]), name


def test_the_form_trains_the_weights_of_the_model_itself(model: Aasist) -> None:
    form = prepared(model, "fp32", "cpu")
    assert {id(weight) for weight in form.parameters()} == {id(weight) for weight in model.parameters()}
    assert {name.removeprefix("model.") for name in form.state_dict()} == set(model.state_dict())


def test_without_gradients_nothing_is_kept(model: Aasist) -> None:
    kept: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    form = prepared(model, "bf16", "cpu")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with_gradients = form(noise(2, 700))
        assert len(kept) > 40
        kept.clear()
        with torch.no_grad():
            logits = form(noise(2, 700))
    assert not kept
    assert torch.equal(logits, with_gradients.detach()) and logits.dtype == torch.float32


def test_used_twice_before_the_backward_pass_each_use_has_its_own_gradients(model: Aasist) -> None:
    one, other = copies(model, torch.float64)
    found = []
    for net, form in ((one, one), (other, prepared(other, "fp64", "cpu"))):
        logits = torch.cat([form(noise(3, length, seed=length).double()) for length in (700, 911)])
        (logits * torch.randn(6, 2, generator=torch.Generator().manual_seed(8))).sum().backward()
        weights = {name: w.grad for name, w in net.named_parameters() if w.grad is not None}
        buffers = [b for name, b in net.named_buffers() if "running" in name and "unused_norm" not in name]
        found.append((gradients(weights, model), torch.cat(buffers)))
    (theirs, expected), (mine, got) = found
    assert (mine - theirs).norm() < 1e-6 * theirs.norm()
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


@pytest.mark.usefixtures("room")
def test_a_batch_of_one_trains_as_the_model_does(model: Aasist) -> None:
    one, other = copies(model, torch.float64)
    waveform = noise(1, 700).double()
    expected, got = stepped(one, one, waveform), stepped(prepared(other, "fp64", "cpu"), other, waveform)
    for name, value in expected.items():
        if "unused_norm" not in name:
            torch.testing.assert_close(
                got[name], value, rtol=0, atol=2e-6 * max(float(value.abs().max()), 1.0), msg=name
            )


def gradients(found: dict[str, Tensor], model: Aasist) -> Tensor:
    """Of all weights that are used, as one vector."""
    names = [name for name, _ in model.named_parameters() if name in found and "unused" not in name]
    return torch.cat([found[name].flatten() for name in names])


def encoder_gradients(form: nn.Module, model: Aasist, waveform: Tensor) -> Tensor:
    """Of the encoder's weights, behind a weight for each of its features: graphs choose nodes, which rounding may change."""
    features = model.features(waveform) if form is model else form.features_and_logits(waveform)[0]
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(8))).sum().backward()
    found = {name: w.grad for name, w in model.named_parameters() if w.grad is not None and name.startswith("encoder")}
    return gradients(found, model)


@pytest.mark.parametrize("room_bytes", [3_000, 1])
def test_in_bf16_gradients_are_those_of_float32_but_for_rounding_whatever_the_stretches(
    room_bytes: int, model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 731 samples: no number of steps is a whole number of stretches."""
    one, other, again = (copy.deepcopy(model) for _ in range(3))
    waveform = noise(4, 731)
    exact, whole = (
        encoder_gradients(one, one, waveform),
        encoder_gradients(prepared(other, "bf16", "cpu"), other, waveform),
    )
    monkeypatch.setattr(stretch, "STRETCH_BYTES", room_bytes)
    parted = encoder_gradients(prepared(again, "bf16", "cpu"), again, waveform)
    assert (whole - exact).norm() < 0.15 * exact.norm()
    assert (parted - whole).norm() < 0.02 * exact.norm()


def test_the_last_stretch_may_be_short() -> None:
    assert [part.stop - part.start for part in stretches(1, 8, stretch.STRETCH_BYTES // 3, 3)] == [3, 3, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_longest_pool_finds_its_largest_in_every_place(dtype: torch.dtype) -> None:
    maps = torch.stack([torch.arange(256.0).roll(shift) for shift in range(256)], 1).unsqueeze(1).to(dtype)
    largest, place = stretch.pooled(maps, stretch.MOST_POOLED)
    back = stretch.unpooled(torch.ones_like(largest), place, stretch.MOST_POOLED, 0, 256)
    assert (back.sum(0) == 2).all() and torch.equal((back * maps).sum(0), largest.sum(0))


def test_a_pool_that_is_longer_than_its_places_can_be_counted_runs_as_it_is_written(
    seeded: Callable[..., Aasist],
) -> None:
    for pool, stretched in ((stretch.MOST_POOLED, True), (stretch.MOST_POOLED + 1, False)):
        long = seeded(replace(OURS, time_pools=(pool, 1, 1)), seed=3)
        assert (type(prepared(long, "bf16", "cpu")) is PlainForm) is not stretched


def test_within_autocast_the_encoder_is_given_the_bands_of_float32(model: Aasist) -> None:
    """Of a recording that is weak at the top: in bf16 its upper bands would be rounding of the lower ones."""
    spectrum = torch.fft.rfft(noise(2, 4_000))
    spectrum[:, 400:] *= 1e-3
    waveform, given = torch.fft.irfft(spectrum, 4_000), []
    model.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    model.features(waveform)
    PlainForm(model, torch.bfloat16)(waveform)
    assert given[0].dtype == given[1].dtype == torch.float32
    assert torch.equal(given[0], given[1])


def test_in_eval_mode_the_form_gives_the_models_logits_and_writes_nothing(model: Aasist) -> None:
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(
            prepared(model, "fp32", "cpu")(noise(2, 700)), model(noise(2, 700)), rtol=0, atol=1e-5
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_on_another_device_the_model_runs_as_it_is_written(model: Aasist) -> None:
    form = prepared(model, "bf16", "cuda")
    assert type(form) is PlainForm
    features, logits = form.features_and_logits(noise(2, 700))
    assert (features.dtype, logits.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(features, model.features(noise(2, 700)), rtol=0.1, atol=0.2)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 101])
@pytest.mark.parametrize("multiple", [1, 3])
def test_stretches_cover_every_step_of_every_row_once(steps: int, multiple: int) -> None:
    for step_bytes in (1, stretch.STRETCH_BYTES // 10, stretch.STRETCH_BYTES, 4 * stretch.STRETCH_BYTES):
        parts = stretches(2, steps, step_bytes, multiple)
        assert [(p.row, step) for p in parts for step in range(p.start, p.stop)] == [
            (row, step) for row in range(2) for step in range(steps)
        ]
        assert all(part.start % multiple == 0 for part in parts)
        if step_bytes == stretch.STRETCH_BYTES:
            assert len(parts) >= 2 * (steps // (2 * multiple))


def test_reach_gives_zeros_beyond_either_end_and_a_view_within() -> None:
    maps = torch.arange(1.0, 7.0).view(6, 1)
    assert reach(maps, -1, 8).flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 0]
    assert reach(maps, 2, 4).data_ptr() == maps[2:].data_ptr()
    assert reach(maps, 7, 9).flatten().tolist() == [0, 0]
    assert reach(maps, -3, -1).flatten().tolist() == [0, 0]


LEARNABLE = replace(PUBLISHED, bands=12, kernel_samples=33, channels=(8, 8, 12), graph_dims=(12, 8))


WITH_CONFORMER = replace(LEARNABLE, squeeze=4, context_blocks=1, context_dropout=0.0, statistics=True)


def losses(precision: str, architecture: Architecture = LEARNABLE, steps: int = 50) -> Tensor:
    """Cross-entropy of each step of a training on noise whose level swings, against noise whose level does not."""
    torch.manual_seed(5)
    model = Aasist(architecture).train()
    form = model if precision == "plain" else prepared(model, precision, "cpu")
    optimiser = torch.optim.Adam(model.parameters(), 3e-4)
    found, labels = [], torch.arange(12) % 2
    for step in range(steps):
        waveform = noise(12, 2_000, seed=step)
        waveform[labels == 1] *= 1 + 0.5 * torch.sin(torch.arange(2_000) * 0.05)
        loss = functional.cross_entropy(form(waveform), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(loss.detach())
    return torch.stack(found)


@pytest.mark.parametrize("architecture", [LEARNABLE, WITH_CONFORMER], ids=["plain", "with a conformer"])
def test_bf16_learns_as_float32_does(architecture: Architecture) -> None:
    plain, half = losses("plain", architecture), losses("bf16", architecture)
    assert plain[-10:].mean() < 0.6 * plain[:10].mean(), "little was learnt, so little is compared"
    assert (half[-10:].mean() - plain[-10:].mean()).abs() < 0.1 * plain[:10].mean()
    assert (half - plain).abs().mean() < 0.1 * plain[:10].mean()
