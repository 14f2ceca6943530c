"""Playlists and session descriptions: text that names other files, refused before any decoder sees it."""

import re
from pathlib import Path

from aasist.errors import AudioError

SNIFF_BYTES = 4096

# fmt: off
EXTENSIONS = frozenset((
    ".asx", ".concat", ".cue", ".ffconcat", ".ism", ".m3u", ".m3u8", ".mpd", ".pls", ".ram", ".rtsp", ".sdp", ".smi",
    ".smil", ".strm", ".wax", ".wvx", ".xspf",
))
# fmt: on

_TEXT = re.compile(
    rb"""(?xi) ^ (?: \#EXTM3U | \#EXTINF | \[playlist\] | \[reference\] | ffconcat\s+version | RTSPtext | SMRTSP
    | v=0\r?\n .* ^[oscmat]=                                     # SDP
    | (?: (?:REM|TITLE|PERFORMER|CATALOG|SONGWRITER)\s.* ^ \s*)? FILE\s.*\s(?:WAVE|MP3|AIFF|BINARY|FLAC|MOTOROLA)\b
    | (?: <\?xml .* )? < (?: asx | smil | playlist | MPD | SmoothStreamingMedia )\b
    | (?: file | https? | rtsp | rtp | udp | mms | concat | tcp ) ://
    )""",
    re.DOTALL | re.MULTILINE,
)
_START = re.compile(rb"^(?:\xef\xbb\xbf)?\s*")


def refuse_playlist(head: bytes, name: str | None) -> None:
    """Raise `AudioError` ``playlist`` for a file whose first bytes or extension are those of a playlist.

    A decoder that opens playlists reads whatever files and addresses they name, so none is opened, even where its
    entries are harmless. ``name`` is the path when there is one.
    """
    extension = Path(name).suffix.lower() if name else ""
    text = _START.sub(b"", head, count=1)
    if extension in EXTENSIONS or (b"\0" not in head and _TEXT.match(text)):
        raise AudioError(
            "playlist", "a playlist or stream description, not a recording; give the files it names instead"
        )
