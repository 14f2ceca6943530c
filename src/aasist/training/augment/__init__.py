"""Augmentation on the batch: what happens to speech between a mouth and a file, drawn for each row from its key.

`recipe` says what there is, `chain` in which order it happens; each other module is one thing that happens.
"""
