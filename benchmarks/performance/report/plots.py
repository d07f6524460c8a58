"""Plots of the results: latency over throughput, time of the stages, memory over time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS
from benchmarks.performance.report.figures import median, middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which people with colour vision deficiency can distinguish.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = {"ensemble": "o", "gateway": "s", "gateway, overlay": "^", "PaddleX": "D", "PaddleX, overlay": "v"}
_WIDTH, _DPI = 9.0, 150


def draw(model: str, results: dict[str, Any], out: Path) -> list[str]:
    """Draw the sections that were measured.

    Args:
        model: name of the model.
        results: its results by section.
        out: folder of the files.

    Returns:
        Names of the files.
    """
    drawn = []
    for name, make in (("load", _latency), ("stages", _stages), ("soak", _memory)):
        if results.get(name):
            file = f"{model}-{name}.png"
            _save(make(model, results[name]), out / file)
            drawn.append(file)
    return drawn


def _latency(model: str, load: dict[str, Any]) -> "Figure":
    """One panel for each profile: median latency over throughput, one point for each concurrency."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415

    profiles = load["profiles"]
    figure, panels = _figure(len(profiles), height=3.9)
    for axes, (profile, of_profile) in zip(panels, profiles.items(), strict=True):
        sides = [(of_profile["clients"], client) for client in of_profile["clients"]]
        if load["paddlex"]:
            sides += [(load["paddlex"]["clients"], client) for client in load["paddlex"]["clients"]]
        sides.sort(key=lambda side: list(_MARKERS).index(side[1]))
        for (clients, client), colour in zip(sides, _COLOURS, strict=False):
            concurrency = sorted(map(int, clients[client]))
            xs, ys = ([middle(clients, client, count, name) for count in concurrency] for name in ("throughput", "p50"))
            axes.plot(xs, ys, marker=_MARKERS[client], color=colour, label=client, markersize=5, linewidth=1.3)
            if client == "ensemble":
                for x, y, count in zip(xs, ys, concurrency, strict=True):
                    axes.annotate(
                        str(count), (x, y), textcoords="offset points", xytext=(6, 4), fontsize=7, color=colour
                    )
        limit = median([value for lap in of_profile["engine_only"]["throughput"].values() for value in lap])
        axes.axvline(limit, color="#555555", linestyle="--", linewidth=1)
        axes.text(
            limit,
            0.99,
            "engine ",
            ha="right",
            transform=axes.get_xaxis_transform(),
            va="top",
            fontsize=7,
            color="#555555",
        )
        axes.set_title(f"{profile} ({of_profile['precision']})", fontsize=9)
        axes.set_xlabel("images a second")
        axes.set_xlim(0, 1.08 * axes.get_xlim()[1])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", alpha=0.25, linewidth=0.6)
    panels[0].set_ylabel("latency, median, ms")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    figure.suptitle(f"{model}: latency over throughput; the numbers are concurrent clients", fontsize=10)
    return figure


def _stages(model: str, stages: dict[str, Any]) -> "Figure":
    """One bar for each profile and concurrency, divided into the stages of a request."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    figure, panels = _figure(2, height=0.9 + 0.55 * max(len(stages["profiles"]), 2))
    names: dict[str, str] = {}
    for axes, concurrency in zip(panels, (LATENCY_CLIENTS, LOAD_CLIENTS), strict=True):
        for row, by_clients in enumerate(stages["profiles"].values()):
            left = 0.0
            for stage, ms in by_clients.get(str(concurrency), {}).items():
                label = "detector" if stage.endswith("_detector") else stage.split("_")[0]
                colour = names.setdefault(label, _COLOURS[len(names) % len(_COLOURS)])
                axes.barh(row, ms, left=left, color=colour, height=0.6, edgecolor="white", linewidth=0.5)
                if ms > 0.08 * sum(by_clients[str(concurrency)].values()):
                    axes.text(left + ms / 2, row, f"{ms:.0f}", ha="center", va="center", color="white", fontsize=8)
                left += ms
        axes.set_yticks(
            range(len(stages["profiles"])), list(stages["profiles"]) if concurrency == LATENCY_CLIENTS else []
        )
        axes.invert_yaxis()
        axes.set_xlabel("ms, median")
        axes.set_title(f"{concurrency} client{'s' if concurrency > 1 else ''}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    bars = [Rectangle((0, 0), 1, 1, color=colour) for colour in names.values()]
    figure.legend(bars, list(names), loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    figure.suptitle(f"{model}: where a request spends its time in Triton", fontsize=10)
    return figure


def _memory(model: str, soak: dict[str, Any]) -> "Figure":
    figure, (axes,) = _figure(1, height=3.0)
    minutes = [index / 60 for index in range(len(soak["mib"]))]
    axes.plot(minutes, soak["mib"], color=_COLOURS[0], linewidth=1.2)
    axes.set_ylim(0, 1.15 * max(soak["mib"], default=1))
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident memory, MiB")
    axes.grid(visible=True, alpha=0.25, linewidth=0.6)
    figure.suptitle(f"{model}, {soak['profile']}: memory under load, {LOAD_CLIENTS} clients with overlay", fontsize=10)
    return figure


def _figure(panels: int, height: float) -> "tuple[Figure, list[Axes]]":
    import matplotlib as mpl  # noqa: PLC0415 - a second to load

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    width = min(_WIDTH, 3.6 * panels) if panels > 1 else 0.75 * _WIDTH
    size = (max(width, 3.1 * panels), height)
    figure, axes = plt.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)
    return figure, list(axes[0])


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
