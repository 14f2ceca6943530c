"""Ogg files that were cut off: their last page does not say that it is the last."""

from aasist.audio.decode import GuardedFile

_PAGE_BYTES = 27 + 255 + 255 * 255
"""The longest page there is (RFC 3533, section 6): header, segment table, segments."""

_END_OF_STREAM = 0x04


def ends_stream(file: GuardedFile) -> bool:
    """Whether the last page of an Ogg file is there whole and marked as the end of its stream (RFC 3533, section 6).

    A recorder that was switched off, or a file that was cut, ends otherwise. The position in the file is kept.
    """
    position = file.tell()
    file.seek(max(0, file.size_bytes - 2 * _PAGE_BYTES))
    tail = b""
    while data := file.read(2 * _PAGE_BYTES):
        tail += data
    file.seek(position)
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27 or not page[5] & _END_OF_STREAM:
        return False
    segments = page[27 : 27 + page[26]]
    return len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)
