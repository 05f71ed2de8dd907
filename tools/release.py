"""Prepare a release: `make release VERSION=x.y.z`.

Writes the version wherever it stands, dates the changelog, builds the wheel and the source archive twice and compares
their bytes, and writes beside them a bill of materials (CycloneDX), the licences of what is installed, and the SHA-256 sums.
Commits, tags and uploads nothing: it prints the commands that do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
# Where the version stands, and what stands around it there.
PLACES = {
    "pyproject.toml": r'(?m)^version = "{}"$',
    "README.md": r"qtr-(?:server|spark):{}",
    "docs/operating.md": r"qtr-(?:server|spark):{}",
    "docker/Dockerfile.server": r"qtr-server:{}|VERSION={}",
    "docker/Dockerfile.spark": r"qtr-spark:{}|VERSION={}",
    "docker/compose.yaml": r"qtr-(?:server|spark):{}",
    "k8s": r"qtr-(?:server|spark):{}|newTag: {}|app\.kubernetes\.io/version: {}",
}


def main() -> None:
    """Prepare the release that the command line names."""
    parser = argparse.ArgumentParser(prog="make release", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument(
        "version", metavar="VERSION", help="such as 0.2.0; the present one builds without changing anything"
    )
    version = parser.parse_args().version
    if not VERSION.fullmatch(version):
        parser.error(f"VERSION must look like 0.2.0 or 0.2.0rc1, not {version!r}")
    old = present_version()
    if version != old:
        changed = set_version(old, version)
        date_changelog(version)
        print(f"version {old} -> {version} in {len(changed)} files")
    build_twice()
    sbom()
    licences()
    audit()
    sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(DIST.iterdir()) if path.name != "SHA256SUMS")
    (DIST / "SHA256SUMS").write_text(sums)
    print(sums, end="")
    print(
        f"To publish:\n  git commit -am 'Release {version}' && git tag -s v{version} -m v{version}\n  git push --follow-tags"
    )
    print("  python -m twine upload dist/*.whl dist/*.tar.gz\n  make images")


def present_version() -> str:
    """Return the version that `pyproject.toml` states."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def places(version: str) -> dict[Path, list[str]]:
    """Return every place that states `version`, by file, as it is written there."""
    found = {}
    for name, pattern in PLACES.items():
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix in {".toml", ".md", ".yaml", ".server", ".spark"}:
                text = file.read_text(encoding="utf-8")
                if hits := [hit[0] for hit in re.finditer(pattern.replace("{}", re.escape(version)), text)]:
                    found[file] = hits
    return found


def set_version(old: str, new: str) -> list[Path]:
    """Write `new` wherever `old` stands; return the files that changed."""
    changed = places(old)
    for file, hits in changed.items():
        text = file.read_text(encoding="utf-8")
        for hit in set(hits):
            text = text.replace(hit, hit.replace(old, new))
        file.write_text(text, encoding="utf-8")
    return list(changed)


def date_changelog(version: str) -> None:
    """Give the unreleased changes their version and date, and open a new empty section."""
    path = ROOT / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8")
    today = datetime.now(UTC).date().isoformat()
    if "## [Unreleased]\n" not in text:
        sys.exit("release: CHANGELOG.md has no section [Unreleased]")
    path.write_text(
        text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {today}\n", 1), encoding="utf-8"
    )


def build_twice() -> None:
    """Build the wheel and the source archive twice, from copies in different folders; their bytes must be the same."""
    epoch = _run("git", "log", "-1", "--format=%ct", capture=True).strip()
    shutil.rmtree(DIST, ignore_errors=True)
    built: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in ("1", "2"):
            source, target = Path(folder) / number / "source", Path(folder) / number / "dist"
            source.mkdir(parents=True)
            # The files that git knows, as they are now: a version that was just written counts, what is ignored does not.
            for name in _run("git", "ls-files", capture=True).splitlines():
                copy = source / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy)
            command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": epoch}
            )
            built.append({path.name: _sha256(path) for path in target.iterdir()})
        if built[0] != built[1]:
            sys.exit(f"release: two builds differ: {built[0]} and {built[1]}")
        shutil.copytree(Path(folder) / "2" / "dist", DIST)
    print(f"built twice with the same bytes: {', '.join(sorted(built[0]))}")


def sbom() -> None:
    """Write the bill of materials of what a user of all extras installs, by the lock."""
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        "requirements/dev.lock",
        "--pyproject",
        "pyproject.toml",
    ]
    subprocess.run([*command, "--output-reproducible", "-o", str(DIST / "sbom.cdx.json")], cwd=ROOT, check=True)


def licences() -> None:
    """Write the licence of every package that is installed here."""
    command = [
        sys.executable,
        "-m",
        "piplicenses",
        "--format=markdown",
        "--with-urls",
        f"--output-file={DIST / 'LICENCES.md'}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def audit() -> None:
    """Look for known vulnerabilities; that the database cannot be reached is said, and no reason to stop."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--no-deps",
        "--disable-pip",
        "--requirement",
        "requirements/runtime.lock",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if (
        result.returncode
        and "vulnerabilit" in result.stdout + result.stderr
        and "Found" in result.stdout + result.stderr
    ):
        sys.exit(f"release: {result.stdout}{result.stderr}")
    print(
        "no known vulnerability"
        if not result.returncode
        else "not audited: the database of vulnerabilities is out of reach"
    )


def _run(*command: str, capture: bool = False) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=capture, text=True).stdout or ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
