"""Settings of a short training, for the tests of several packages."""

from finetune.training.settings import Settings

SETTINGS = Settings(
    name="mine", variant="demo", base="model.onnx", base_names=("car",), size=320, batch=4, steps=60, rate=1e-3,
    turn=False, plain=False, report=1, evaluate=10, save=10, seed=1, data="0" * 64,
)  # fmt: skip
