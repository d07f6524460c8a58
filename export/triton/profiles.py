"""The profiles: how Triton can run a detector. Each has its own `config.pbtxt`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """One `config.pbtxt` of the detector.

    Attributes:
        name: the value of `tritonserver --model-config-name`; empty for the folder's own config.pbtxt.
        comment: the first line of the configuration.
        backend: Triton's name of the backend.
        filename: the model file in the version folder.
        gpu: whether the instances run on the GPU.
        parameters: of the backend.
        note: a comment below the parameters.
    """

    name: str
    comment: str
    backend: str
    filename: str
    gpu: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def path(self) -> str:
        """The path of the configuration in the detector's folder."""
        return f"configs/{self.name}.pbtxt" if self.name else "config.pbtxt"


# The devices that Paddle Inference runs on beside the CPU, as PaddleX names them.
PADDLE_DEVICES = {"npu": "Ascend NPU", "xpu": "Kunlun XPU", "mlu": "Cambricon MLU", "dcu": "Hygon DCU"}


def _paddle_device(kind: str, maker: str) -> Profile:
    return Profile(
        name=f"{kind}_regular",
        comment=f"{maker}, regular: FP32 in Paddle Inference. The Paddle model ends before its NMS.",
        backend="paddle",
        filename="inference.json",
        parameters=(("DEVICE", kind),),
    )


PROFILES = (
    Profile(
        name="",
        comment="GPU, high-performance: a TensorRT FP16 plan, built on the machine that serves it.",
        backend="tensorrt",
        filename="model.plan",
        gpu=True,
    ),
    Profile(
        name="gpu_regular",
        comment="GPU, regular: FP32 in ONNX Runtime with CUDA.",
        backend="onnxruntime",
        filename="model.onnx",
        gpu=True,
    ),
    Profile(
        name="cpu_regular",
        comment="CPU, regular: FP32 in Paddle Inference with oneDNN. The Paddle model ends before its NMS.",
        backend="paddle",
        filename="inference.json",
    ),
    Profile(
        name="cpu_high_performance",
        comment="CPU, high-performance: OpenVINO.",
        backend="openvino",
        filename="model.onnx",
        note="FP32: detections equal Paddle's. On some CPUs the profile cpu_bf16 is faster: measure with `sod bench`.",
    ),
    Profile(
        name="cpu_bf16",
        comment="CPU with AMX or AVX512-BF16: the FP32 model in OpenVINO, computed in BF16.",
        backend="openvino",
        filename="model.onnx",
        parameters=(("HINT_BF16", "YES"),),
        note="Scores change (docs/export.md). Twice as fast on some CPUs, slower on others: measure with `sod bench`.",
    ),
    Profile(
        name="cpu_int8",
        comment="CPU: the INT8 model in OpenVINO. "
        "`make export TARGET=openvino PRECISION=int8 IMAGES=<folder>` makes it.",
        backend="openvino",
        filename="model_int8.xml",
        parameters=(("HINT_BF16", "YES"),),
        note="Layers that are not quantised compute in BF16 if the CPU has it, else in FP32.",
    ),
    *(_paddle_device(kind, maker) for kind, maker in PADDLE_DEVICES.items()),
    Profile(
        name="intel_gpu_high_performance",
        comment="Intel GPU, high-performance: FP32 in OpenVINO.",
        backend="openvino",
        filename="model.onnx",
        parameters=(("TARGET_DEVICE", "GPU"),),
    ),
    Profile(
        name="intel_npu_high_performance",
        comment="Intel NPU, high-performance: OpenVINO in FP16, because the NPU does not compute in FP32.",
        backend="openvino",
        filename="model.onnx",
        parameters=(("TARGET_DEVICE", "NPU"),),
    ),
)
# Replaces `cpu_regular` for a model that was exported without its Paddle files.
CPU_REGULAR_WITHOUT_PADDLE = Profile(
    name="cpu_regular",
    comment="CPU, regular: FP32 in ONNX Runtime, because this model was exported without its Paddle files "
    "(--no-paddle).",
    backend="onnxruntime",
    filename="model.onnx",
)
