"""Cubic resize to a fixed size as ONNX nodes: `cv2.INTER_CUBIC`, which `sod.image.resize` and the models use.

ONNX's own `Resize` gives the same values. ONNX Runtime computes it on one core in 200 ms for 1280 x 720, and needs the
whole image in float32. Here, four rows and then four columns are gathered for each result and added up; only the
gathered rows become float32.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_A = -0.75  # OpenCV's coefficient of the cubic
# Column k has the weight of tap k as a polynomial of the fraction t: rows for 1, t, t**2, t**3.
_TAPS = np.array(
    [
        [0, 1, 0, 0],
        [_A, 0, -_A, 0],
        [-2 * _A, -(_A + 3), 2 * _A + 3, _A],
        [_A, _A + 2, -(_A + 2), -_A],
    ],
    np.float32,
)


class NodeList:
    """Nodes and constants of a graph under construction, with a common prefix of their names."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: int | list[int]) -> str:
        """Append a node with one output; return the name of the output, which is made up if none is given."""
        name = f"{self._prefix}{len(self.nodes)}_{operator}"
        output = output or name
        node = helper.make_node(operator, inputs, [output], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return output

    def constant(self, value: NDArray[np.generic]) -> str:
        """Append a constant; return its name."""
        name = f"{self._prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def indices(self, *values: int) -> str:
        """An int64 [number of values]."""
        return self.constant(np.array(values, np.int64))


def add_resize(graph: NodeList, pixels: str, sides: tuple[str, str], size: tuple[int, int]) -> str:
    """Add the nodes of the resize.

    Args:
        graph: takes them.
        pixels: name of the image, uint8 [h, w, 3].
        sides: names of its height and its width, float32 scalars.
        size: height and width of the result.

    Returns:
        The name of the result, uint8 [height, width, 3].
    """
    resized = pixels
    for axis, shape in ((0, (-1, 1, 1)), (1, (1, -1, 1))):
        positions, weights = _taps(graph, sides[axis], size[axis])
        shape_name = graph.indices(*shape)
        parts = []
        for tap in range(4):
            chosen = graph.indices(tap)
            which = graph.add("Squeeze", [graph.add("Gather", [positions, chosen], axis=1), graph.indices(1)])
            weight = graph.add("Reshape", [graph.add("Gather", [weights, chosen], axis=1), shape_name])
            values = graph.add("Gather", [resized, which], axis=axis)
            if axis == 0:
                values = graph.add("Cast", [values], to=TensorProto.FLOAT)
            parts.append(graph.add("Mul", [values, weight]))
        resized = parts[0]
        for part in parts[1:]:
            resized = graph.add("Add", [resized, part])
    limited = graph.add("Clip", [graph.add("Round", [resized]), graph.number(0), graph.number(255)])
    return graph.add("Cast", [limited], to=TensorProto.UINT8)


def _taps(graph: NodeList, side: str, size: int) -> tuple[str, str]:
    """Names of the source positions, int64 [size, 4], and their weights, float32 [size, 4], along one axis."""
    centres = graph.constant(((np.arange(size) + 0.5) / size).astype(np.float32)[:, None])
    position = graph.add("Sub", [graph.add("Mul", [centres, side]), graph.number(0.5)])
    first = graph.add("Floor", [position])
    t = graph.add("Sub", [position, first])
    square = graph.add("Mul", [t, t])
    ones = graph.constant(np.ones((size, 1), np.float32))
    powers = graph.add("Concat", [ones, t, square, graph.add("Mul", [square, t])], axis=1)
    weights = graph.add("MatMul", [powers, graph.constant(_TAPS)])
    taps = graph.add("Add", [first, graph.constant(np.arange(-1, 3, dtype=np.float32)[None])])
    last = graph.add("Sub", [side, graph.number(1)])
    inside = graph.add("Clip", [taps, graph.number(0), last])
    return graph.add("Cast", [inside], to=TensorProto.INT64), weights
