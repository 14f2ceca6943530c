"""Languages by their two-letter codes, however a manifest or a voice writes them."""

from __future__ import annotations

THREE_LETTERS = {
    "afr": "af", "ara": "ar", "bel": "be", "ben": "bn", "bul": "bg", "cat": "ca", "ces": "cs", "cmn": "zh", "cym": "cy",
    "cze": "cs", "dan": "da", "deu": "de", "dut": "nl", "ell": "el", "eng": "en", "epo": "eo", "est": "et", "eus": "eu",
    "fas": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "ger": "de", "gle": "ga", "gre": "el", "heb": "he", "hin": "hi",
    "hrv": "hr", "hun": "hu", "ind": "id", "isl": "is", "ita": "it", "jpn": "ja", "kat": "ka", "kaz": "kk", "kir": "ky",
    "kor": "ko", "lat": "la", "lav": "lv", "lit": "lt", "mar": "mr", "mkd": "mk", "nb": "no", "nld": "nl", "nn": "no",
    "nor": "no", "ory": "or", "per": "fa", "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk",
    "slv": "sl", "spa": "es", "sqi": "sq", "srp": "sr", "swe": "sv", "tam": "ta", "tat": "tt", "tel": "te", "tur": "tr",
    "ukr": "uk", "urd": "ur", "vie": "vi", "zho": "zh",
}  # fmt: skip
"""ISO 639-2 and 639-3 codes, and codes of what is written as another language, -> two letters."""

NO_LANGUAGE = {"", "-", "mul", "und", "unknown", "other", "mis", "zxx", "multi"}

LANGUAGE_NAMES = {
    "albanian": "sq", "arabic": "ar", "brazilian-portuguese": "pt", "chinese": "zh", "croatian": "hr", "czech": "cs",
    "dutch": "nl", "english": "en", "esperanto": "eo", "finnish": "fi", "french": "fr", "georgian": "ka", "german": "de",
    "hindi": "hi", "italian": "it", "japanese": "ja", "kazakh": "kk", "korean": "ko", "kyrgyz": "ky", "macedonian": "mk",
    "mandarin": "zh", "polish": "pl", "portuguese": "pt", "russian": "ru", "serbian": "sr", "slovak": "sk",
    "spanish": "es", "swedish": "sv", "tatar": "tt", "tswana": "tn", "turkish": "tr", "ukrainian": "uk", "uzbek": "uz",
    "vietnamese": "vi",
}  # fmt: skip
"""Names in English, in lower case."""


def language_of(written: str) -> str:
    """``en-US``, ``eng`` and ``English`` -> ``en``; empty where no one language is meant."""
    text = written.strip().lower()
    if text in LANGUAGE_NAMES:
        return LANGUAGE_NAMES[text]
    first = text.replace("_", "-").partition("-")[0]
    code = THREE_LETTERS.get(first, first)
    return "" if code in NO_LANGUAGE or not code.isalpha() else code
