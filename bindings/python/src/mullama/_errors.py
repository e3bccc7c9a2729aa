"""Errors and warnings. The native module raises these classes by name."""

from __future__ import annotations

__all__ = ["MullamaError", "GpuMemoryError", "HostMemoryError", "InvalidArgumentError", "MullamaWarning"]

_STATUSES = (
    "ok", "invalid_argument", "not_found", "corrupt_file", "unsupported", "io", "budget_exceeded", "out_of_memory",
    "gpu_out_of_memory", "context_full", "canceled", "permission", "unavailable", "download", "timeout", "internal",
)  # fmt: skip


class MullamaError(Exception):
    """Any failure of Mullama. ``status`` names its kind, such as ``"not_found"`` or ``"context_full"``."""

    def __init__(self, message: str = "", code: int = 15) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> str:
        return _STATUSES[self.code]


class GpuMemoryError(MullamaError):
    """A device has no memory left for what was asked."""


class HostMemoryError(MullamaError):
    """The host's memory, or the budget given for it, does not suffice."""


class InvalidArgumentError(MullamaError, ValueError):
    """A parameter is outside its range, or an object cannot do this now."""


class MullamaWarning(UserWarning):
    """Something was done otherwise than asked, such as GPU layers computed by the CPU."""
