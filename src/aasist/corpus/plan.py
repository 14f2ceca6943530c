"""The plan of a corpus: for each recording, which part it belongs to and what is made of it, before anything is made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aasist.corpus.draws import digest, generator, number, share
from aasist.corpus.engine import KINDS, Copier, Engine, EngineError, Speaker, Voice
from aasist.corpus.recipe import Layout, Recipe
from aasist.corpus.recordings import Recording
from aasist.corpus.texts import Texts
from aasist.session import SAMPLE_RATE

TRAIN, DEV, EVAL = "train", "dev", "eval"
SUBSETS = (TRAIN, DEV, EVAL)
BONAFIDE = "bonafide"

FEWEST_GROUPS = 5
"""Sources, or speakers, from which on whole ones can be held out."""

SENTENCES = 12
"""Drawn for a clip; it takes as many as fill its time."""


@dataclass(frozen=True)
class Attack:
    """What one engine makes with one family of voices: ``name`` is A01 and so on, ``key`` the engine or engine:family."""

    name: str
    key: str
    engine: str
    family: str
    kind: str
    technology: str
    licence: str
    held_out: bool
    voices: int
    rate_hz: int


Offer = dict[str, dict[Attack, list[Voice]]]
"""Language -> attacks that speak it -> their voices of that language."""


@dataclass(frozen=True)
class Take:
    """One file to be made of a recording: the span itself (``attack`` None), a copy, or speech beside it.

    ``pair`` is shared by the bona fide take and its spoofs; ``rate_hz`` below 16,000 narrows the band of the bona fide.
    """

    id: str
    pair: str
    attack: Attack | None = None
    voice: Voice | None = None
    sentences: tuple[str, ...] = ()
    rate_hz: int = SAMPLE_RATE

    @property
    def engine(self) -> str:
        """Its name, or ``bonafide``."""
        return BONAFIDE if self.attack is None else self.attack.engine


@dataclass(frozen=True)
class Unit:
    """A recording and everything that is made of it, bona fide takes first."""

    recording: Recording
    subset: str
    takes: tuple[Take, ...]


@dataclass(frozen=True)
class Plan:
    """All units in order, and the attacks among them."""

    units: tuple[Unit, ...]
    attacks: tuple[Attack, ...]


def planned(recipe: Recipe, recordings: Sequence[Recording], engines: Mapping[str, Engine], texts: Texts) -> Plan:
    """What is made: a function of recipe, recordings, engines with their voices, and texts.

    Engines are those that are to take part. Raises `EngineError` where no speaker speaks a language that there are texts
    in, and for a name of `Layout.held_out` that is no attack.
    """
    voices = _voices(engines, texts, own=recipe.speech.own_text, recordings=recordings)
    attacks = _attacks(recipe, engines, voices)
    subsets = divided(recordings, recipe.layout, recipe.seed)
    known = [attack for attack in attacks if not attack.held_out]
    offered = {held: _by_language(attacks if held else known, voices) for held in (False, True)}
    units = []
    for recording in recordings:
        subset = subsets[recording.id]
        allowed = attacks if subset == EVAL else known
        takes = [
            *_copies(recipe, recording, subset, allowed),
            *_speech(recipe, recording, subset, offered[subset == EVAL], texts),
        ]
        units.append(Unit(recording, subset, (*_bonafide(recipe, recording, subset, takes), *takes)))
    ids = [take.id for unit in units for take in unit.takes]
    assert len({*ids}) == len(ids)
    used = {take.attack for unit in units for take in unit.takes if take.attack is not None}
    return Plan(tuple(units), tuple(attack for attack in attacks if attack in used))


def divided(recordings: Sequence[Recording], layout: Layout, seed: int) -> dict[str, str]:
    """Id -> subset. Groups are whole: the largest first, each goes where the most is missing."""
    groups: dict[str, list[str]] = defaultdict(list)
    whole = _whole(recordings, layout.whole)
    for recording in recordings:
        groups[_group(recording, whole)].append(recording.id)
    shares = {TRAIN: 1.0 - layout.dev - layout.eval, DEV: layout.dev, EVAL: layout.eval}
    missing = {subset: share * len(recordings) for subset, share in shares.items() if share > 0}
    out: dict[str, str] = {}
    for name in sorted(groups, key=lambda name: (-len(groups[name]), number(seed, "group", name))):
        subset = max(missing, key=lambda subset: missing[subset])
        missing[subset] -= len(groups[name])
        out.update(dict.fromkeys(groups[name], subset))
    return out


def _whole(recordings: Sequence[Recording], whole: str) -> str:
    if whole != "auto":
        return whole
    if len({one.source for one in recordings}) >= FEWEST_GROUPS:
        return "source"
    return "speaker" if len({_group(one, "speaker") for one in recordings}) >= FEWEST_GROUPS else "recording"


def _group(recording: Recording, whole: str) -> str:
    """What stays together; recordings of a source whose speakers are unknown are one speaker's."""
    parts = {
        "source": (recording.source,), "speaker": (recording.source, recording.speaker), "recording": (recording.id,)
    }  # fmt: skip
    return "\0".join(parts[whole])


