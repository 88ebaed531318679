"""Which device there is to compute on; its memory, its random state, and numbers from it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


def get_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device to compute on: "cpu", "cuda" (or "cuda:1"), "mps"; None: the fastest here.

    Raises ValueError where it is unknown, or that device is not on this machine.
    """
    mps = torch.backends.mps.is_available()
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(mps)}
    if device is None:
        device = next(kind for kind in ("cuda", "mps", "cpu") if here[kind])
    try:
        place = torch.device(device)
        found = (place.index or 0) < here.get(place.type, 0)
    except RuntimeError:  # no device at all
        found = False
    if not found:
        names = [f"{kind}:{n}" if n else kind for kind, count in here.items() for n in range(count)]
        expected = f"a device of this machine: {', '.join(names)}"
        raise ValueError(f"device: got {str(device)!r}, expected {expected}")
    return place


def on_cpu(value: object) -> object:
    """Return `value` with every tensor in it detached and on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {name: on_cpu(part) for name, part in value.items()}
    return [*map(on_cpu, value)] if isinstance(value, list | tuple) else value


def free_memory(device: torch.device) -> int:
    """Return how many bytes a computation may take on the device: a laptop's share, or a GPU's."""
    if device.type != "cuda":
        return 2**30
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (torch.cuda.mem_get_info(device)[0] + unused) * 3 // 4


def out_of_memory(error: BaseException) -> bool:
    """Return whether this is PyTorch saying that a device's memory is full."""
    words = "out of memory", "can't allocate memory", "not enough memory"
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's own generators of the CPU and of `device` for a block, then put them back.

    `torch.manual_seed` would seed every other device's as well, and `fork_rng` would not restore
    what it is not told of.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before):
            generator.set_state(state)
