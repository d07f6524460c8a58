"""The settings and attributes that `Pipeline` and `AsyncPipeline` share."""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sod_client._calls.keywords import NoKeywords, nearest, refuse_unknown
from sod_client._calls.session import Session
from sod_client._config import PIPELINE
from sod_client._thresholds import ClassKey, Threshold, check_threshold
from sod_client.errors import SodError

if TYPE_CHECKING:
    from typing import Unpack  # since Python 3.11


def settings() -> list[str]:
    """The names of the arguments of `create_pipeline`."""
    return [name for name in inspect.signature(PipelineBase).parameters if name != "unknown"]


class PipelineBase:
    """The attributes that both pipelines share; the arguments are those of `create_pipeline`."""

    def __init__(  # noqa: PLR0913 - the user's settings, by name
        self,
        pipeline: str | os.PathLike[str] | None = PIPELINE,
        *,
        config: Mapping[str, Any] | None = None,
        device: str | None = None,
        engine: str | None = None,
        engine_config: Mapping[str, Any] | None = None,
        pp_option: object = None,
        use_hpip: bool | None = None,
        hpi_config: object = None,
        url: str | None = None,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 300.0,
        retries: int = 3,
        max_in_flight: int = 4,
        ca_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        **unknown: "Unpack[NoKeywords]",
    ) -> None:
        refuse_unknown("create_pipeline", settings(), unknown)
        self._session = Session(
            pipeline,
            config=config,
            device=device,
            use_hpip=use_hpip,
            url=url,
            model=model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            max_in_flight=max_in_flight,
            ca_file=ca_file,
            insecure=insecure,
            paddlex_options={
                "engine": engine,
                "engine_config": engine_config,
                "pp_option": pp_option,
                "hpi_config": hpi_config,
            },
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; the copy connects to the same server, also to a local one, which ends with this one."""
        return _restore, (type(self), self._session.arguments())

    @property
    def url(self) -> str | None:
        """The server's address, without slashes at its end; None before a local server was started."""
        return self._session.url

    @property
    def model(self) -> str | None:
        """Name of the model that is used; None is the server's default. A `model_dir` has one once it is served."""
        return self._session.model

    @property
    def threshold(self) -> float | dict[ClassKey, float] | None:
        """The threshold of calls that pass none, from the pipeline file or set; None is the model's default."""
        return self._session.threshold

    @threshold.setter
    def threshold(self, threshold: Threshold | None) -> None:
        self._session.threshold = check_threshold(threshold)

    def __setattr__(self, name: str, value: object) -> None:
        """Set `threshold`; any other attribute is an AttributeError, because it would have no effect.

        Raises:
            AttributeError: the attribute does not exist, or is set by `create_pipeline` only.
        """
        if name == "threshold" or name.startswith("_"):
            super().__setattr__(name, value)
            return
        known = settings()
        if name in known:
            raise AttributeError(f"{name} cannot be changed afterwards: pass {name}= to create_pipeline")
        raise AttributeError(f"a pipeline has no setting {name!r}; {nearest(name, ['threshold', *known])}")

    @property
    def device(self) -> str | None:
        """The device as passed."""
        return self._session.device

    @property
    def use_hpip(self) -> bool | None:
        """The value as passed, or else that of the pipeline file."""
        return self._session.use_hpip

    @property
    def errors(self) -> Sequence[SodError]:
        """The errors of images that the last call skipped (`on_error`), in the input's order; at most the last 1000."""
        return tuple(self._session.errors)


def _restore(kind: type[PipelineBase], arguments: dict[str, Any]) -> PipelineBase:
    return kind(**arguments)
