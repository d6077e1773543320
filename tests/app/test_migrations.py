"""Directories of older versions are brought forward, one durable step after the other; newer ones are left alone."""

from pathlib import Path

import pytest

from atp.app.migrations import FORMAT, migrate
from atp.errors import MalformedError, UnavailableError


def test_a_new_directory_gets_the_newest_format(tmp_path: Path) -> None:
    assert migrate(tmp_path, steps={}) == FORMAT
    assert (tmp_path / "FORMAT").read_text() == f"{FORMAT}\n"


def test_an_older_directory_takes_every_step_once(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("1\n")
    (tmp_path / "words").write_text("a")
    steps = {
        1: lambda data: (data / "words").write_text((data / "words").read_text() + "b") and None,
        2: lambda data: (data / "words").write_text((data / "words").read_text() + "c") and None,
    }
    assert migrate(tmp_path, newest=3, steps=steps) == 1
    assert migrate(tmp_path, newest=3, steps=steps) == 3
    assert ((tmp_path / "words").read_text(), (tmp_path / "FORMAT").read_text()) == ("abc", "3\n")


def test_a_step_that_fails_is_taken_again_and_the_one_before_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("1\n")
    taken: list[int] = []

    def second(data: Path) -> None:
        taken.append(2)
        if taken.count(2) == 1:
            raise OSError(28, "No space left on device")

    steps = {1: lambda data: taken.append(1), 2: second}
    with pytest.raises(UnavailableError, match="No space left"):
        migrate(tmp_path, newest=3, steps=steps)
    assert (tmp_path / "FORMAT").read_text() == "2\n"
    migrate(tmp_path, newest=3, steps=steps)
    assert taken == [1, 2, 2]


@pytest.mark.parametrize("text", ["3\n", "99", "", "one", "-1", "1.0"])
def test_a_format_of_the_future_or_of_nobody_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "FORMAT").write_text(text)
    with pytest.raises(MalformedError, match="this program knows up to 2"):
        migrate(tmp_path, steps={})
    assert (tmp_path / "FORMAT").read_text() == text
