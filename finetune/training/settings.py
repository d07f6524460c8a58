"""What a training is begun with; kept beside its checkpoint, so that it goes on as it began."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from finetune.errors import FinetuneError


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `python -m finetune`.

    Attributes:
        name: of the model that comes out.
        variant: a key of `finetune.paddledet.model.SHAPES`.
        base: path of the weights to begin from, .onnx or .pdparams.
        base_names: their classes by id; None if they are not known.
        size: px of a side of a crop, a multiple of 32, at most 640.
        batch: images of a step.
        steps: of the whole training.
        rate: the learning rate at its peak.
        turn: whether up may be down: images seen from straight above.
        plain: crops are neither scaled, turned nor recoloured.
        report: steps between lines of the log.
        evaluate: steps between looks at the held-out images.
        save: steps between checkpoints.
        seed: of everything that is drawn.
        data: SHA-256 of `data.json`.
    """

    name: str
    variant: str
    base: str
    base_names: tuple[str, ...] | None
    size: int
    batch: int
    steps: int
    rate: float
    turn: bool
    plain: bool
    report: int
    evaluate: int
    save: int
    seed: int
    data: str

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Read what `write` wrote; FinetuneError if it is something else."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            names = document["base_names"]
            return cls(**{**document, "base_names": None if names is None else tuple(names)})
        except (OSError, ValueError, TypeError, KeyError) as error:
            msg = f"{path} is not a training's settings ({error}): give another OUT"
            raise FinetuneError(msg) from None

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def differences(self, other: "Settings") -> list[str]:
        """What differs, for people: `batch (8, now 4)`."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return [
            "the data" if name == "data" else f"{name} ({mine}, now {theirs})"
            for name, mine, theirs in pairs
            if mine != theirs
        ]
