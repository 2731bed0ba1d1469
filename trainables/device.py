"""The device of a phase: a GPU if the phase holds one, else the CPU, whatever the machine has.

`prepare` sets the environment before torch starts CUDA. A process that has lost its GPU (after a
CUDA error every later call fails) can only end: `gpu_works` finds out.
"""

import os
from functools import cache

GPU_ERRORS = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "device-side assert")  # in messages


class NoGPU(Exception):
    """A phase holds a GPU, and this process cannot use any."""


def prepare(gpus: float) -> None:
    """Set this process's environment for phases that hold so many GPUs, before CUDA starts."""
    if not gpus:
        # Ray hides no GPU from a process that holds none.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    # Each batch has another length: without it memory that is free in pieces cannot be used.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    # Without it cuBLAS has no deterministic algorithms (deterministic.py).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def device_of(gpus: float) -> str:
    """torch's name of the device of a phase. Raises NoGPU."""
    if not gpus:
        return "cpu"
    _check_gpu()
    return "cuda"


@cache  # Whether a GPU breaks later is another matter.
def _check_gpu() -> None:
    """Raises NoGPU."""
    import torch

    if not torch.cuda.is_available():
        raise NoGPU(
            f"torch {torch.__version__} finds no GPU on this machine, where one is held: look at "
            "nvidia-smi, and whether the driver is new enough for this torch"
        )
    if not gpu_works():
        raise NoGPU("the GPU that is held cannot be used: look at nvidia-smi, and dmesg for Xid")


def is_gpu_error(error: BaseException) -> bool:
    """Whether an error is the GPU's or of its memory, not of what was computed."""
    from trainables.memory import is_out_of_memory

    says_so = isinstance(error, RuntimeError) and any(sign in str(error) for sign in GPU_ERRORS)
    return says_so or type(error).__name__ == "AcceleratorError" or is_out_of_memory(error)


def gpu_works() -> bool:
    """Whether this process can still compute on its GPU."""
    import torch

    from trainables.memory import is_out_of_memory

    try:
        torch.cuda.synchronize()
        ones = torch.ones(8, 8, device="cuda")
        return bool((ones @ ones).sum().item() == 8**3)
    except (RuntimeError, AssertionError) as error:
        return is_out_of_memory(error)  # Another process has the memory.
