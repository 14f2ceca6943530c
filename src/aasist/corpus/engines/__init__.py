"""The engines that come with the package, a file each; none of what they call is a dependency of it."""

ENGINES = {
    "codec2": "codec2:Codec2",
    "espeak": "espeak:Espeak",
    "festival": "festival:Festival",
    "flite": "flite:Flite",
    "griffin-lim": "griffin_lim:GriffinLim",
    "griffin-lim-mel": "griffin_lim:GriffinLimMel",
    "hibari": "hibari:HibariSpeaker",
    "hifigan": "hifigan:HifiGan",
    "kokoro": "kokoro:Kokoro",
    "lpc": "lpc:LinearPrediction",
    "mbrola": "mbrola:Mbrola",
    "open-jtalk": "open_jtalk:OpenJTalk",
    "pico": "pico:Pico",
    "piper": "piper:Piper",
    "psola": "psola:Psola",
    "random-phase": "random_phase:RandomPhase",
    "rhvoice": "rhvoice:RhVoice",
    "world": "world:World",
    "world-convert": "world:WorldConversion",
}
"""Name -> module in this folder and class."""
