"""PaddleX's `device` and `use_hpip` as a profile of the local server."""

import importlib.util
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sod_client.errors import DependencyError, UnsupportedDeviceError

_NVIDIA = Path("/dev/nvidiactl")
_IMAGE = Path("/opt/tritonserver")
# Paddle's wheels for the devices that PaddleX drives and this build does not.
_PADDLE_WHEELS = {
    "npu": "paddle-custom-npu",
    "xpu": "paddlepaddle-xpu",
    "mlu": "paddle-custom-mlu",
    "dcu": "paddlepaddle-dcu",
    "gcu": "paddle-custom-gcu",
    "iluvatar_gpu": "paddle-iluvatar-gpu",
    "metax_gpu": "paddle-metax-gpu",
}


@dataclass(frozen=True)
class Placement:
    """Where the detectors of the local server run.

    Attributes:
        profile: of the launcher; None is its own choice.
        environment: variables for the server.
    """

    profile: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def parse_device(device: str) -> tuple[str, tuple[int, ...]]:
    """Kind and numbers of a device as PaddleX writes it: "cpu", "gpu", "gpu:0", "gpu:0,1".

    Raises:
        UnsupportedDeviceError: it is written otherwise, or PaddleX knows no such kind.
    """
    kind, colon, listed = str(device).lower().partition(":")
    numbers = listed.split(",") if colon else []
    if kind not in ("cpu", "gpu", *_PADDLE_WHEELS):
        kinds = ", ".join(("cpu", "gpu", *_PADDLE_WHEELS))
        raise UnsupportedDeviceError(f"there is no device {device!r}; the kinds are {kinds}")
    if not all(number.isdecimal() for number in numbers):
        raise UnsupportedDeviceError(f"{device!r} is no device; its numbers should look like gpu:0 or gpu:0,1")
    if kind == "cpu" and numbers:
        raise UnsupportedDeviceError(f"{device!r}: a CPU has no number, write 'cpu'")
    return kind, tuple(map(int, numbers))


def place(device: str | None, use_hpip: bool | None) -> Placement:
    """Choose the profile.

    `use_hpip` None takes what needs nothing beyond the server's own packages: on a CPU the high-performance profile,
    whose results the export has compared with Paddle Inference's. False insists on PaddleX's regular mode.

    Raises:
        UnsupportedDeviceError: there is no such device here, or this build cannot drive it.
        DependencyError: a package is missing for it.
    """
    kind, numbers = ("cpu", ()) if device is None else parse_device(device)
    if kind == "gpu":
        return _gpu(str(device), numbers, use_hpip)
    if kind != "cpu":
        raise UnsupportedDeviceError(
            f"device {device!r}: triton-sod drives CPUs and NVIDIA GPUs; install PaddleX with {_PADDLE_WHEELS[kind]}, "
            f"start `paddlex --serve --pipeline small_object_detection --device {device}` and give its address as url="
        )
    if use_hpip is False:
        if importlib.util.find_spec("paddle") is None:
            raise DependencyError(
                "use_hpip=False runs the detectors in Paddle Inference, which is not installed: "
                "pip install 'triton-sod[paddle]', or leave use_hpip out"
            )
        return Placement("cpu_regular")
    # Without a device the launcher may know of something faster.
    return Placement(None if device is None else "cpu_high_performance")


def _gpu(device: str, numbers: tuple[int, ...], use_hpip: bool | None) -> Placement:
    if not _NVIDIA.exists():
        raise UnsupportedDeviceError(
            f"device {device!r}: this machine shows no NVIDIA GPU; install its driver, or take device='cpu', "
            "or url= of a server that has one"
        )
    fastest = use_hpip or (use_hpip is None and _IMAGE.is_dir())
    if not _IMAGE.is_dir():
        if fastest:
            raise UnsupportedDeviceError(
                f"device {device!r} with use_hpip needs TensorRT, which Triton has in its image alone: start "
                "`make serve` where docker is, and give its address as url="
            )
        try:
            distribution("onnxruntime-gpu")
        except PackageNotFoundError:
            raise DependencyError(
                f"device {device!r} runs in ONNX Runtime's CUDA build, which is not installed: "
                "pip install 'triton-sod[gpu]'"
            ) from None
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, numbers))} if numbers else {}
    return Placement("gpu_high_performance" if fastest else "gpu_regular", environment)
