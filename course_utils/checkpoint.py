"""Trained weights as files: NAME.safetensors, and NAME.json, a record of what they are."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
from torch import Tensor


def path_of(name: str, folder: Path, suffix: str) -> Path:
    """Return a checkpoint's path; its file name does without characters that need quoting."""
    plain = name.replace(" (", "_").replace("(", "_").replace(")", "").replace("'", "-prime")
    return folder / (plain.replace(" ", "-") + suffix)


def read_record(name: str, folder: Path, *, architecture: dict, advice: str) -> dict:
    """Return the record of a checkpoint.

    Args:
        architecture: what the record must say of the network.
        advice: what the reader can do where it does not, the end of the error's message.

    Raises:
        RuntimeError: the record is missing, damaged or of another network.
    """
    path = path_of(name, folder, ".json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        recorded, found, _ = record["name"], record["architecture"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{path}: cannot be read ({error!r}). {advice}") from error
    if (recorded, found) != (name, architecture):
        raise RuntimeError(
            f"{path}: the record of {recorded!r} with {found}, "
            f"expected {name!r} with {architecture}. {advice}"
        )
    return record


def read_weights(name: str, folder: Path, *, record: dict, advice: str) -> dict[str, Tensor]:
    """Return a checkpoint's state dict, of which `record` is the record.

    Raises:
        RuntimeError: the file is missing, or damaged: its SHA-256 is not the recorded one.
    """
    path = path_of(name, folder, ".safetensors")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuntimeError(f"{path}: cannot be read ({error}). {advice}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != record["sha256"]:
        raise RuntimeError(
            f"{path}: damaged, its SHA-256 is {found}, the record beside it says "
            f"{record['sha256']}. {advice}"
        )
    return safetensors.torch.load(content)


def write(name: str, state: dict[str, Tensor], record: dict, folder: Path) -> dict:
    """Write a checkpoint, both files beside their places and then renamed; return its record."""
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(state)
    record = {"name": name, **record, "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(record, indent=2) + "\n"
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as beside:
        for suffix, written in ((".safetensors", content), (".json", text.encode())):
            path = path_of(name, folder, suffix)
            unfinished = Path(beside) / path.name
            unfinished.write_bytes(written)
            os.replace(unfinished, path)
    return record
