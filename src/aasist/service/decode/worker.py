"""A process that decodes one recording after the other and finds the speech in it: ``python -m ... DESCRIPTOR MEMORY PARENT``.

It holds no secret, no database and no other's recording, may open nothing but the libraries that it is made of
(`confinement`), and is limited in memory, processor time, files and what it may write (`work`).
"""

from __future__ import annotations

import socket
import sys

from aasist.service.decode.confinement import confine
from aasist.service.lifeline import end_with


def main() -> None:
    """Serve until the other side is gone."""
    descriptor, memory_bytes, parent = map(int, sys.argv[1:])
    end_with(parent)
    try:
        confined = confine()
    except OSError:  # the kernel knows how, and does not let it, as in some containers
        confined = False
    # Imported now: packages begin threads of their own, which would stay free.
    from aasist.service.decode.work import decode

    decode(socket.socket(fileno=descriptor), memory_bytes, confined=confined)


if __name__ == "__main__":
    main()
