"""Running the requests of one Triton batch as one batch of the network."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from sod.triton.requests import Request, cancelled_response

# From the network's input [N, …] to its outputs by name, each [N, …].
Run = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]


def run_batch(requests: Sequence[Request], input_name: str, run: Run) -> list[Any]:
    """Answer requests through one call of the network; if that fails, through one call each.

    A request whose caller has cancelled it is not worked on.

    Returns:
        One `pb_utils.InferenceResponse` a request, in order; a failure stays with the request that caused it.
    """
    cancelled = [request.is_cancelled() for request in requests]
    if any(cancelled):
        wanted = [request for request, gone in zip(requests, cancelled, strict=True) if not gone]
        answers = iter(run_batch(wanted, input_name, run) if wanted else [])
        return [cancelled_response() if gone else next(answers) for gone in cancelled]
    inputs = [pb_utils.get_input_tensor_by_name(request, input_name).as_numpy() for request in requests]
    try:
        outputs = run(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
    except Exception as error:  # of any of the engines' own types
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
