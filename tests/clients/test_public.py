"""The public interface, the examples of the documentation, and the table of PaddleX's interface."""

import ast
import asyncio
import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sod_client
from sod_client import AsyncPipeline, Pipeline, Result, create_pipeline, errors

import sod
from tests.clients.conftest import SUCCESS, FakeServer, jpeg

ROOT = Path(__file__).parents[2]
PACKAGE = Path(str(sod_client.__file__)).parent
TABLE = ROOT / "docs" / "paddlex-compat.md"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)


def test_all_is_sorted_and_complete() -> None:
    assert sod_client.__all__ == sorted(sod_client.__all__)
    public = {
        name for name, value in vars(sod_client).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(sod_client.__all__)
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds <= set(sod_client.__all__)


def test_the_surface() -> None:
    """Whoever adds or removes a public name must change this test."""
    assert {name for name in dir(Pipeline) if not name.startswith("_")} == {
        "close", "device", "errors", "model", "models", "open", "predict", "threshold", "url", "use_hpip",
        "watch"
    }  # fmt: skip
    assert {name for name in vars(AsyncPipeline) if not name.startswith("_")} == {"close", "models", "predict", "watch"}
    assert {name for name in vars(Result) if not name.startswith("_")} == {
        "boxes", "img", "input_path", "json", "page_index", "print", "save_all", "save_to_geojson",
        "save_to_geopackage", "save_to_img", "save_to_json", "size",
        "str", "to_coco", "to_csv", "to_pandas", "to_supervision", "to_yolo"
    }  # fmt: skip


def test_the_three_constructors_take_the_same() -> None:
    wanted = inspect.signature(create_pipeline).parameters
    for kind in (Pipeline, AsyncPipeline):
        assert dict(inspect.signature(kind).parameters) == dict(wanted)
    of_async = inspect.signature(AsyncPipeline.predict).parameters
    of_sync = inspect.signature(Pipeline.predict).parameters
    assert [(p.name, p.kind, p.default) for p in of_async.values()] == [
        (p.name, p.kind, p.default) for p in of_sync.values()
    ]


def test_the_client_and_the_server_have_one_version() -> None:
    """Each package states its version once, and pyproject.toml reads it from there."""
    assert sod_client.__version__ == sod.__version__
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "sod_client.__version__"}


