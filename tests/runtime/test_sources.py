"""Sources: our headers are put in place once, and lines keep their places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cupysoft.runtime import sources
from cupysoft.runtime.sources import SourceError, kernels_folder, listing, source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernels folder of two families and a shared header."""
    (tmp_path / "math").mkdir()
    (tmp_path / "softmax").mkdir()
    (tmp_path / "math/two.cuh").write_text("#pragma once\nint two;\n")
    (tmp_path / "math/four.cuh").write_text('#pragma once\n#include "two.cuh"\nint four;\n')
    (tmp_path / "softmax/rows.cu").write_text(
        '// head\n#include "../math/four.cuh"\n  # include "math/two.cuh"  // again\n'
        '#include "elsewhere.h"\n#include <cuda_fp16.h>\nint rows;\n'
    )
    monkeypatch.setattr(sources, "kernels_folder", lambda: tmp_path)
    source.cache_clear()
    yield tmp_path
    source.cache_clear()


def test_headers_are_put_in_place_once(folder: Path) -> None:
    text = source("softmax/rows.cu")
    assert text.count("int two;") == 1
    assert text.index("int two;") < text.index("int four;") < text.index("int rows;")
    assert "pragma once" not in text
    assert '#include "elsewhere.h"' in text
    assert "#include <cuda_fp16.h>" in text


def test_each_line_knows_its_place(folder: Path) -> None:
    """Walk the text as a compiler does, and compare every line with the file it is said to be from."""
    file, number = "", 0
    compared = 0
    for line in source("softmax/rows.cu").splitlines():
        if line.startswith("#line "):
            _, at, name = line.split()
            file, number = name.strip('"'), int(at)
            continue
        original = (folder / file).read_text().splitlines()[number - 1]
        assert line == original or (line == "" and "pragma once" in original)
        compared += 1
        number += 1
    assert compared == 4 + 2 + 2  # every line but the includes of our own, three of them


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"softmax/row\.cu.*softmax/rows\.cu"):
        source("softmax/row.cu")


def test_files_outside_the_folder_are_not_taken(folder: Path) -> None:
    outside = folder.parent / "outside.cuh"
    outside.write_text("int outside;\n")
    (folder / "softmax/rows.cu").write_text('#include "../../outside.cuh"\n')
    source.cache_clear()
    assert "int outside;" not in source("softmax/rows.cu")


def test_the_real_folder_is_found() -> None:
    assert kernels_folder().name == "kernels"
    for path in listing():
        assert source(path).startswith(f'#line 1 "{path}"')
