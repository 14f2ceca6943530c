"""``python -m aasist``."""

from aasist.cli import main

main()