def test_it_is_typed_and_its_exceptions_tree_is_drawn() -> None:
    assert (PACKAGE / "py.typed").is_file()
    drawn = re.findall(r"^[│ ]*[├└]── (\w+)", str(errors.__doc__), re.MULTILINE)
    kinds = [name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")]
    assert sorted([*drawn, "SodError"]) == sorted(kinds)


def test_every_public_thing_is_documented() -> None:
    for name in sod_client.__all__:
        thing = getattr(sod_client, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


def test_a_client_alone_imports_no_server_and_nothing_large() -> None:
    """Only what pyproject.toml declares is needed to import the package."""
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import sod_client, sod_client.cli
"""
    blocked = {"numpy", "cv2", "tritonclient", "grpc", "pypdfium2", "pandas", "rasterio", "supervision", "av"}
    blocked |= {"pyarrow", "fsspec", "ray"}
    blocked |= {"sod", "server", "gateway", "export"}
    done = subprocess.run(
        [sys.executable, "-c", program.replace("{blocked}", repr(blocked))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    whole = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())
    project = whole["project"]
    assert all((folder / "__init__.py").is_file() for folder in {path.parent for path in PACKAGE.rglob("*.py")})
    assert whole["tool"]["setuptools"]["packages"]["find"]["include"] == ["sod_client*"]
    assert [re.split(r"[><=]", each)[0] for each in project["dependencies"]] == [
        "argcomplete", "httpx", "pillow", "pyyaml", "tqdm"
    ]  # fmt: skip
    assert sorted(project["optional-dependencies"]) == [
        "batch",
        "geo",
        "grpc",
        "heic",
        "pandas",
        "pdf",
        "ray",
        "s3",
        "stretch",
        "supervision",
        "triton-http",
        "video",
    ]


@pytest.fixture
def _example(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples use: `server`, and street.jpg with one car in it."""
    car = {"bbox": [1, 2, 3, 4], "categoryId": 3, "categoryName": "car", "score": 0.75}
    result = {"detectedObjects": [car], "image": SUCCESS["result"]["image"]}
    server.respond_with(200, {**SUCCESS, "result": result})
    (tmp_path / "street.jpg").write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOD_URL", server.url)


@pytest.mark.usefixtures("_example")
@pytest.mark.parametrize("name", MODULES)
def test_the_docstrings_examples_run(name: str, server: FakeServer) -> None:
    if name.startswith(("_scenes.", "_inputs.rasters.")):
        pytest.importorskip("rasterio", reason="rasterio is not installed")
    module = importlib.import_module(f"sod_client.{name}")
    names = {**vars(sod_client), **vars(module), "server": server.url, "asyncio": asyncio}
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    for found in doctest.DocTestFinder(exclude_empty=True).find(module, globs=names):
        runner.run(found)
    assert runner.failures == 0


@pytest.mark.parametrize(("name", "least"), [("pipeline", 7), ("result", 6)])
def test_there_are_examples(name: str, least: int) -> None:
    module = importlib.import_module(f"sod_client.{name}")
    assert sum(len(found.examples) for found in doctest.DocTestFinder().find(module)) >= least


@pytest.mark.usefixtures("_example")
@pytest.mark.parametrize("number", range(3))
def test_the_readmes_programs_run(number: int, tmp_path: Path) -> None:
    text = (ROOT / "clients/python/README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) == 3, "count them in this test"
    (tmp_path / "img.jpg").write_bytes(jpeg())
    exec(compile(programs[number], "README.md", "exec"), {})
    if number == 0:
        assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["img_res.jpg", "img_res.json"]
        assert json.loads((tmp_path / "output/img_res.json").read_text())["input_path"] == "img.jpg"


# The table of PaddleX's interface


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("`"))
def test_every_test_that_the_table_names_exists(row: list[str]) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row[-1])
    assert named, f"{row[0]} names no test"
    for file, test in named:
        assert test in functions_of(ROOT / "tests" / file), f"{row[0]}: {file} has no {test}"


# The names in PaddleX 3.7.2, read from its source.
PADDLEX: dict[str, list[str]] = {
    "create_pipeline": [
        "pipeline", "config", "device", "engine", "engine_config", "pp_option", "use_hpip", "hpi_config"
    ],
    "pipeline": ["predict", "__call__", "close", "device", "use_hpip", "threshold"],
    "predict": ["input", "threshold", "batch_size"],
    "result": [
        "input_path", "page_index", "boxes", "input_img", "json", "str", "img", "print", "save_to_json", "save_to_img",
        "save_all"
    ],
    "print": ["json_format", "indent", "ensure_ascii"],
    "save_to_json": ["save_path", "indent", "ensure_ascii"],
    "save_to_img": ["save_path"],
}  # fmt: skip


# The options of its command, except those that belong to --install and --paddle2onnx.
PADDLEX_OPTIONS = [
    "--pipeline", "--input", "--save_path", "--threshold", "--device", "--use_hpip", "--engine", "--hpi_config",
    "--get_pipeline_config", "--serve", "--host", "--port", "--paddle2onnx", "--install"
]  # fmt: skip


def test_the_table_has_paddlex_whole_interface() -> None:
    listed = {row[0].strip("`") for row in rows()}
    assert {f"paddlex {option}" for option in PADDLEX_OPTIONS} <= listed
    for owner, names in PADDLEX.items():
        for name in names:
            assert f"{owner}.{name}" in listed
    for name in PADDLEX["create_pipeline"]:
        assert name in inspect.signature(create_pipeline).parameters
    for owner in ("print", "save_to_json", "save_to_img"):
        assert list(inspect.signature(getattr(Result, owner)).parameters)[1:4][: len(PADDLEX[owner])] == PADDLEX[owner]


def test_input_img_is_not_kept(server: FakeServer, street: Path) -> None:
    with create_pipeline(url=server.url) as pipeline:
        result: Any = next(pipeline.predict(street))
    assert "input_img" not in result


def test_names_that_paddlex_never_had_are_refused(server: FakeServer) -> None:
    with pytest.raises(TypeError, match="treshold"):
        create_pipeline(url=server.url).predict("a.jpg", treshold=0.5)  # type: ignore[call-arg]
