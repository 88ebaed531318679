"""Where the course computes, and how it keeps tiny numbers from slowing it down."""

import torch


def get_device(name: str | None = None) -> torch.device:
    """Return the device to compute on.

    Args:
        name: "cpu", "cuda" (or "cuda:1"), "mps", or None for the fastest one that is here.

    Raises:
        ValueError: the name is unknown, or that device is not on this machine.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            name = "mps"
    kind = name.split(":")[0]
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, False):
        available = ", ".join(known for known, present in here.items() if present)
        raise ValueError(f"name: got {name!r}, expected a device of this machine: {available}")
    return torch.device(name)


def flush_denormals() -> bool:
    """Make the CPU round numbers below 1e-38 to zero; return whether it can.

    Weight decay drives the weights of MNIST's always-black pixels into that range, where a
    processor computes up to a hundred times slower. The setting reaches the calling thread and
    the threads started after it, so it has to come before the first parallel computation:
    `course_utils.data` and `course_utils.models`, one of which every use of the course starts
    with, call it when they are imported.
    """
    return torch.set_flush_denormal(True)
