"""Kernels that nbval starts listen at Unix sockets, not at ports.

A port is looked for, let go, and bound by the kernel later. Where two kernels start side by side,
about one in two hundred finds its port taken and dies, and all cells of its notebook with it.
"""

import sys
import tempfile
import uuid
from pathlib import Path

from nbval import kernel

KernelManager = kernel.KernelManager


def with_sockets(**options) -> KernelManager:
    """A manager of a kernel with sockets of its own."""
    path = Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4()}")  # -1 to -5 are appended
    return KernelManager(transport="ipc", ip=str(path), **options)


if sys.platform != "win32":
    kernel.KernelManager = with_sockets
