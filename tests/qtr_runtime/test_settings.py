"""Flag over environment over file over default, and one sentence for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from qtr_runtime.settings import ProgramSettings


class Settings(ProgramSettings):
    """Does a thing."""

    prog: ClassVar[str] = "qtr thing"

    size: int = Field(default=1, ge=1, description="How large, in %.")
    kind: Literal["a", "b"] = Field(default="a", description="Which.")
    name: list[str] = Field(default_factory=list, description="Who.")
    loud: bool = Field(default=False, description="Whether.")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text('size = 2\nkind = "b"\nname = ["x, y"]\n')
    return path


def test_each_source_gives_way_to_the_one_above(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.parse([]).size == 1
    assert Settings.parse(["--config", str(file)]).size == 2
    monkeypatch.setenv("QTR_SIZE", "3")
    assert Settings.parse(["--config", str(file)]).size == 3
    settings = Settings.parse(["--config", str(file), "--size", "4", "--loud"])
    assert (settings.size, settings.kind, settings.name, settings.loud) == (4, "b", ["x, y"], True)


def test_the_environment_may_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTR_CONFIG", str(file))
    assert Settings.parse([]).kind == "b"


def test_one_programs_file_does_not_leak_into_the_next(file: Path) -> None:
    Settings.parse(["--config", str(file)])
    assert Settings.parse([]).size == 1


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        Settings.parse(words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("qtr thing: ")
    return said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "0"], "--size: Input should be greater than or equal to 1"),
        (["--size", "x"], "--size: Input should be a valid integer"),
        (["--kind", "c"], "--kind: Input should be 'a' or 'b'"),
        (["--siz", "2"], "unrecognized arguments: --siz 2"),
        (["--size"], "argument --size: expected one argument"),
        (["--config", "/nonexistent.toml"], "--config: /nonexistent.toml cannot be read"),
    ],
)
def test_a_mistake_names_the_flag(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in refusal(words, capsys)


@pytest.mark.parametrize(
    ("text", "expected"), [("size = ", "is not TOML"), ("colour = 1", "unknown setting colour"), ("size = 0", "--size")]
)
def test_a_mistake_in_the_file_is_named(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    assert expected in refusal(["--config", str(tmp_path / "bad.toml")], capsys)


def test_help_is_made_from_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.parse(["--help"])
    text = capsys.readouterr().out
    for expected in ("Does a thing.", "--size INT", "How large, in %. Default: 1.", "--kind a|b", "--loud | --no-loud"):
        assert expected in text
