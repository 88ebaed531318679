import pytest
import torch

from course_utils.device import free_memory, get_device, out_of_memory, seeded
from course_utils.inference import WITH_GRADIENT


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:99", "cuda:x", "cpu:3", "cpu:-1", "", "meta", "mps:1"]
)
def test_devices_that_are_not_here_are_refused(name):
    with pytest.raises(
        ValueError, match=f"device: got '{name}', expected a device of this machine"
    ):
        get_device(name)


def test_devices_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert get_device("cuda:1") == torch.device("cuda:1") and get_device().type == "cuda"
    with pytest.raises(ValueError, match="machine: cpu, cuda, cuda:1$"):
        get_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert get_device() == torch.device("mps") and get_device("cpu").type == "cpu"


def test_a_seed_for_a_while(monkeypatch):
    def reseeded(*_):
        raise AssertionError("every GPU's generator was seeded")

    monkeypatch.setattr(torch, "manual_seed", reseeded)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded)
    before = torch.get_rng_state()
    draws = []
    for seed in (3, 3, 4):
        with pytest.raises(KeyError), seeded(seed, torch.device("cpu")):
            draws.append(torch.rand(5))
            raise KeyError
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], torch.rand(5, generator=torch.Generator().manual_seed(3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_seed_for_one_gpu_leaves_the_others_alone():
    before = torch.cuda.get_rng_state_all()
    with seeded(3, torch.device("cuda:0")):
        draws = torch.rand(5, device="cuda:0")
    assert all(map(torch.equal, torch.cuda.get_rng_state_all(), before))
    generator = torch.Generator("cuda:0").manual_seed(3)
    assert torch.equal(draws, torch.rand(5, device="cuda:0", generator=generator))


def test_full_memory_is_told_from_other_errors():
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_on_a_card_of_80_gb_all_digits_are_attacked_at_once(monkeypatch):
    """Two batches take half as long again. What they need is a twelfth of what is reckoned."""
    held = {"mem_get_info": (70 * 2**30, 80 * 2**30)}
    held |= {"memory_reserved": 10 * 2**30, "memory_allocated": 2**30}  # 9 GB of them are to be had
    for name, value in held.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    digit = 28 * 28 * 4
    assert 60_000 * WITH_GRADIENT * digit < free_memory(torch.device("cuda")) < 70 * 2**30
