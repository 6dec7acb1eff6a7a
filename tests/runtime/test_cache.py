"""The cache: safe under many writers, bounded in size."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cupysoft.errors import CacheWarning
from cupysoft.runtime.cache import Cache, cache, digest

ROOT = Path(__file__).parents[2]


def test_digest_keeps_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest(b"a")
    assert len(digest()) == 64


def test_an_entry_comes_back(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    assert store.get("k", ".o") is None
    path = store.put("k", ".o", b"code")
    assert path is not None
    assert path.parent == tmp_path
    assert Cache(tmp_path).get("k", ".o") == b"code"
    assert Cache(tmp_path).get("k", ".ptx") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["k.o"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_entry_is_dropped(tmp_path: Path, damage: str) -> None:
    store = Cache(tmp_path)
    path = store.put("k", ".o", b"code" * 100)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:-1], "flip": whole[:-1] + b"!", "empty": b"", "foreign": b"#!/bin/sh\n" * 20}[damage]
    )
    assert store.get("k", ".o") is None
    assert not path.exists()
    store.put("k", ".o", b"anew")
    assert store.get("k", ".o") == b"anew"


def test_memory_serves_where_no_folder_does() -> None:
    store = Cache(None)
    assert store.put("k", ".o", b"code") is None
    assert store.get("k", ".o") == b"code"
    assert store.keys("k", ".o") == ["k"]
    assert store.size() == 4
    assert store.file("k", ".cubin", b"code") is None


def test_a_folder_that_vanished_is_made_again(tmp_path: Path) -> None:
    """Whoever sweeps the temporary files takes ours along while we run."""
    folder = tmp_path / "gone"
    store = Cache(folder)
    assert store.put("k", ".o", b"code") == folder / "k.o"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert store.get("k", ".o") == b"code"


def test_a_folder_that_cannot_be_made_again_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Cache(tmp_path / "file" / "cache")
    assert store.put("k", ".o", b"code") is None
    assert store.get("k", ".o") == b"code"


@pytest.mark.parametrize(("folder_mode", "entry_mode"), [(0o700, 0o600), (0o750, 0o640), (0o755, 0o644)])
def test_who_may_read_the_folder_may_read_what_is_in_it(tmp_path: Path, folder_mode: int, entry_mode: int) -> None:
    """So that an administrator can compile for everybody."""
    tmp_path.chmod(folder_mode)
    path = Cache(tmp_path).put("k", ".o", b"code")
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == entry_mode


def test_a_plain_file_holds_exactly_the_data(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    path = store.file("k", ".cubin", b"\x7fELF")
    assert path is not None
    assert path.read_bytes() == b"\x7fELF"
    path.write_bytes(b"damaged")
    assert store.file("k", ".cubin", b"\x7fELF") == path
    assert path.read_bytes() == b"\x7fELF"


def test_further_folders_are_read_but_not_written(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.mkdir()
    shared.mkdir()
    Cache(shared).put("ahead", ".o", b"compiled ahead")
    store = Cache(own, (shared,))
    assert store.get("ahead", ".o") == b"compiled ahead"
    store.put("new", ".o", b"new")
    assert [entry.name for entry in shared.iterdir()] == ["ahead.o"]
    assert set(store.keys("", ".o")) == {"ahead", "new"}


def test_entries_unused_for_longest_go(tmp_path: Path) -> None:
    store = Cache(tmp_path, limit=5_000)
    for index in range(4):
        store.put(str(index), ".o", bytes(1_000))
        os.utime(tmp_path / f"{index}.o", (index, index))
    assert store.get("0", ".o") is not None  # now it is the one used last
    store.put("4", ".o", bytes(1_000))
    assert {path.name for path in tmp_path.iterdir()} == {"0.o", "3.o", "4.o"}
    assert store.size() <= 5_000


def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".writing-old", tmp_path / ".writing-fresh"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    Cache(tmp_path).put("k", ".o", b"code")
    assert not old.exists()
    assert fresh.exists()


WRITER = """
import sys
import tempfile
from pathlib import Path
from cupysoft.runtime.cache import Cache
store = Cache(Path(sys.argv[1]), limit=200_000)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(150):
    key = str(turn % 7)
    data = key.encode() * 20_000
    store.put(key, ".o", data)
    found = store.get(key, ".o")
    assert found is None or found == data, (key, len(found))
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    outcomes = [writer.communicate("go\n", timeout=60) for writer in writers]
    assert [(writer.returncode, error) for writer, (_, error) in zip(writers, outcomes, strict=True)] == [(0, "")] * 2
    assert not list(tmp_path.glob(".writing-*"))


def test_the_limit_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("CUPYSOFT_CACHE_LIMIT", "12345")
    assert cache().limit == 12345
    assert cache() is cache()


@pytest.mark.parametrize("limit", ["10MB", "-1", "1e9", "lots"])
def test_a_limit_that_is_no_number_of_bytes_is_not_taken_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("CUPYSOFT_CACHE_LIMIT", limit)
    with pytest.warns(CacheWarning, match=f"CUPYSOFT_CACHE_LIMIT is '{limit}'.*bytes"):
        assert cache().limit == 1 << 30
