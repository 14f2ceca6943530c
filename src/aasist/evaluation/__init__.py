"""Error rates, calibration and intervals of scores; NumPy only."""
