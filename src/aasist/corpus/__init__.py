"""From bona fide recordings to spoofed trials: engines, who copies and says what, the build and its layout."""
