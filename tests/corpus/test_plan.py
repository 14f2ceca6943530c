"""The plan: who is copied by whom, which voice says what, and what is held out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from aasist.corpus.catalogue import Places, engines
from aasist.corpus.engine import Engine, EngineError
from aasist.corpus.plan import Plan, divided, planned
from aasist.corpus.recipe import Copies, Layout, Recipe, Speech
from aasist.corpus.recordings import Recording
from aasist.corpus.texts import Texts, read_texts

from .spoken import ENGINES


def taking(*names: str) -> dict[str, Engine]:
    known = engines(Places((str(ENGINES),)))
    return {name: known[name] for name in sorted(names)}


def recordings(count: int, sources: int = 10, **facts: str) -> list[Recording]:
    return [
        Recording(f"r{n}", f"/r{n}.wav", f"s{n % sources}", f"p{n % sources}-{n // sources % 4}", **facts)
        for n in range(count)
    ]


def plan_of(recipe: Recipe, given: list[Recording], *names: str, texts: Texts | None = None) -> Plan:
    return planned(recipe, given, taking(*names), texts or read_texts(None))


COPIES = Recipe(copies=Copies(per_recording=1.5))
SPEECH = Recipe(copies=Copies(per_recording=0), speech=Speech(per_recording=1.0))


def test_kinds_and_the_engines_of_a_kind_have_their_shares() -> None:
    recipe = Recipe(copies=Copies(per_recording=1.0, vocoder=2.0, vc=1.0, codec=0.0))
    plan = plan_of(recipe, recordings(2_000), "rough", "bent", "fast", "narrow")
    made = Counter(take.engine for unit in plan.units for take in unit.takes if unit.subset == "train")
    del made["bonafide"]
    total = made.total()
    assert made["narrow"] == 0
    # One vocoder is held out; the other has all of its kind's share.
    assert sorted(count / total for name, count in made.items()) == pytest.approx([1 / 3, 2 / 3], abs=0.04)


def test_a_fraction_of_a_copy_is_a_copy_of_a_fraction() -> None:
    plan = plan_of(COPIES, recordings(1_000), "rough", "bent", "fast", "narrow")
    numbers = Counter(sum(take.attack is not None for take in unit.takes) for unit in plan.units)
    assert set(numbers) == {1, 2}
    assert numbers[2] == pytest.approx(500, abs=60)
    for unit in plan.units:
        keys = [take.attack for take in unit.takes if take.attack]
        assert len({*keys}) == len(keys)


def test_a_recording_more_changes_nothing_for_the_others() -> None:
    layout = Layout(dev=0.0, eval=0.0)
    recipe = dataclasses.replace(COPIES, layout=layout)
    few, many = (plan_of(recipe, recordings(n), "rough", "bent", "fast") for n in (40, 41))
    assert few.units == many.units[:40]


def test_held_out_attacks_are_in_eval_alone_and_half_of_what_it_has() -> None:
    plan = plan_of(COPIES, recordings(1_000), "rough", "bent", "fast", "narrow")
    made = Counter(
        (unit.subset, bool(take.attack and take.attack.held_out))
        for unit in plan.units
        for take in unit.takes
        if take.attack
    )
    assert made["train", True] == made["dev", True] == 0
    assert made["eval", True] == pytest.approx(made["eval", False], rel=0.3)
    names = [attack.name for attack in plan.attacks]
    assert names == ["A01", "A02", "A03", "A04"]
    assert [attack.held_out for attack in plan.attacks] == [False, False, False, True]


def test_attacks_can_be_held_out_by_name_or_not_at_all() -> None:
    named = dataclasses.replace(COPIES, layout=Layout(held_out=("fast",)))
    assert [a.engine for a in plan_of(named, recordings(100), "rough", "fast").attacks if a.held_out] == ["fast"]
    none = dataclasses.replace(COPIES, layout=Layout(held_out=None))
    assert not any(a.held_out for a in plan_of(none, recordings(100), "rough", "bent").attacks)
    wrong = dataclasses.replace(COPIES, layout=Layout(held_out=("fats",)))
    with pytest.raises(EngineError, match=r"held_out: no attack 'fats'; there are fast, rough"):
        plan_of(wrong, recordings(10), "rough", "fast")


NEURAL = ("hifigan", "hifigan-convert", "hifigan-tokens", "mb-melgan", "mb-melgan-tokens", "psola", "codec2")


@pytest.mark.parametrize("seed", range(6))
def test_whole_generators_are_held_out_and_every_kind_keeps_another(seed: int) -> None:
    layout = Layout(held_out_by="generator")
    plan = plan_of(Recipe(seed=seed, copies=Copies(per_recording=3.0), layout=layout), recordings(200), *NEURAL)
    known = engines()
    sides = {
        held: {known[a.engine].generator or a.engine for a in plan.attacks if a.held_out is held}
        for held in (False, True)
    }
    assert sides[True]
    assert not sides[True] & sides[False]
    assert {attack.kind for attack in plan.attacks if not attack.held_out} == {"vocoder", "vc", "codec"}


def test_families_of_voices_of_one_engine_share_a_generator_unless_held_out_goes_by_attack() -> None:
    for by, held in (("generator", 0), ("attack", 1)):
        recipe = dataclasses.replace(SPEECH, layout=Layout(held_out_by=by))
        plan = plan_of(recipe, recordings(100, language="en"), "beeper")
        assert sum(attack.held_out for attack in plan.attacks) == held
        assert len(plan.attacks) == 2


def test_generators_of_one_engine_each_are_held_out_as_attacks_are() -> None:
    plans = [
        plan_of(dataclasses.replace(COPIES, layout=Layout(held_out_by=by)), recordings(60), "rough", "bent", "narrow")
        for by in ("generator", "attack")
    ]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(("sources", "speakers", "whole"), [(10, 4, "source"), (2, 4, "speaker"), (1, 1, "recording")])
def test_whole_groups_are_held_out_in_about_the_shares_asked_for(sources: int, speakers: int, whole: str) -> None:
    given = [Recording(f"r{n}", "", f"s{n % sources}", f"p{n // sources % speakers}") for n in range(400)]
    parts = divided(given, Layout(), 1)
    shares = Counter(parts.values())
    assert shares["train"] == pytest.approx(280, abs=50)
    assert shares["dev"] and shares["eval"]
    groups = {"source": lambda r: r.source, "speaker": lambda r: (r.source, r.speaker), "recording": lambda r: r.id}
    seen: dict[object, str] = {}
    for recording in given:
        assert seen.setdefault(groups[whole](recording), parts[recording.id]) == parts[recording.id]
    assert len({*map(groups[whole], given)}) >= 5


def test_many_recordings_are_divided_in_time_that_grows_as_they_do() -> None:
    """Each is looked at a few times, however many there are."""
    looked = Counter[str]()

    class Watched(Recording):
        def __getattribute__(self, name: str) -> object:
            looked[name] += 1
            return super().__getattribute__(name)

    given = [Watched(f"r{n}", "", "s", f"p{n % 7}") for n in range(300)]
    looked.clear()
    assert set(divided(given, Layout(), 1).values()) == {"train", "dev", "eval"}
    assert looked["source"] <= 10 * len(given)


def test_speech_is_in_the_recordings_language_and_says_its_text_where_it_is_known() -> None:
    given = recordings(100, language="en", text="what the recording says")
    plan = plan_of(SPEECH, given, "beeper")
    takes = [take for unit in plan.units for take in unit.takes if take.voice]
    assert {take.voice.language for take in takes if take.voice} == {"en"}
    assert {take.sentences[0] for take in takes} == {"what the recording says"}
    assert len({take.sentences[1:] for take in takes}) > 95
    assert {take.attack.key for take in takes if take.attack} == {"beeper:sine", "beeper:square"}


def test_other_languages_have_the_share_they_are_given_and_unknown_ones_take_any() -> None:
    mixed = dataclasses.replace(
        SPEECH, speech=Speech(per_recording=1.0, other_languages=0.5), layout=Layout(held_out=None)
    )
    given = recordings(600, language="en")
    spoken = Counter(t.voice.language for u in plan_of(mixed, given, "beeper").units for t in u.takes if t.voice)
    assert spoken["de"] == pytest.approx(300, abs=50)
    plain = dataclasses.replace(SPEECH, layout=Layout(held_out=None))
    spoken = Counter(
        t.voice.language for u in plan_of(plain, recordings(600), "beeper").units for t in u.takes if t.voice
    )
    assert spoken["de"] == pytest.approx(300, abs=50)


def test_given_texts_are_said_in_their_languages_alone(tmp_path: Path) -> None:
    file = tmp_path / "texts.tsv"
    file.write_text("language\ttext\nde\tGuten Morgen\nde-AT\tServus\n", encoding="utf-8")
    plan = plan_of(SPEECH, recordings(50, language="en"), "beeper", texts=read_texts(str(file)))
    takes = [take for unit in plan.units for take in unit.takes if take.voice]
    assert {take.voice.name for take in takes if take.voice} == {"tief"}
    assert {text for take in takes for text in take.sentences} == {"Guten Morgen", "Servus"}
