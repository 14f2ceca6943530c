"""Scoring the trials of a corpus: as they are, under stress, and explained."""
