"""Build and run the client programs by the commands in clients/README.md's table, and list their requirements."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.required import require

CLIENTS = Path(__file__).parents[3] / "clients"
LIMIT_S = 300

# Language → requirement (a command, or a pattern of files) → the Debian package that contains it.
NEEDS: dict[str, dict[str, str]] = {
    "C++": {
        "g++": "g++",
        "cmake": "cmake",
        "make": "make",
        "pkg-config": "pkg-config",
        "/usr/include/httplib.h": "libcpp-httplib-dev",
        "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
    },
    "Java": {
        "javac": "openjdk-17-jdk-headless",
        "make": "make",
        "/usr/share/java/jackson-databind.jar": "libjackson2-databind-java",
    },
    "Go": {"go": "golang-go"},
    "C#": {
        "mcs": "mono-mcs",
        "mono": "mono-runtime",
        "/usr/lib/mono/gac/System.Net.Http": "libmono-system-net-http4.0-cil",
        "/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll": "libnewtonsoft-json5.0-cil",
    },
    "Node": {"node": "nodejs"},
    "PHP": {"php": "php-cli", "/usr/lib/php/*/curl.so": "php-curl"},
    "Python": {"requests": "python3-requests"},
}
LANGUAGES = tuple(NEEDS)


@dataclass(frozen=True)
class Row:
    """A language in the table of clients/README.md."""

    folder: Path
    packages: list[str]
    build: str
    run: str


@dataclass(frozen=True)
class Program:
    """A built program in a folder of its own."""

    language: str
    folder: Path
    command: str

    def trusting(self, authority: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it as its README says for a server whose certificate is signed by this authority."""
        line = re.search(
            r"^- https:// with .+?: (`.+)$", (rows()[self.language].folder / "README.md").read_text(), re.M
        )
        assert line, self.language
        *preparations, run = re.findall(r"`([^`]+)`", line[1].partition(" …`")[0] + "`")
        shutil.copy(authority, self.folder / "ca.pem")
        done = subprocess.run(
            " && ".join([*preparations, f"{run} {shlex.join(map(str, arguments))} 2>&1"]),
            shell=True,
            cwd=self.folder,
            env=_environment(HOME=str(self.folder)),
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )
        assert run.endswith(self.command.rpartition(" ")[2]), f"{run}: it is another program"
        return done

    def __call__(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it with these arguments and environment variables."""
        words = [*self.command.split(), *map(str, arguments)]
        return subprocess.run(
            words,
            cwd=self.folder,
            env=_environment(**environment),
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )


def rows() -> dict[str, Row]:
    """The table, by language."""
    found = {}
    for line in (CLIENTS / "README.md").read_text().splitlines():
        if match := re.fullmatch(r"\| \[(.+)\]\((.+)/README.md\) \| `(.+?)` \| (?:`(.+)` )?\| `(.+)` \|", line):
            language, folder, packages, build, run = match.groups()
            found[language] = Row(CLIENTS / folder, packages.split(), build or "", run)
    return found


def missing(language: str) -> list[str]:
    """The Debian packages with the requirements that are missing."""
    return [package for thing, package in NEEDS[language].items() if not _is_here(language, thing)]


def build(language: str, folder: Path) -> Program:
    """Build a copy of the program in `folder`; skips the test where the toolchain is absent, or fails with CI=true."""
    packages = missing(language)
    require(not packages, f"{language} cannot be built: apt-get install {' '.join(packages)}")
    row = rows()[language]
    # Leave out what a developer has built in the checkout.
    shutil.copytree(
        row.folder, folder, ignore=shutil.ignore_patterns("build", "target", "bin", "obj", "*.jar", "*.exe")
    )
    built = subprocess.run(
        row.build,
        shell=True,  # the command in the README
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )
    assert built.returncode == 0, f"{row.build}: {built.stdout}"
    return Program(language, folder, row.run)


def _is_here(language: str, thing: str) -> bool:
    if language == "Python":
        return importlib.util.find_spec(thing) is not None
    if thing.startswith("/"):
        return any(Path("/").glob(thing[1:]))
    return shutil.which(thing) is not None


def _environment(**changes: str) -> dict[str, str]:
    """An environment without the variables that clients read, with this Python first and decimal commas."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("SOD_API_KEY", "SOD_TIMEOUT"):
        kept.pop(name, None)
    # `python3` must be the interpreter that runs the tests, since it has the package requests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", **changes}
