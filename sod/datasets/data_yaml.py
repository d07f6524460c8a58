"""Reads Ultralytics' `data.yaml`: class names, and where the images of each split are.

Source: Ultralytics' data set format. `path` is the root of the paths in `train`, `val` and `test`; each of these is a
folder, a text file with one image per line, or a list of both. Roboflow writes `../train/images` for `train/images`.
`unlabelled` is our own key.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from sod.datasets.errors import DatasetError
from sod.datasets.files import belongs, read_text

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SPLIT_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NOTHING = ("", "~", "null")


@dataclass(frozen=True, slots=True)
class DataYaml:
    """What a data.yaml says.

    Attributes:
        file: its path.
        root: folder that the paths are relative to.
        names: class names by id.
        splits: paths by split, as written.
        unlabelled: names of classes without labels in every image.
        keypoints: whether keypoints follow each box.
    """

    file: Path
    root: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    unlabelled: tuple[str, ...]
    keypoints: bool

    def resolve(self, entry: str) -> Path:
        """The folder or file that an entry of a split names.

        Raises:
            DatasetError: there is none.
        """
        written = Path(entry.replace("\\", "/"))
        inside = Path(*[part for part in written.parts if part != ".."]) if not written.is_absolute() else written
        places = [self.root / written, self.file.parent / written, self.root / inside]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise DatasetError(f"{self.file} names {entry}, and there is no folder or file {places[0]}")
        return found


def find_data_yaml(folder: Path) -> Path | None:
    """The data.yaml of a folder, under its customary names or as the only YAML file that has `names` at its top."""
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    others = [f for f in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if belongs(f, folder)]
    naming = [f for f in others if any(line.startswith("names:") for line in read_text(f).splitlines())]
    return naming[0] if len(naming) == 1 else None


def read_data_yaml(file: Path) -> DataYaml:
    """Read a data.yaml.

    Raises:
        DatasetError: it is not valid YAML, or its names, class ids or paths cannot be used.
    """
    document = _load(file)
    root = file.parent / str(document.get("path") or "")
    splits = {
        split: _strings(next((document[key] for key in keys if key in document), None), file, split)
        for split, keys in _SPLIT_KEYS.items()
    }
    return DataYaml(
        file,
        root if root.is_dir() else file.parent,
        _class_names(document, file),
        {split: entries for split, entries in splits.items() if entries},
        _strings(document.get("unlabelled"), file, "unlabelled"),
        "kpt_shape" in document,
    )


def _load(file: Path) -> dict[str, object]:
    """The document with every scalar as text, so that the class `no` is no truth value and the key '2' equals 2."""
    loader = yaml.BaseLoader(read_text(file))
    try:
        node = loader.get_single_node()
        _check_keys(node, file)
        document = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise DatasetError(f"{where} is not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        raise DatasetError(f"{file} must be a mapping with the keys names, train and val")
    return document


def _check_keys(node: yaml.Node | None, file: Path) -> None:
    """Refuse keys that a mapping has twice, of which YAML takes the last one."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise DatasetError(f"{file}:{key.start_mark.line + 1} gives {key.value!r} more than once")
        if isinstance(key, yaml.ScalarNode):
            seen.add(key.value)
        _check_keys(value, file)


def _strings(value: object, file: Path, key: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = [v for v in values if v is not None and v not in _NOTHING]
    if not all(isinstance(v, str) for v in texts):
        raise DatasetError(f"{file}: {key} must be a text or a list of texts, not {value}")
    return tuple(str(v) for v in texts)


def _class_names(document: dict[str, object], file: Path) -> tuple[str, ...]:
    """The class names in the numeric order of their ids."""
    names = document.get("names")
    if isinstance(names, dict):
        try:
            by_id = {int(key): name for key, name in names.items()}
        except ValueError:
            wrong = next(key for key in names if not str(key).strip().lstrip("-").isdecimal())
            raise DatasetError(f"{file}: the keys of names must be class ids, and {wrong!r} is not a number") from None
        if len(by_id) != len(names):
            raise DatasetError(f"{file}: names gives a class id more than once ({', '.join(map(str, names))})")
        if missing := [str(i) for i in range(max(by_id, default=-1) + 1) if i not in by_id]:
            raise DatasetError(f"{file}: names has no class {', '.join(missing)}: name every id from 0 on")
        if by_id and min(by_id) < 0:
            raise DatasetError(f"{file}: names has the class id {min(by_id)}: ids begin with 0")
        names = [by_id[key] for key in sorted(by_id)]
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{file} has no names: list the classes by id, as names: [car, van, …]")
    if not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{file}: each name must be a text, not a list or a mapping")
    count = document.get("nc")
    if isinstance(count, str) and count.strip().isdecimal() and int(count) != len(names):
        raise DatasetError(f"{file}: nc is {count}, but names has {len(names)} classes")
    return tuple(str(name) for name in names)
