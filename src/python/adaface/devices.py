"""Where engines compute."""
from __future__ import annotations

import dataclasses

from . import _adaface


@dataclasses.dataclass(frozen=True)
class DeviceInfo:
    """A CUDA device."""

    device: str
    """As the option ``device`` takes it: "cuda:0"."""

    name: str
    """As its driver has it."""

    memory_bytes: int
    """All of it, not what is free."""

    compute_capability: tuple[int, int]
    """CUDA's, as (major, minor)."""


def cuda_devices() -> list[DeviceInfo]:
    """The CUDA devices that an engine can compute on, in the order of their indices.

    Empty where the package was built without CUDA, and where there is no driver or no device.
    """
    return [DeviceInfo(*device) for device in _adaface.cuda_devices()]
