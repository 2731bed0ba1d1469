"""The device of a phase: a GPU if the phase holds one, else the CPU, whatever the machine has.

`prepare` sets the environment before torch starts CUDA. A process that has lost its GPU (after a
CUDA error every later call fails) can only end: `gpu_works` finds out.
"""

import os

GPU_ERRORS = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "device-side assert")  # in messages
GPU_ERROR_TYPES = ("AcceleratorError", "OutOfMemoryError")  # of torch, by version


class NoGPU(Exception):
    """A phase holds a GPU, and torch finds none."""


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
    import torch

    if not torch.cuda.is_available():
        raise NoGPU(
            f"{gpus:g} GPUs are held, but torch {torch.__version__} finds none on this machine: "
            "look at nvidia-smi, and whether the driver is new enough for this torch"
        )
    return "cuda"


def is_gpu_error(error: BaseException) -> bool:
    """Whether an error is the GPU's or of its memory, not of what was computed."""
    return type(error).__name__ in GPU_ERROR_TYPES or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in GPU_ERRORS)
    )


def gpu_works() -> bool:
    """Whether this process can still compute on its GPU."""
    import torch

    try:
        torch.cuda.synchronize()
        ones = torch.ones(8, 8, device="cuda")
        return bool((ones @ ones).sum().item() == 8**3)
    except torch.OutOfMemoryError:
        return True  # Another process has the memory.
    except (RuntimeError, AssertionError):
        return False
