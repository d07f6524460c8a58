"""The synthetic detector output with many candidates."""

from benchmarks.performance.sections.stages import synthetic_output


def test_the_synthetic_output_has_the_given_number_of_candidates():
    for side, anchors in ((640, 8400), (1920, 75_600)):
        boxes, scores = synthetic_output(side, 3000)
        assert boxes.shape == (anchors, 4)
        assert scores.shape == (10, anchors)
        assert (scores > 0.5).sum() == 3000
        assert (boxes[:, 2:] > boxes[:, :2]).all()
