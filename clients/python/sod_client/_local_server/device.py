"""Selects a profile of the local server from PaddleX's `device` and `use_hpip`."""

import importlib.util
import warnings
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sod_client.errors import DependencyError, SodWarning, UnsupportedDeviceError

_NVIDIA_DRIVER = Path("/dev/nvidiactl")
_TRITON_IMAGE = Path("/opt/tritonserver")
# Paddle's packages for the devices of PaddleX that triton-sod does not run on.
_PADDLE_PACKAGES = {
    "gcu": "paddle-custom-gcu",
    "iluvatar_gpu": "paddle-iluvatar-gpu",
    "metax_gpu": "paddle-metax-gpu",
}
# The launcher chooses the profile of these, and knows what a machine needs for them.
_REGULAR = ("npu", "xpu", "mlu", "dcu")  # in Paddle Inference
_HIGH_PERFORMANCE = ("intel_gpu", "intel_npu")  # in OpenVINO


@dataclass(frozen=True)
class Placement:
    """Where the detectors of the local server run.

    Attributes:
        profile: profile of the launcher; None leaves the choice to the launcher.
        environment: environment variables for the server.
        device: device for the launcher, such as "npu:0"; None where the profile says enough.
    """

    profile: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    device: str | None = None


@dataclass(frozen=True)
class Machine:
    """What this machine offers to a local server.

    Attributes:
        has_nvidia_gpu: whether NVIDIA's driver is loaded.
        is_triton_image: whether this is a container of NVIDIA's Triton image, which has TensorRT.
        has_paddle: whether Paddle Inference is installed.
        has_onnxruntime_gpu: whether the CUDA build of ONNX Runtime is installed.
    """

    has_nvidia_gpu: bool
    is_triton_image: bool
    has_paddle: bool
    has_onnxruntime_gpu: bool

    @classmethod
    def detect(cls) -> "Machine":
        """Examine this machine."""
        try:
            distribution("onnxruntime-gpu")
            has_onnxruntime_gpu = True
        except PackageNotFoundError:
            has_onnxruntime_gpu = False
        return cls(
            has_nvidia_gpu=_NVIDIA_DRIVER.exists(),
            is_triton_image=_TRITON_IMAGE.is_dir(),
            has_paddle=importlib.util.find_spec("paddle") is not None,
            has_onnxruntime_gpu=has_onnxruntime_gpu,
        )


def parse_device(device: str) -> tuple[str, tuple[int, ...]]:
    """Kind and numbers of a device in PaddleX's notation: "cpu", "gpu", "gpu:0", "gpu:0,1".

    Raises:
        UnsupportedDeviceError: the notation is wrong, or PaddleX has no such kind.
    """
    kind, colon, listed = str(device).lower().partition(":")
    numbers = listed.split(",") if colon else []
    kinds = tuple(dict.fromkeys(("cpu", "gpu", *_PADDLE_PACKAGES, *_REGULAR, *_HIGH_PERFORMANCE)))
    if kind not in kinds:
        raise UnsupportedDeviceError(f"there is no device {device!r}; the kinds are {', '.join(kinds)}")
    if not all(number.isdecimal() for number in numbers):
        raise UnsupportedDeviceError(f"{device!r} is not a device; it should look like gpu:0 or gpu:0,1")
    if kind == "cpu" and numbers:
        raise UnsupportedDeviceError(f"{device!r} is not a device: a CPU has no number, write 'cpu'")
    return kind, tuple(map(int, numbers))


def choose_placement(device: str | None, use_hpip: bool | None, machine: Machine | None = None) -> Placement:
    """Select the profile.

    With `use_hpip=None`, the profile is one that `make serve` installs the packages for: on a CPU the
    high-performance profile, whose results the export compares with those of Paddle Inference. `use_hpip=False` selects
    PaddleX's regular mode.

    Args:
        device: in PaddleX's notation; None is the CPU, or a faster device that the launcher finds.
        use_hpip: whether to use the high-performance profile.
        machine: None is this machine.

    Raises:
        UnsupportedDeviceError: this machine has no such GPU, or triton-sod does not support the device or its mode. Of
            the other devices the launcher says it when it starts.
        DependencyError: a required package is not installed.
    """
    machine = machine or Machine.detect()
    kind, numbers = ("cpu", ()) if device is None else parse_device(device)
    if kind == "gpu" and not machine.has_nvidia_gpu and not use_hpip:
        warnings.warn(
            f"device {device!r} is not available: this machine has no NVIDIA GPU, or its driver is not installed; the "
            "CPU is used, as in PaddleX",
            SodWarning,
            stacklevel=2,
        )
        kind = device = "cpu"
    if kind == "gpu":
        return _gpu(str(device), numbers, use_hpip, machine)
    if kind in (*_REGULAR, *_HIGH_PERFORMANCE):
        return _other(kind, numbers, use_hpip)
    if kind != "cpu":
        raise UnsupportedDeviceError(
            f"device {device!r} is not supported: triton-sod does not run on it; install PaddleX with "
            f"{_PADDLE_PACKAGES[kind]}, start `paddlex --serve --pipeline small_object_detection --device {device}` "
            "and pass its address as url="
        )
    if use_hpip is False:
        if not machine.has_paddle:
            raise DependencyError(
                "use_hpip=False runs the detectors in Paddle Inference, which is not installed: "
                "`make serve PROFILE=cpu_regular` in the checkout of triton-sod installs it; or leave use_hpip out"
            )
        return Placement("cpu_regular")
    return Placement(None if device is None else "cpu_high_performance")


def _gpu(device: str, numbers: tuple[int, ...], use_hpip: bool | None, machine: Machine) -> Placement:
    if not machine.has_nvidia_gpu:
        raise UnsupportedDeviceError(
            f"device {device!r} is not available: this machine has no NVIDIA GPU, or its driver is not installed; "
            "leave use_hpip out to use the CPU, or pass url= of a server with a GPU"
        )
    use_tensorrt = machine.is_triton_image if use_hpip is None else use_hpip
    if use_tensorrt and not machine.is_triton_image:
        raise UnsupportedDeviceError(
            f"device {device!r} with use_hpip requires TensorRT, which only Triton's container image has: start "
            "`make serve` on a machine with Docker, and pass its address as url="
        )
    if not machine.is_triton_image and not machine.has_onnxruntime_gpu:
        raise DependencyError(
            f"device {device!r} requires the CUDA build of ONNX Runtime, which is not installed: "
            "pip install onnxruntime-gpu"
        )
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, numbers))} if numbers else {}
    return Placement("gpu_high_performance" if use_tensorrt else "gpu_regular", environment)


def _other(kind: str, numbers: tuple[int, ...], use_hpip: bool | None) -> Placement:
    if use_hpip and kind in _REGULAR:
        raise UnsupportedDeviceError(f"device {kind!r} has the regular mode only, in Paddle: leave use_hpip out")
    if use_hpip is False and kind in _HIGH_PERFORMANCE:
        raise UnsupportedDeviceError(
            f"device {kind!r} has the high-performance mode only, in OpenVINO: leave use_hpip out"
        )
    return Placement(device=kind + (":" + ",".join(map(str, numbers)) if numbers else ""))
