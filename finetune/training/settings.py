"""The settings of a training, stored beside its checkpoint so that it is resumed with the same ones."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from finetune.errors import FinetuneError

_INTERVALS = ("report", "evaluate", "save")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `python -m finetune`.

    Attributes:
        name: name of the trained model.
        variant: a key of `finetune.variants.VARIANTS`.
        base: path of the pretrained weights, .onnx or .pdparams.
        base_names: the classes of those weights by id; None if they are not known.
        size: width and height of the training crops in px, a multiple of 32, at most 640.
        batch: images per step.
        steps: length of the whole training.
        rate: peak learning rate.
        turn: whether to augment with vertical flips and transposition, for images taken from straight above.
        plain: train without scaling, flips and colour changes.
        report: steps between two lines of the log.
        evaluate: steps between two evaluations on the validation images.
        save: steps between two checkpoints.
        seed: seed of all random choices.
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
        """Read a file that `write` wrote.

        Raises:
            FinetuneError: the file is missing or holds something else.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            names = document["base_names"]
            return cls(**{**document, "base_names": None if names is None else tuple(names)})
        except (OSError, ValueError, TypeError, KeyError) as error:
            msg = f"{path} does not hold the settings of a training ({error}): choose another OUT"
            raise FinetuneError(msg) from None

    def write(self, path: Path) -> None:
        """Write the settings as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def differences(self, other: "Settings") -> list[str]:
        """The settings that differ, as text for people: `batch (8, now 4)`.

        A longer training is none of them: it prolongs this one, and its intervals follow from its length.
        """
        longer = ("steps", *_INTERVALS) if other.steps > self.steps else ()
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.name not in longer)
        return [
            "the data" if name == "data" else f"{name} ({mine}, now {theirs})"
            for name, mine, theirs in pairs
            if mine != theirs
        ]
