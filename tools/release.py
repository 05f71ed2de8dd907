"""Prepare a release: `make release VERSION=x.y.z`.

Writes the version wherever it stands, dates the changelog, builds the wheel and the source archive twice and compares
their bytes. Beside them it writes a bill of materials for each image (CycloneDX), the licences of the packages in them,
and the SHA-256 sums. Commits, tags and uploads nothing: it prints the commands that do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
VERSION = r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?"
# What stands before the version where it stands, by file or folder. pyproject.toml is the one that decides.
IMAGE = r"qtr-(?:server|spark):"
PLACES = {
    "pyproject.toml": r'^version = "',
    "README.md": IMAGE,
    "docs": rf"{IMAGE}|qtr_relevance-",
    "docker": rf"{IMAGE}|^ARG VERSION=",
    "k8s": rf"{IMAGE}|newTag: |app\.kubernetes\.io/version: ",
}
# What each image installs.
LOCKS = {"server": ROOT / "requirements" / "server.lock", "spark": ROOT / "requirements" / "spark.lock"}
REACH_SECONDS = 120


class Place(NamedTuple):
    """A place that states the project's version."""

    file: Path
    start: int
    end: int
    version: str


def main() -> None:
    """Prepare the release that the command line names."""
    parser = argparse.ArgumentParser(prog="make release", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("version", metavar="VERSION", help="such as 0.2.0; the present one changes no file")
    version = parser.parse_args().version
    if not re.fullmatch(VERSION, version):
        parser.error(f"VERSION must look like 0.2.0 or 0.2.0rc1, not {version!r}")
    old = present_version(ROOT)
    if version != old:
        date_changelog(ROOT / "CHANGELOG.md", version, datetime.now(UTC).date())
        changed = set_version(ROOT, version)
        print(f"version {old} -> {version} in {len(changed)} files")
    build_twice()
    for image, lock in LOCKS.items():
        write_sbom(image, lock)
    write_licences()
    audit()
    sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(DIST.iterdir()) if path.is_file())
    (DIST / "SHA256SUMS").write_text(sums)
    print(sums, end="")
    print("To publish:")
    print(f"  git commit -am 'Release {version}' && git tag -s v{version} -m v{version} && git push --follow-tags")
    print("  pipx run twine upload dist/*.whl dist/*.tar.gz && make images")


def present_version(root: Path) -> str:
    """Return the version that `pyproject.toml` states."""
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def places(root: Path) -> list[Place]:
    """Return every place that states the version of the project."""
    found = []
    for name, before in PLACES.items():
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix in {".toml", ".md", ".yaml", ".server", ".spark"}:
                hits = re.finditer(rf"(?m)(?:{before})({VERSION})", file.read_text(encoding="utf-8"))
                found += [Place(file, hit.start(1), hit.end(1), hit[1]) for hit in hits]
    return found


def set_version(root: Path, version: str) -> list[Path]:
    """Write `version` wherever the project's version stands; return the files that changed."""
    changed: dict[Path, str] = {}
    # From the end of a file to its start, so that positions stay right.
    for place in reversed(places(root)):
        text = changed.get(place.file) or place.file.read_text(encoding="utf-8")
        changed[place.file] = text[: place.start] + version + text[place.end :]
    for file, text in changed.items():
        file.write_text(text, encoding="utf-8")
    return list(changed)


def date_changelog(path: Path, version: str, today: date) -> None:
    """Give the unreleased changes their version and date, and open a new empty section."""
    text = path.read_text(encoding="utf-8")
    head = "## [Unreleased]\n"
    if head not in text:
        sys.exit(f"release: {path.name} has no section [Unreleased]")
    path.write_text(text.replace(head, f"{head}\n## [{version}] - {today.isoformat()}\n", 1), encoding="utf-8")


def build_twice() -> None:
    """Build the wheel and the source archive twice, from copies in different folders; their bytes must be the same."""
    epoch = _run("git", "log", "-1", "--format=%ct", capture=True).strip()
    shutil.rmtree(DIST, ignore_errors=True)
    built: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in ("1", "2"):
            source, target = Path(folder) / number / "source", Path(folder) / number / "dist"
            source.mkdir(parents=True)
            # The files that git knows, as they are now: with the version just written, without what git ignores.
            for name in _run("git", "ls-files", capture=True).splitlines():
                copy = source / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy)
            command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
            environment = os.environ | {"SOURCE_DATE_EPOCH": epoch}
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if result.returncode:
                sys.exit(f"release: the build failed:\n{result.stdout}{result.stderr}")
            built.append({path.name: _sha256(path) for path in target.iterdir()})
        if built[0] != built[1]:
            sys.exit(f"release: two builds differ: {built[0]} and {built[1]}")
        shutil.copytree(Path(folder) / "2" / "dist", DIST)
    print(f"built twice with the same bytes: {', '.join(sorted(built[0]))}")


def write_sbom(image: str, lock: Path) -> None:
    """Write the bill of materials of an image's packages, by its lock."""
    output = DIST / f"sbom-{image}.cdx.json"
    # Its warning says that a lock does not tell who depends on whom.
    command = [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", str(lock)]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(output)]
    subprocess.run(command, check=True)
    print(f"{output.name}: {len(json.loads(output.read_text())['components'])} packages")


def write_licences() -> None:
    """Write the licence of each package of the images; they are read from the packages that are installed here."""
    packages = sorted({name for lock in LOCKS.values() for name in locked(lock)})
    command = [sys.executable, "-m", "piplicenses", "--format=markdown", "--with-urls", "--packages", *packages]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (DIST / "LICENCES.md").write_text(f"# Licences of the packages in the images\n\n{listed}", encoding="utf-8")


def locked(lock: Path) -> list[str]:
    """Return the names of the packages that a lock pins."""
    return re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8"))


def audit() -> None:
    """Look for known vulnerabilities of the images' packages; end the release if there is one.

    The database is on the internet. If it cannot be reached, a sentence says so and the release goes on.
    """
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--no-deps",
        "--progress-spinner=off",
        "--format=json",
    ]
    for lock in LOCKS.values():
        command += ["--requirement", str(lock)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=REACH_SECONDS, check=False)
        audited = json.loads(result.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        print("not audited: the database of known vulnerabilities cannot be reached from here")
        return
    skipped = [each["name"] for each in audited if "skip_reason" in each]
    if len(skipped) == len(audited):
        print("not audited: the package index of this machine has no data on vulnerabilities")
        return
    vulnerable = [f"{each['name']} {each['version']}: {one['id']}" for each in audited for one in each.get("vulns", [])]
    if vulnerable:
        sys.exit("\n".join(["release: known vulnerabilities:", *sorted(set(vulnerable))]))
    print(f"audited: no known vulnerability in {len(audited) - len(skipped)} packages")
    if skipped:
        print(f"not audited, for the database does not know them: {', '.join(skipped)}")


def _run(*command: str, capture: bool = False) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=capture, text=True).stdout or ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
