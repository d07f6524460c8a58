"""When the next image is read."""

from concurrent.futures import Future

from sod_client import Result
from sod_client._calls.in_flight import InFlight


def test_a_slow_source_delays_a_result_by_one_image_at_most() -> None:
    in_flight = InFlight(4, None)
    assert in_flight.wants_more
    first: Future[Result] = Future()
    in_flight.add(first, "a.jpg", None)
    assert in_flight.wants_more, "the first result is not there yet"
    first.set_result(Result("a.jpg", []))
    assert not in_flight.wants_more, "the first result is there: return it before the source is asked again"
    result = in_flight.take()
    assert result is not None
    assert result.input_path == "a.jpg"
    assert in_flight.wants_more, "one image is read for each result"


def test_the_number_of_images_is_bounded() -> None:
    in_flight = InFlight(2, None)
    for name in ("a.jpg", "b.jpg"):
        assert in_flight.wants_more
        in_flight.add(Future(), name, None)
    assert not in_flight.wants_more
