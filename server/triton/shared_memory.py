"""How large the shared-memory regions of Triton's Python stages are.

Each stage has one region in /dev/shm, allocated in full when it starts. It grows where tensors need more.
"""

import math
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from server.errors import ServerError
from server.installation import OWN_BACKENDS

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 — where the Python backend has its regions
_MIB = 2**20
# Room for the tensors of two full batches at 640 x 640 from the start: a region that grows is mapped anew in both
# processes while other tensors are in transit. At 1920 x 1920 it still grows.
WANTED_BYTES = 32 * _MIB
_LEAST_BYTES = 8 * _MIB
_USABLE = 7 / 8  # of what is free; the rest is for regions that grow
_BYTES = {"TYPE_UINT8": 1, "TYPE_FP32": 4, "TYPE_INT32": 4}
_REMEDY = "enlarge it (docker run --shm-size=1g, Kubernetes emptyDir with medium: Memory, or mount -o remount,size=1g)"


@dataclass(frozen=True, slots=True)
class SharedMemoryPlan:
    """What the stages of a set of models take.

    Attributes:
        regions: number of stages that have a region.
        region_bytes: of each at the start.
        free: bytes free in /dev/shm.
        least: bytes that the regions need together.
    """

    regions: int
    region_bytes: int
    free: int
    least: int

    @property
    def problem(self) -> str:
        """A sentence that says why the models cannot start; empty if they can."""
        if self.least <= self.free * _USABLE:
            return ""
        return (
            f"{SHARED_MEMORY} has {self.free / _MIB:.0f} MiB free, and the models need "
            f"{self.least / _MIB / _USABLE:.0f} MiB ({self.regions} stages): {_REMEDY}, "
            "or serve fewer models (--model NAME)"
        )

    @property
    def note(self) -> str:
        """A sentence that says what less than the usual room means; empty if there is enough."""
        if self.region_bytes >= WANTED_BYTES or self.problem:
            return ""
        return (
            f"{SHARED_MEMORY} has {self.free / _MIB:.0f} MiB free: each of {self.regions} stages starts with "
            f"{self.region_bytes // _MIB} MiB of shared memory, {WANTED_BYTES // _MIB} are usual; "
            f"very large images may be refused. To avoid that, {_REMEDY}"
        )


def plan(configs: Iterable[ModelConfig], backends: Collection[str], folder: Path = SHARED_MEMORY) -> SharedMemoryPlan:
    """Share out what is free.

    Args:
        configs: of every stage that will be loaded.
        backends: names of the backends that run in Python processes.
        folder: the file system of the regions.

    Raises:
        ServerError: the folder is absent or cannot be written to.
    """
    stages = [config for config in configs if config.backend in backends]
    regions = sum(max(1, sum(group.count or 1 for group in stage.instance_group)) for stage in stages)
    least = max([_LEAST_BYTES, *(2 * _image_bytes(stage) for stage in stages)])
    free = free_bytes(folder)
    share = int(free * _USABLE / max(1, regions)) // _MIB * _MIB
    return SharedMemoryPlan(regions, max(least, min(WANTED_BYTES, share)), free, regions * least)


def free_bytes(folder: Path = SHARED_MEMORY) -> int:
    """Bytes free in the folder.

    Raises:
        ServerError: the folder is absent or cannot be written to.
    """
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ServerError(
            f"{folder} is absent or read-only, and Triton's stages share memory there: mount a tmpfs on it"
        )
    return shutil.disk_usage(folder).free


def python_backends(*, own: bool) -> tuple[str, ...]:
    """Names of the backends that run in Python processes; `own` is whether ours stand for NVIDIA's C++ ones."""
    return ("python", *OWN_BACKENDS) if own else ("python",)


def _image_bytes(config: ModelConfig) -> int:
    """Bytes of the fixed-size tensors of one image that go into a stage and out of it."""
    tensors = [*config.input, *config.output]
    return sum(
        _BYTES.get(DataType.Name(tensor.data_type), 0) * math.prod(tensor.dims)
        for tensor in tensors
        if min(tensor.dims, default=0) > 0
    )
