"""Describes a model for its Triton configuration: names of the folders, sizes, batch size."""

from dataclasses import dataclass, field

from export.serving_options import DEFAULT_OPTIONS, ServingOptions
from sod.interface import pixel_entrance
from sod.nms import NmsConfig

# Triton limits an ensemble's batch to that of its stages, and all models share the first and the last stage.
MAX_BATCH_SIZE = 8
# Four images of the largest official model. Batches with more pixels need more memory and are not faster.
_BATCH_PIXELS = 4 * 1920 * 1920
SHARED_POSTPROCESS = "postprocess"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that the configuration of a model depends on.

    Attributes:
        name: of the ensemble.
        labels: class names by class id, in any script.
        height: of the detector's input, in pixels.
        width: of the detector's input, in pixels.
        anchors: boxes per image before the NMS.
        nms: parameters of the NMS.
        paddle: whether the Paddle model is installed beside the ONNX model, for the profile `cpu_regular`.
        options: the user's choices.
    """

    name: str
    labels: tuple[str, ...]
    height: int
    width: int
    anchors: int
    nms: NmsConfig = field(default_factory=NmsConfig)
    paddle: bool = True
    options: ServingOptions = DEFAULT_OPTIONS

    @property
    def preprocess(self) -> str:
        """The folder of the first stage, which models of the same input size share."""
        square = self.height == self.width
        return f"preprocess_{self.height}" if square else f"preprocess_{self.width}x{self.height}"

    @property
    def pixel_entrance(self) -> str:
        """The folder of the ensemble that takes pixels of the detector's size instead of an encoded image."""
        return pixel_entrance(self.name)

    @property
    def detector(self) -> str:
        """The folder of the second stage."""
        return f"{self.name}_detector"

    @property
    def postprocess(self) -> str:
        """The folder of the third stage: shared by models with PP-YOLOE+ SOD's own NMS parameters."""
        return SHARED_POSTPROCESS if self.nms == NmsConfig() else f"{SHARED_POSTPROCESS}_{self.name}"

    @property
    def batch_size(self) -> int:
        """`max_batch_size` of the ensemble and the detector."""
        if self.options.max_batch_size is not None:
            return self.options.max_batch_size
        pixels = self.height * self.width
        return next((size for size in (8, 4, 2) if size * pixels <= _BATCH_PIXELS), 1)