def _voices(
    engines: Mapping[str, Engine], texts: Texts, *, own: bool, recordings: Iterable[Recording]
) -> dict[str, tuple[Voice, ...]]:
    """The voices of each speaker that there is something to say for."""
    speakers = {name: engine for name, engine in engines.items() if isinstance(engine, Speaker)}
    if not speakers:
        return {}
    languages = set(texts.languages)
    if own:
        languages |= {one.language for one in recordings if one.text and one.language}
    found = {name: tuple(engine.voices()) for name, engine in speakers.items()}
    kept = {name: tuple(v for v in voices if v.language in languages) for name, voices in found.items()}
    if not any(kept.values()):
        spoken = sorted({voice.language for voices in found.values() for voice in voices})
        raise EngineError(
            f"there are texts in {', '.join(sorted(languages))}, and the engines {', '.join(speakers)} speak "
            f"{', '.join(spoken) or 'nothing'}: give texts in those languages, or install voices"
        )
    return {name: voices for name, voices in kept.items() if voices}


def _attacks(recipe: Recipe, engines: Mapping[str, Engine], voices: Mapping[str, Sequence[Voice]]) -> list[Attack]:
    """Every engine and family that can make something, those held out last, numbered."""
    found: list[tuple[str, Engine, str, int, int]] = []
    for name, engine in engines.items():
        if isinstance(engine, Copier):
            found.append((name, engine, "", 0, engine.rate_hz))
        for family in sorted({voice.family for voice in voices.get(name, ())}):
            # One attack a band as well: its bona fide partners are narrowed to it.
            for rate in sorted({min(v.rate_hz, SAMPLE_RATE) for v in voices[name] if v.family == family}, reverse=True):
                of_it = [v for v in voices[name] if v.family == family and min(v.rate_hz, SAMPLE_RATE) == rate]
                found.append((name, engine, family, len(of_it), rate))
    keys = [_key(name, family, rate) for name, _, family, _, rate in found]
    held = _held_out(recipe, {key: engine for key, (_, engine, *_) in zip(keys, found, strict=True)})
    order = sorted(range(len(found)), key=lambda row: (keys[row] in held, KINDS.index(found[row][1].kind), keys[row]))
    return [
        Attack(
            f"A{place:02}", keys[row], name, family, engine.kind, engine.technology, engine.licence, keys[row] in held,
            count, min(rate, SAMPLE_RATE),
        )
        for place, row in enumerate(order, 1)
        for name, engine, family, count, rate in (found[row],)
    ]  # fmt: skip


def _key(engine: str, family: str, rate_hz: int) -> str:
    narrow = f"-{rate_hz // 1000}k" if rate_hz < SAMPLE_RATE and family else ""
    return f"{engine}:{family}{narrow}" if family else engine


def _held_out(recipe: Recipe, engines: Mapping[str, Engine]) -> set[str]:
    """The attacks that eval alone has, of all by their keys."""
    layout = recipe.layout
    if layout.held_out is None or not layout.eval:
        return set()
    if layout.held_out:
        held: set[str] = set()
        for name in layout.held_out:
            matching = {key for key in engines if name in (key, key.partition(":")[0])}
            if not matching:
                raise EngineError(f"layout.held_out: no attack {name!r}; there are {', '.join(sorted(engines))}")
            held |= matching
        return held
    if layout.held_out_by == "generator":
        return _generators_held_out(recipe.seed, engines)
    by_kind: dict[str, list[str]] = defaultdict(list)
    for key, engine in engines.items():
        by_kind[engine.kind].append(key)
    # A kind of one attack alone is known: otherwise training would have none of it.
    return {
        min(keys, key=lambda key: number(recipe.seed, "held out", key)) for keys in by_kind.values() if len(keys) > 1
    }


def _generators_held_out(seed: int, engines: Mapping[str, Engine]) -> set[str]:
    """The attacks of one generator of each kind, with those of other kinds that it makes; every kind keeps another one."""
    generators = {key: engine.generator or engine.name for key, engine in engines.items()}
    kinds = {engine.kind for engine in engines.values()}
    held: set[str] = set()
    for kind in KINDS:
        of_kind = {generators[key] for key, engine in engines.items() if engine.kind == kind}
        for one in sorted(of_kind, key=lambda name: number(seed, "held out", name)):
            if of_kind & held:
                break
            if kinds == {engine.kind for key, engine in engines.items() if generators[key] not in {*held, one}}:
                held.add(one)
    return {key for key, name in generators.items() if name in held}


def _take_id(recipe: Recipe, subset: str, recording: Recording, what: str) -> str:
    return f"LA_{subset[0].upper()}_{digest(recipe.seed, recording.id, what)[:16]}"


def _count(per_recording: float, recipe: Recipe, recording: Recording, what: str) -> int:
    whole = math.floor(per_recording)
    return whole + (share(recipe.seed, "count", what, recording.id) < per_recording - whole)


