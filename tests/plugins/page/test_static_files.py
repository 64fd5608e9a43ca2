"""Files of the page: only what lies in the folder, whatever is asked for."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from logferry_airflow.page.static_files import FOLDER, TYPES, StaticFiles

pytestmark = pytest.mark.airflow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "vendor").mkdir(parents=True)
    (folder / "page.js").write_text("export const one = 1;\n" * 100)
    (folder / "vendor" / "LICENSE").write_text("MIT")
    (folder / "vendor" / "kit.css").write_text("a{}")
    (tmp_path / "secret.js").write_text("secret")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    (folder / "round.js").symlink_to("round.js")
    return folder


def test_a_file_has_its_type_its_tag_and_a_smaller_form(folder: Path) -> None:
    file = StaticFiles(folder).get("page.js")
    assert file is not None
    assert file.media_type == "text/javascript; charset=utf-8"
    assert file.zipped is not None
    assert gzip.decompress(file.zipped) == file.content
    assert len(file.zipped) < len(file.content)


def test_what_would_not_become_smaller_is_not_compressed(folder: Path) -> None:
    file = StaticFiles(folder).get("vendor/kit.css")
    assert file is not None
    assert file.zipped is None


def test_a_changed_file_has_another_tag(folder: Path) -> None:
    files = StaticFiles(folder)
    before = files.get("page.js")
    (folder / "page.js").write_text("export const two = 2;")
    after = files.get("page.js")
    assert before is not None
    assert after is not None
    assert after.content == b"export const two = 2;"
    assert after.tag != before.tag


@pytest.mark.parametrize(
    "name",
    ["../secret.js", "vendor/../../secret.js", "/etc/passwd", "link.js", "vendor", "vendor/LICENSE", "", ".", "..",
     "no.js", "page.js\0.css", "page.js/x.js", "a/" * 300 + "x.js", "..\\secret.js", "x" * 300 + ".js",
     "round.js", "\ud800.js"],
)  # fmt: skip
def test_nothing_else_is_there(name: str, folder: Path) -> None:
    assert StaticFiles(folder).get(name) is None


def test_every_file_of_the_page_can_be_served_or_is_a_licence() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix not in TYPES:
            assert path.name.startswith("LICENSE") or path.suffix == ".md", path
