"""Seeded damage to bytes: the same seed makes the same bytes, so a finding is named by its seed."""

import os
import random
import time
from collections.abc import Iterator

_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


def seeds(examples: int) -> Iterator[int]:
    """Seeds of one fuzzing run: `examples` of them, or as many as `SOD_FUZZ_SECONDS` allows (`make fuzz`).

    `SOD_FUZZ_SEED` is the first one: give it that of a failure to see it again.
    """
    first = int(os.environ.get("SOD_FUZZ_SEED", "0"))
    seconds = float(os.environ.get("SOD_FUZZ_SECONDS", "0"))
    until = time.monotonic() + seconds
    seed = first
    while seed < first + examples or time.monotonic() < until:
        yield seed
        seed += 1


def mutate(data: bytes, rng: random.Random, *, most: int = 6) -> bytes:
    """Damage `data` in one to `most` places."""
    result = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not result:
            break
        _CHANGES[rng.randrange(len(_CHANGES))](result, rng)
    return bytes(result)


def split(data: bytes, rng: random.Random) -> list[bytes]:
    """`data` in up to eight pieces."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 7)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]


def _flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _write_number(data: bytearray, rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(_EXTREMES) % (1 << 8 * size)
    position = rng.randrange(len(data))
    data[position : position + size] = number.to_bytes(size, rng.choice(("big", "little")))


def _remove(data: bytearray, rng: random.Random) -> None:
    position = rng.randrange(len(data))
    del data[position : position + rng.randint(1, 32)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    position = rng.randrange(len(data))
    piece = data[position : position + rng.randint(1, 64)]
    data[position:position] = piece * rng.randint(1, 50)


def _insert(data: bytearray, rng: random.Random) -> None:
    position = rng.randrange(len(data))
    data[position:position] = rng.randbytes(rng.randint(1, 16))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


_CHANGES = (_flip, _replace, _write_number, _write_number, _remove, _repeat, _insert, _cut)