def _drawn(weights: Mapping[Attack, float], count: int, recipe: Recipe, recording: Recording) -> list[Attack]:
    """``count`` different attacks by their weights; whether one is drawn hangs on its own draw and those of the others.

    (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.)
    """
    keys = {
        attack: -math.log(1.0 - share(recipe.seed, "attack", recording.id, attack.key)) / weight
        for attack, weight in weights.items()
        if weight > 0
    }
    return sorted(keys, key=lambda attack: (keys[attack], attack.key))[:count]


def _balanced(weights: Mapping[Attack, float]) -> dict[Attack, float]:
    """Where some attacks are held out (for eval), they weigh as much as all the others."""
    sums = {held: sum(w for attack, w in weights.items() if attack.held_out == held) for held in (False, True)}
    if not all(sums.values()):
        return dict(weights)
    return {attack: weight / sums[attack.held_out] for attack, weight in weights.items()}


def _copies(recipe: Recipe, recording: Recording, subset: str, allowed: Sequence[Attack]) -> list[Take]:
    copies = recipe.copies
    shares = {"vocoder": copies.vocoder, "vc": copies.vc, "codec": copies.codec}
    copiers = [attack for attack in allowed if attack.kind in shares]
    count = _count(copies.per_recording, recipe, recording, "copies")
    in_kind = {kind: sum(attack.kind == kind for attack in copiers) for kind in shares}
    weights = {attack: shares[attack.kind] / in_kind[attack.kind] for attack in copiers}
    return [
        Take(
            _take_id(recipe, subset, recording, attack.key),
            _pair(recording, attack.rate_hz),
            attack,
            rate_hz=attack.rate_hz,
        )
        for attack in _drawn(_balanced(weights), count, recipe, recording)
    ]


def _by_language(allowed: Sequence[Attack], voices: Mapping[str, Sequence[Voice]]) -> Offer:
    """What can speak each language, by attack."""
    found: Offer = defaultdict(dict)
    for attack in allowed:
        for voice in voices.get(attack.engine, ()) if attack.kind == "tts" else ():
            if voice.family == attack.family and min(voice.rate_hz, SAMPLE_RATE) == attack.rate_hz:
                found[voice.language].setdefault(attack, []).append(voice)
    return dict(found)


def _speech(recipe: Recipe, recording: Recording, subset: str, by_language: Offer, texts: Texts) -> list[Take]:
    """Clips beside a recording; each attack once, in the recording's language or in another."""
    count = _count(recipe.speech.per_recording, recipe, recording, "speech")
    if not count:
        return []
    own_text = recipe.speech.own_text and bool(recording.text)
    can_say = {name for name in by_language if name in texts.languages or (own_text and name == recording.language)}
    takes: list[Take] = []
    for place in range(count):
        taken = {take.attack for take in takes}
        language = _language(recipe, recording, sorted(can_say), place)
        offered = {attack: 1.0 for attack in by_language.get(language, ()) if attack not in taken}
        for attack in _drawn(_balanced(offered), 1, recipe, recording):
            draws = generator(recipe.seed, "speech", recording.id, attack.key)
            of_it = by_language[language][attack]
            voice = of_it[int(draws.integers(len(of_it)))]
            said: tuple[str, ...] = (recording.text,) if own_text and language == recording.language else ()
            if language in texts.languages:
                said += texts.sentences(language, SENTENCES, draws)
            takes.append(
                Take(
                    _take_id(recipe, subset, recording, attack.key),
                    _pair(recording, attack.rate_hz),
                    attack,
                    voice,
                    said,
                    attack.rate_hz,
                )
            )
    return takes


def _language(recipe: Recipe, recording: Recording, languages: Sequence[str], place: int) -> str:
    """The recording's own where it can be spoken, but for the share of others; one of all where it cannot."""
    others = [language for language in languages if language != recording.language]
    foreign = share(recipe.seed, "foreign", recording.id, str(place)) < recipe.speech.other_languages
    if recording.language in languages and not (foreign and others):
        return recording.language
    choices = others or list(languages)
    return choices[number(recipe.seed, "language", recording.id, str(place)) % len(choices)] if choices else ""


def _pair(recording: Recording, rate_hz: int) -> str:
    """What shares a bona fide take: spoofs of one recording in one band."""
    return recording.id if rate_hz >= SAMPLE_RATE else f"{recording.id}@{rate_hz}"


def _bonafide(recipe: Recipe, recording: Recording, subset: str, takes: Sequence[Take]) -> list[Take]:
    """The span as it is, and once for each narrow band that spoofs of it have."""
    rates = sorted({SAMPLE_RATE, *(take.rate_hz for take in takes)}, reverse=True)
    return [
        Take(
            _take_id(recipe, subset, recording, f"{BONAFIDE}@{rate}"), _pair(recording, rate), rate_hz=rate
        )
        for rate in rates
    ]  # fmt: skip


def counts(plan: Plan) -> dict[str, int]:
    """How many takes are planned, by engine (``bonafide`` among them)."""
    out: dict[str, int] = defaultdict(int)
    for unit in plan.units:
        for take in unit.takes:
            out[take.engine] += 1
    return dict(out)
