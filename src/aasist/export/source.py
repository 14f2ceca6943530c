"""The float file that a smaller one is made of: shipped, the user's own, or exported from a checkpoint."""

from __future__ import annotations

from pathlib import Path

from aasist.errors import MissingExtra, ModelError
from aasist.runtime import irfile
from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_folder


def float_file(model: str, folder: Path) -> Path:
    """The ONNX file behind a shipped name or a path; a checkpoint is exported into ``folder`` first, which takes a minute.

    Raises ``ModelError`` where it cannot be exported, `MissingExtra` for a checkpoint without torch.
    """
    if model in shipped():
        return shipped_folder() / str(shipped()[model]["file"])
    if Path(model).suffix not in CHECKPOINT_SUFFIXES:
        if Path(model).suffix == irfile.SUFFIX:
            raise ModelError(
                "model", f"{model}: in OpenVINO's format; give the ONNX file or the checkpoint that it was made of"
            )
        return Path(model)
    try:
        from aasist.export.onnx import export
        from aasist.model import checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{model}: a checkpoint", "export") from error
    from aasist.runtime.modelfile import ModelNotes

    loaded = checkpoint.load(model)
    path = folder / "exported.onnx"
    export(loaded, path, ModelNotes.of(loaded.architecture))
    return path
