"""What corpora and manifests call their parts: to train on, to choose by, and those that figures are published on."""

from __future__ import annotations

import re

TRAIN, DEV = "train", "dev"
OWN_NAMES = {TRAIN: ("train", "training"), DEV: ("dev", "development", "validation", "valid", "val")}
"""What they call the subset of each role, in the order in which they are looked for."""

EVALUATION = re.compile(
    r"(?<![^\W\d_])(evals?|evaluation|evalset|tests?|testing|testset|progress|hidden)(?![^\W\d_])", re.IGNORECASE
)
"""A word in the name of a subset that figures are published on; it takes no part in training or in choosing."""
