"""Architectures as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import ModelError
from aasist.recipe import AASIST, AASIST_L, ARCHITECTURES, EFFICIENT, SMALL, SSL, Architecture

architectures = st.builds(
    Architecture,
    name=st.text(max_size=20),
    level=st.sampled_from(["none", "rms"]),
    bands=st.integers(4, 200),
    kernel_samples=st.integers(0, 100).map(lambda n: 2 * n + 1),
    front_pool=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    compression=st.sampled_from(["none", "log", "power"]),
    centring=st.floats(0.0, 1.0),
    squeeze=st.integers(0, 8),
    context=st.sampled_from(["transformer", "conformer"]),
    context_blocks=st.integers(0, 3),
    context_heads=st.sampled_from([1, 5]),
    context_dropout=st.floats(0.0, 0.99),
    statistics=st.booleans(),
    channels=st.just((4, 5)),
    inner_channels=st.one_of(st.just(()), st.tuples(st.integers(1, 9), st.integers(1, 9))),
    shortcut_blocks=st.sampled_from([(), (1,), (2,), (1, 2)]),
    time_pools=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    unused_norms=st.booleans(),
    temporal_ratio=st.floats(0.01, 1.0),
)


@given(architectures)
def test_an_architecture_comes_back_from_json_as_it_was(architecture: Architecture) -> None:
    text = architecture.to_json()
    assert "\n" not in text
    assert Architecture.from_json(text) == architecture


def test_named_architectures_are_found_by_their_names_and_come_back_from_json() -> None:
    assert {name: Architecture.from_json(a.to_json()) for name, a in ARCHITECTURES.items()} == {
        "aasist": AASIST,
        "aasist-l": AASIST_L,
        "efficient": EFFICIENT,
        "small": SMALL,
        "ssl": SSL,
    }


def test_behind_a_speech_encoder_nodes_and_samples_are_counted_by_its_frames() -> None:
    """Tak et al. (Odyssey 2022): 128 bands and 201 frames, pooled to 42 and 67."""
    assert SSL.spectral_nodes == 42
    assert SSL.shortest_samples == 2 * 320 + 400
    assert replace(SSL, encoder_hop_samples=160, encoder_frame_samples=25).shortest_samples == 2 * 160 + 25
    assert SSL.activation_bytes > 4 * 3 * 1024 * 12_920
    for wrong, said in (
        ({"front": "mel"}, "front must be one of sinc, speech-encoder"),
        ({"encoder_layers": (3, 3)}, "encoder_layers must rise"),
        ({"encoder_layers": ()}, "encoder_layers must be a list of whole numbers above 0"),
        ({"projection": 2}, r"projection must be at least front_pool\[0\] 3, got 2"),
    ):
        with pytest.raises(ModelError, match=said):
            replace(SSL, **wrong)


def test_a_recipe_names_only_what_differs_from_the_published_model() -> None:
    assert Architecture.from_json("{}") == AASIST
    assert Architecture.from_json('{"bands": 40}').bands == 40


def test_what_only_a_pruned_model_has_stands_in_the_json_of_no_other() -> None:
    """So that files of whole models stay what they were, and are read by versions that know nothing of pruning."""
    for architecture in ARCHITECTURES.values():
        assert "inner_channels" not in architecture.to_json()
        assert "shortcut_blocks" not in architecture.to_json()
    thin = replace(EFFICIENT, inner_channels=(3, 4, 5, 6, 7), shortcut_blocks=(5,))
    assert json.loads(thin.to_json())["inner_channels"] == [3, 4, 5, 6, 7]
    assert Architecture.from_json(thin.to_json()) == thin
    assert thin.inner_widths == (3, 4, 5, 6, 7)
    assert thin.shortcuts == (True,) * 5
    assert EFFICIENT.inner_widths == EFFICIENT.channels
    assert EFFICIENT.shortcuts == (True, True, True, True, False)


def test_an_unknown_key_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown keys in the recipe: \['bandz'\]; known: .*bands"):
        Architecture.from_json('{"bandz": 70}')


@pytest.mark.parametrize(("key", "value"), [("level", "peak"), ("compression", "cube")])
def test_a_choice_that_is_not_offered_is_an_error(key: str, value: str) -> None:
    with pytest.raises(ModelError, match=f"{key} must be one of none, .*got '{value}'"):
        Architecture.from_json(json.dumps({key: value}))


@pytest.mark.parametrize("text", ["", "{", "null", "3", '"aasist"', "[]", "[" * 100_000])
def test_what_is_no_json_object_is_an_error(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        Architecture.from_json(text)
    assert caught.value.code == "recipe"


wrong_values = st.one_of(
    st.none(), st.text(), st.dictionaries(st.text(), st.integers()), st.lists(st.text(min_size=1), min_size=1)
)


@given(
    st.sampled_from(sorted(set(json.loads(AASIST.to_json())) - {"name", "level", "compression", "context"})),
    wrong_values,
)
def test_a_value_of_another_type_is_an_error_that_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ModelError) as caught:
        Architecture.from_json(json.dumps({key: value}))
    assert caught.value.code == "recipe"
    assert key in caught.value.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": 0},
        {"bands": 70.5},
        {"bands": True},
        {"sinc_stride": 0},
        {"window_samples": -1},
        {"front_pool": [3]},
        {"front_pool": [0, 3]},
        {"channels": [32, 0, 32, 32, 32, 32]},
        {"graph_dims": [64, 32, 16]},
        {"temporal_ratio": 0.0},
        {"temporal_ratio": 1.5},
        {"temperatures": [1.0, 2.0]},
        {"temperatures": [1.0, 2.0, 0.0]},
        {"unused_norms": 1},
        {"dropouts": [0.2, 0.3, 0.2]},
        {"dropouts": [0.2, 0.3, 0.2, 1.0]},
        {"dropouts": [0.2, 0.3, 0.2, -0.1]},
        {"position_std": 0.0},
        {"bands": 2, "front_pool": [3, 3]},
        {"centring": -0.1},
        {"centring": 1.1},
        {"squeeze": -1},
        {"squeeze": False},
        {"context_blocks": 0.5},
        {"context_blocks": -1},
        {"context_blocks": 65},
        {"context_dropout": 1.0},
        {"context_dropout": -0.1},
        {"context_kernel": 0},
        {"statistics": 1},
        {"inner_channels": [32]},
        {"inner_channels": [32, 32, 64, 64, 64, 0]},
        {"shortcut_blocks": [0]},
        {"shortcut_blocks": [7]},
        {"shortcut_blocks": [3, 2]},
    ],
    ids=json.dumps,
)
def test_a_number_out_of_its_range_is_an_error_that_names_its_key(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        Architecture.from_json(json.dumps(wrong))
    assert next(iter(wrong)) in caught.value.message


def test_a_window_of_the_published_model_takes_far_more_memory_than_one_of_the_shipped() -> None:
    assert AASIST.activation_bytes == AASIST_L.activation_bytes
    assert AASIST.activation_bytes > 10 * EFFICIENT.activation_bytes > 10 << 20
    # 32 channels of 23 x 21,490 in float32, four of them at once.
    assert AASIST.activation_bytes == 4 * 4 * 32 * 23 * 21_490


@given(architectures, st.integers(2, 4))
def test_longer_windows_and_wider_blocks_take_more_memory(architecture: Architecture, times: int) -> None:
    one = architecture.activation_bytes
    assert one > 0
    longer = replace(architecture, window_samples=times * architecture.window_samples)
    architecture = replace(architecture, inner_channels=())
    one = architecture.activation_bytes
    wider = replace(architecture, channels=(times * architecture.channels[0], *architecture.channels[1:]))
    assert longer.activation_bytes > one
    assert wider.activation_bytes == times * one
