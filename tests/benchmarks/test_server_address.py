"""Every command that asks a running server takes its address from SOD_URL, unless --url is given."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gateway_overhead, overload, sdk_throughput
from benchmarks.evaluation import cli as evaluation
from finetune import unoccluded_recall
from tests.clients.conftest import jpeg

Main = Callable[[list[str]], int]
COMMANDS: list[tuple[Main, list[str]]] = [
    (evaluation.main, ["instances.json", "--images", "."]),
    (gateway_overhead.main, ["street.jpg"]),
    (overload.main, []),
    (sdk_throughput.main, ["--count", "1", "--rounds", "1"]),
    (unoccluded_recall.main, ["street.jpg", "street.txt"]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0].__module__)
def test_the_address_of_the_environment_is_asked(
    command: tuple[Main, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free_ports: Callable[[int], list[int]],
) -> None:
    main, words = command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sod_client._transport.retry.FIRST_PAUSE_S", 0.001)
    Path("street.jpg").write_bytes(jpeg())
    Path("street.txt").write_text("1,1,9,9,1,4,0,0\n")
    Path("instances.json").write_text(
        '{"images": [{"id": 1, "file_name": "street.jpg", "width": 64, "height": 48}],'
        ' "categories": [{"id": 1, "name": "car"}],'
        ' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}]}'
    )
    own, given = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    monkeypatch.setenv("SOD_URL", own)
    for options, asked in (([], own), (["--url", given], given)):
        assert main([*words, *options]) != 0
        said = capsys.readouterr()
        assert asked in said.err, said
        assert "Traceback" not in said.err
