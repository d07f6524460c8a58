"""The colours of the classes."""

import numpy as np

from sod.drawing.palette import class_colour, text_colour


def test_the_ten_class_colours_differ_with_colour_blindness() -> None:
    """Distances in OKLab for normal vision, protanopia and deuteranopia (Machado 2009)."""
    linear = (np.array([class_colour(class_id)[::-1] for class_id in range(10)]) / 255) ** 2.2
    visions = [
        np.eye(3),
        np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
        np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    ]
    to_lms = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    to_lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    for vision in visions:
        lab = np.cbrt(np.clip(linear @ vision.T, 0, 1) @ to_lms.T) @ to_lab.T
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(10)
        assert distance.min() > 0.05


def test_text_is_legible_on_every_class_colour_and_neighbouring_colours_differ() -> None:
    for class_id in range(-3, 400):
        colour = class_colour(class_id)
        light, dark = sorted(
            (
                sum(share * (channel / 255) ** 2.2 for share, channel in zip((0.0722, 0.7152, 0.2126), c, strict=True))
                for c in (colour, text_colour(colour))
            ),
            reverse=True,
        )
        assert (light + 0.05) / (dark + 0.05) > 3, class_id
        assert colour != class_colour(class_id + 1)
