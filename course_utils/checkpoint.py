"""Trained weights and a record of what they are, in one file: NAME.safetensors.

The record is JSON in the file's own metadata, so that weights and record are never of two kinds.
Its "sha256" is that of the whole file, with 64 zeros in the place of these 64 digits.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
from torch import Tensor

_ZEROS = "0" * 64


def path_of(name: str, folder: Path) -> Path:
    """Return a checkpoint's path; its file name does without characters that need quoting."""
    plain = name.replace(" (", "_").replace("(", "_").replace(")", "").replace("'", "-prime")
    return folder / (plain.replace(" ", "-") + ".safetensors")


def read(name: str, folder: Path, *, architecture: dict, advice: str) -> tuple[dict, dict]:
    """Return a checkpoint's state (name to tensor) and its record, of this architecture.

    Raises RuntimeError, which ends with the advice, where the file is missing, damaged or of
    another network.
    """
    path = path_of(name, folder)
    try:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        record = json.loads(header["__metadata__"]["record"])
        recorded, found, digest = record["name"], record["architecture"], record["sha256"]
    except OSError as error:
        raise RuntimeError(f"{path}: cannot be read ({error}). {advice}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{path}: damaged, it holds no record ({error!r}). {advice}") from error
    if _sha256(content, digest) != digest:
        raise RuntimeError(f"{path}: damaged, its SHA-256 is not {digest}. {advice}")
    if (recorded, found) != (name, architecture):
        got, wanted = f"{recorded!r} with {found}", f"{name!r} with {architecture}"
        raise RuntimeError(f"{path}: the record of {got}, expected {wanted}. {advice}")
    return safetensors.torch.load(content), record


def write(name: str, state: dict[str, Tensor], record: dict, folder: Path) -> dict:
    """Write a checkpoint, beside its place and then renamed; return its record as it is read."""
    record = {"name": name, **record, "sha256": _ZEROS}
    content = safetensors.torch.save(state, {"record": json.dumps(record)})
    record["sha256"] = _sha256(content, _ZEROS)
    content = content.replace(_ZEROS.encode(), record["sha256"].encode(), 1)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as beside:
        unfinished = Path(beside) / "checkpoint"
        unfinished.write_bytes(content)
        os.replace(unfinished, path_of(name, folder))
    return json.loads(json.dumps(record))


def _sha256(content: bytes, digest: str) -> str:
    """Return the digest of a file in which `digest` stands in the place of its own."""
    return hashlib.sha256(content.replace(str(digest).encode(), _ZEROS.encode(), 1)).hexdigest()
