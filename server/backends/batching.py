"""Running the requests of one Triton batch as one batch of the network."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from sod.triton.requests import Request, cancelled_response

# Takes the network's input [N, …]; returns its outputs by name, each [N, …].
Run = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]


def run_batch(requests: Sequence[Request], input_name: str, run: Run) -> list[Any]:
    """Run the requests as one batch; if that fails, each as a batch of its own.

    Cancelled requests are not run.

    Args:
        requests: of one Triton batch.
        input_name: of the network's only input.
        run: the network.

    Returns:
        One `pb_utils.InferenceResponse` for each request, in order. Only a request that fails alone gets an error.
    """
    cancelled = [request.is_cancelled() for request in requests]
    if any(cancelled):
        wanted = [request for request, is_cancelled in zip(requests, cancelled, strict=True) if not is_cancelled]
        responses = iter(run_batch(wanted, input_name, run) if wanted else [])
        return [cancelled_response() if is_cancelled else next(responses) for is_cancelled in cancelled]
    inputs = [pb_utils.get_input_tensor_by_name(request, input_name).as_numpy() for request in requests]
    try:
        outputs = run(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
    except Exception as error:  # the engines raise types of their own
        if len(requests) > 1:
            return [run_batch([request], input_name, run)[0] for request in requests]
        message = f"the detector failed on this request: {type(error).__name__}: {error}"
        pb_utils.Logger.log_error(message)
        return [pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))]
    ends = np.cumsum([len(array) for array in inputs])
    return [
        pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.ascontiguousarray(array[end - len(own) : end]))
                for name, array in outputs.items()
            ]
        )
        for own, end in zip(inputs, ends, strict=True)
    ]
