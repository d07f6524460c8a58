"""Archives: a model is unpacked from any folder; unsafe and damaged archives are rejected and leave no files."""

import gzip
import tarfile
from pathlib import Path

import pytest

from export.errors import ExportError
from export.hub import archive
from export.hub.archive import ArchiveLimits, unpack
from tests.export.hub.tars import FILES, entry, model_tar, tar

MODEL = [entry(name, content) for name, content in FILES.items()]


def unpacked(path: Path, content: bytes, limits: ArchiveLimits = archive.DEFAULT_ARCHIVE_LIMITS) -> Path:
    (path / "a.tar").write_bytes(content)
    return unpack(path / "a.tar", path / "out", "a.tar", limits)


def unpack_error(path: Path, content: bytes, limits: ArchiveLimits = archive.DEFAULT_ARCHIVE_LIMITS) -> str:
    with pytest.raises(ExportError) as caught:
        unpacked(path, content, limits)
    return str(caught.value)


@pytest.mark.parametrize("folder", ["", "./", "m_infer/", "./m_infer/", "a/b/c/"])
def test_the_model_is_found_in_any_folder(tmp_path: Path, folder: str) -> None:
    directory = unpacked(tmp_path, model_tar(folder))
    assert directory == tmp_path / "out" / folder
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == FILES


def test_a_program_in_paddle_2_form(tmp_path: Path) -> None:
    content = tar([entry("m/inference.pdmodel", b"x"), *(entry(f"m/{i.name}", c) for i, c in MODEL[1:])])
    assert sorted(path.name for path in unpacked(tmp_path, content).iterdir()) == [
        "inference.pdiparams",
        "inference.pdmodel",
        "inference.yml",
    ]


def test_permissions_of_the_archive_are_not_applied(tmp_path: Path) -> None:
    info, content = entry("inference.json", b"{}")
    info.mode, info.uid = 0o6777, 12345
    file = unpacked(tmp_path, tar([(info, content), *MODEL[1:]])) / "inference.json"
    assert file.stat().st_mode & 0o7022 == 0


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (entry("../evil", b"x"), "'../evil' points outside the archive"),
        (entry("m/../../evil", b"x"), "points outside the archive"),
        (entry("/tmp/evil", b"x"), "is an absolute path"),
        (entry("link", kind=tarfile.SYMTYPE, link="/etc/passwd"), "'link' is neither a plain file nor a directory"),
        (entry("link", kind=tarfile.SYMTYPE, link="inference.yml"), "neither a plain file"),
        (entry("link", kind=tarfile.LNKTYPE, link="inference.yml"), "neither a plain file"),
        (entry("tty", kind=tarfile.CHRTYPE), "neither a plain file"),
        (entry("disk", kind=tarfile.BLKTYPE), "neither a plain file"),
        (entry("pipe", kind=tarfile.FIFOTYPE), "neither a plain file"),
        (entry("odd", kind=b"Z"), "neither a plain file"),
        (entry("inference.yml", b"again"), "'inference.yml' occurs twice"),
        (entry("./inference.yml", b"again"), "occurs twice"),
        (entry("a\x1b[31mb", b"x"), "is not a printable name"),
        (entry("a\udcffb", b"x"), "is not a printable name"),
    ],
)
def test_unsafe_members(tmp_path: Path, evil: tuple[tarfile.TarInfo, bytes], said: str) -> None:
    message = unpack_error(tmp_path, tar([*MODEL, evil]))
    assert message.startswith("a.tar is not safe to unpack: ")
    assert said in message
    assert message.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_limits(tmp_path: Path) -> None:
    content = model_tar("")
    assert unpack_error(tmp_path, content, ArchiveLimits(total_bytes=1 << 18)).endswith("it contains more than 0 MiB")
    assert unpack_error(tmp_path, content, ArchiveLimits(members=2)).endswith("it contains more than 2 members")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    unpacked(tmp_path, content, ArchiveLimits(total_bytes=sum(map(len, FILES.values())), members=3))


def test_a_claim_of_a_huge_size(tmp_path: Path) -> None:
    info, _ = entry("inference.pdiparams")
    info.size = 50 << 30
    assert unpack_error(tmp_path, info.tobuf() + bytes(1024)).endswith("it contains more than 2048 MiB")


def test_a_sparse_bomb(tmp_path: Path) -> None:
    """Half a kilobyte that unpacks to 100 GiB: GNU's sparse form, which tarfile supports."""
    info, _ = entry("inference.pdiparams", kind=tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (100 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert "is neither a plain file" in unpack_error(tmp_path, bytes(header) + bytes(1024))


def test_a_negative_size(tmp_path: Path) -> None:
    """Before Python 3.11.14 tarfile reads such a member for ever (CVE-2025-8194)."""
    info, _ = entry("inference.json")
    info.size = -1024
    message = unpack_error(tmp_path, MODEL[0][0].tobuf() + bytes(512) + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    # Either tarfile or our own check rejects it, depending on the version of Python.
    assert message.startswith("a.tar is ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    ("length", "said"),
    [
        *((length, "is damaged or not a tar archive (truncated header)") for length in (1, 100, 511)),
        *((length, "contains no inference.json or inference.pdmodel") for length in (512, 700)),  # a whole header
        *((length, "is damaged or not a tar archive (unexpected end of data)") for length in (1500, 100_000, 150_000)),
    ],
)
def test_a_truncated_archive(tmp_path: Path, length: int, said: str) -> None:
    assert said in unpack_error(tmp_path, model_tar()[:length])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.tar is empty"),
        (b"\n <!DOCTYPE html><html>Please log in</html>", "is not a tar archive but a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "is not a tar archive but a web page"),
        (b"no tar at all " * 100, "is damaged or not a tar archive"),
        (bytes(10_240), "contains no inference.json or inference.pdmodel, no inference.pdiparams, no inference.yml"),
        (gzip.compress(model_tar(), mtime=0), "is damaged or not a tar archive"),
        (tar(MODEL[1:]), "contains no inference.json or inference.pdmodel: not a Paddle"),
        (tar(MODEL[:2]), "contains no inference.yml: not a Paddle"),
        (
            tar([entry(f"{i}/{m.name}", c) for i in "ab" for m, c in MODEL]),
            "contains 2 Paddle inference models, not one",
        ),
        (tar([entry(f"{i}/{m.name}", c) for i, (m, c) in enumerate(MODEL)]), "contains parts of several"),
        (tar([*MODEL, entry("inference.yml/x", b"")]), "cannot be unpacked: "),
    ],
)
def test_an_archive_without_a_model(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in unpack_error(tmp_path, content)


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^a\.tar cannot be read: No such file"):
        unpack(tmp_path / "a.tar", tmp_path / "out", "a.tar")
