"""How long a run takes, before it begins."""

from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS, Options

# Seconds to start the server and the engine alone and to compare their results, with the demo on two cores.
_START_S = 20.0
_WARM_UP_S = 0.5
_CLIENTS = 3  # ensemble, gateway, gateway with overlay
_OTHER_PROGRAMS_S = 4.0  # the imports, and the look at what else runs


def estimated_seconds(options: Options, models: int) -> float:
    """Seconds that the section `load` takes, with starting and stopping.

    A model that takes longer than `options.seconds` for an image is measured for up to eight times as long.

    Args:
        options: of the run.
        models: number of models.
    """
    measurement = _WARM_UP_S + options.seconds
    lap = (_CLIENTS + 1) * measurement
    laps = len(options.concurrency) * lap
    laps += sum(
        options.seconds for concurrency in options.concurrency if concurrency in (LATENCY_CLIENTS, LOAD_CLIENTS)
    )
    return _OTHER_PROGRAMS_S + models * len(options.profiles) * (_START_S + options.rounds * laps)


def estimate(options: Options, models: tuple[str, ...]) -> str:
    """One sentence for the user."""
    what = f"{', '.join(models)} in {', '.join(options.profiles)}"
    seconds = estimated_seconds(options, len(models))
    duration = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{round(seconds, -1):.0f} seconds"
    further = [name for name in options.sections if name != "load"]
    more = f", and what {', '.join(further)} takes" if further else ""
    return f"measuring {what}: about {duration} on an idle machine{more} (a model slower than the demo takes longer)"
