"""Loads the ensembles into a started Triton, each with the SHA-256 of its weights in its configuration.

The command line of `tritonserver` loads the stages. The ensembles come by the model control API, because only that
takes a configuration with something that no config.pbtxt has. So none is ready before the hash is known.
"""

import compileall
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from server.errors import ServerError
from server.repository import Ensemble, read_served_config, weights_of
from server.triton.api import TritonApi, TritonApiError
from sod.formats.weights import Stamp, sha256, stamp
from sod.interface import WEIGHTS_SHA256


class EnsembleLoader:
    """The ensembles that one start of Triton has to load.

    Args:
        api: of Triton.
        repository: model repository.
        profile: `--model-config-name`.
        ensembles: what to load, in order; their stages are loaded by the command line.
    """

    def __init__(self, api: TritonApi, repository: Path, profile: str, ensembles: Sequence[Ensemble]) -> None:
        self._api = api
        self._repository = repository
        self._profile = profile
        self._pending: Sequence[Ensemble] = ensembles
        # Before Triton reads the files: what has changed when they are hashed is not what it has loaded.
        self._stamps = {one.name: stamp(weights_of(repository, one, profile)) for one in ensembles}
        for stage in dict.fromkeys(stage for one in ensembles for stage in one.stages):
            _compile(repository / stage)

    def load(self) -> None:
        """Load what is not loaded yet; Triton's index says afterwards what has failed.

        An ensemble with a stage that is not ready is left out, because Triton would try to load that stage again.

        Raises:
            TritonApiError: Triton does not answer.
        """
        if not self._pending:
            return
        ready = {state.name for state in self._api.models() if state.ready}
        for ensemble in self._pending:
            if ready.issuperset(ensemble.stages):
                with suppress(TritonApiError):
                    self._load(ensemble)
                    if ensemble.pixel_entrance:
                        self._api.load(ensemble.pixel_entrance)
        self._pending = []

    def _load(self, ensemble: Ensemble) -> None:
        config = self._config(ensemble)
        if config is None:
            self._api.load(ensemble.name)
            return
        try:
            self._api.load(ensemble.name, config)
        except TritonApiError:  # whatever Triton has against it: the model is served, and its hash is not known
            self._api.load(ensemble.name)

    def _config(self, ensemble: Ensemble) -> str | None:
        """The configuration with the hash, as JSON; None if the hash is not known."""
        files = weights_of(self._repository, ensemble, self._profile)
        before = self._stamps[ensemble.name]
        digest = None if before is None else _sha256(files, before)
        if digest is None or stamp(files) != before:
            return None
        try:
            config = MessageToDict(
                read_served_config(self._repository, ensemble.name, self._profile), preserving_proto_field_name=True
            )
        except ServerError:
            return None
        config.setdefault("parameters", {})[WEIGHTS_SHA256] = {"string_value": json.dumps(digest)}
        return json.dumps(config)


@lru_cache(maxsize=64)
def _sha256(files: tuple[Path, ...], _stamp: Stamp) -> str | None:
    """As `sha256`; restarts of Triton do not read files again that have not changed."""
    return sha256(files)


def _compile(stage: Path) -> None:
    """Write the byte code of a Python stage's module, as the stage itself would, unless it is there.

    Triton loads a stage again, with the ensemble, if something was written to its folder since it was loaded. The stage
    writes byte code whatever PYTHONDONTWRITEBYTECODE says, because its Python ignores the environment. What is there is
    not written again: another server may be loading the same folder.
    """
    for path in stage.glob("[0-9]*/model.py"):
        compileall.compile_file(path, quiet=2)
