"""The JSON object that every way of asking gives: its keys, in order."""

CONTRACT_KEYS = [
    "path",
    "label",
    "score",
    "llr",
    "threshold",
    "duration_seconds",
    "speech_seconds",
    "sample_rate",
    "channels",
    "segments",
    "warnings",
    "model",
    "error",
]
