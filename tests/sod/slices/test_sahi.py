"""Merging gives the boxes of SAHI itself, with the same settings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sod.merging import Combine, MatchMetric, MergeOptions, merge
from tests.sod.test_merging import crowd, rows

combine = pytest.importorskip("sahi.postprocess.combine", reason="SAHI is not installed (dev.lock has it)")
prediction = pytest.importorskip("sahi.prediction", reason="SAHI is not installed (dev.lock has it)")

POSTPROCESS = {"nms": "NMSPostprocess", "nmm": "GreedyNMMPostprocess"}


def sahi_rows(found, options: MergeOptions) -> list[tuple[float, ...]]:
    """What SAHI makes of the same boxes: x1, y1, x2, y2, score, class id."""
    postprocess = getattr(combine, POSTPROCESS[options.combine])(
        match_threshold=options.threshold,
        match_metric=options.metric.upper(),
        class_agnostic=options.class_agnostic,
    )
    predictions = [
        prediction.ObjectPrediction(
            bbox=list(row[:4]),
            score=row[4],
            category_id=int(row[5]),
            category_name=str(row[5]),
            full_shape=[4096, 4096],
        )
        for row in rows(found)
    ]
    return [(*one.bbox.to_xyxy(), one.score.value, one.category.id) for one in postprocess(predictions)]


@pytest.mark.parametrize("combine_method", ["nms", "nmm"])
@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("class_agnostic", [False, True])
@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 80), st.sampled_from([60, 300, 3000]), st.booleans(), st.floats(0.05, 0.95)
)
def test_it_gives_sahis_boxes(  # noqa: PLR0917 - hypothesis gives them by position
    combine_method: Combine,
    metric: MatchMetric,
    class_agnostic: bool,
    seed: int,
    count: int,
    side: float,
    ties: bool,
    threshold: float,
) -> None:
    found = crowd(seed, count, side, ties=ties)
    options = MergeOptions(combine_method, metric, threshold, class_agnostic)
    ours, theirs = (np.array(sorted(them)) for them in (rows(merge(found, options)), sahi_rows(found, options)))
    assert len(ours) == len(theirs)
    # Of boxes with equal scores and different classes, SAHI's merging keeps the class of either.
    columns = 5 if class_agnostic and ties else 6
    np.testing.assert_allclose(ours[:, :columns], theirs[:, :columns], rtol=1e-6)
