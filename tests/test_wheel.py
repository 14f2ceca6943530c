"""What a light install downloads of ours."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import aasist

MOST_BYTES = 6_000_000


def test_the_package_with_its_models_stays_small() -> None:
    """The files of the wheel, packed as a wheel is."""
    root = Path(aasist.__file__).parent
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} >= {".py", ".onnx", ".safetensors", ".toml"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in files:
            wheel.write(path, path.relative_to(root))
    assert len(packed.getvalue()) < MOST_BYTES
