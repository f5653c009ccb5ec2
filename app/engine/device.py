"""Choosing the device and making its arithmetic exact and repeatable."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

import torch

from ..errors import BadSetting

DeviceChoice = Literal["auto", "cpu", "cuda"]

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Quota and period in microseconds, where control groups (version 2) limit a process."""


def choose_device(choice: DeviceChoice) -> torch.device:
    """CUDA where there is a GPU, or what was asked for.

    Raises BadSetting when CUDA is asked for and absent: there is no falling back to the CPU.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise BadSetting("device: expected a CUDA GPU, found none that torch can use")
    use_cuda = choice == "cuda" or (choice == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")


def available_cores(cpu_max: Path = CGROUP_CPU_MAX) -> int:
    """The cores that this process may use: its affinity, within its container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return cores or 1
    if quota == "max":
        return cores or 1
    return max(1, min(cores or 1, math.ceil(int(quota) / int(period))))


def describe_device(device: torch.device) -> str:
    """The device's name, for answers: "cpu", or "cuda (NVIDIA H200)"."""
    if device.type == "cpu":
        return "cpu"
    return f"{device.type} ({torch.cuda.get_device_name(device)})"


def use_exact_arithmetic() -> None:
    """Turn off what trades accuracy or repeatability for speed: TF32 and cuDNN's auto-tuning."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
