"""Scoring the trials of a corpus: as they are, under stress, under attack, and explained."""
