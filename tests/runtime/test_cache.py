"""The cache: safe under many writers, careful about whose folder it is, bounded in size."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cupysoft.errors import CacheWarning
from cupysoft.runtime import folders as folder_rules
from cupysoft.runtime.cache import Cache, cache, digest
from cupysoft.runtime.folders import default_folder, folders, objection

ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")


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


def test_a_folder_that_vanishes_is_no_error(tmp_path: Path) -> None:
    store = Cache(tmp_path / "gone")
    assert store.put("k", ".o", b"code") is None
    assert store.get("k", ".o") == b"code"


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


@posix
def test_the_named_folder_is_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "a" / "b"
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(named))
    assert folders() == (named, ())
    assert stat.S_IMODE(named.stat().st_mode) == 0o700
    path = cache().put("k", ".o", b"code")
    assert path == named / "k.o"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    named = tmp_path / "open"
    named.mkdir()
    named.chmod(mode)
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(named))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.warns(CacheWarning, match=f"others may write to it .mode {mode:04o}"):
        writable, readable = folders()
    assert writable == tmp_path / f"cupysoft-{os.geteuid()}"
    assert readable == ()


@posix
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path))
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # what root made is taken on trust, so make the folder another's
        os.chown(tmp_path, 4242, -1)
    assert "another user" in (objection(tmp_path) or "")
    monkeypatch.setattr(folder_rules, "_fallback", lambda: None)
    with pytest.warns(CacheWarning, match="kept in memory"):
        assert folders() == (None, ())


@posix
def test_a_safe_folder_that_is_not_ours_to_write_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, spare = tmp_path / "ahead", tmp_path / "spare"
    named.mkdir(mode=0o700)
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(named))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(folder_rules, "_fallback", lambda: spare)
    assert folders() == (spare, (named,))


@posix
def test_a_home_that_cannot_be_written_falls_back_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    monkeypatch.delenv("CUPYSOFT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(obstacle / "cache"))
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(place))
    assert folders() == (place / f"cupysoft-{os.geteuid()}", ())


@posix
def test_a_planted_link_among_the_temporary_files_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / f"cupysoft-{os.geteuid()}").symlink_to(target)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = folder_rules._fallback()
    assert found is not None
    assert found.name != f"cupysoft-{os.geteuid()}"
    assert found.parent == tmp_path
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_the_default_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_folder() == tmp_path / "x" / "cupysoft"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == tmp_path / ".cache" / "cupysoft"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_folder() == tmp_path / "Library" / "Caches" / "cupysoft"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert default_folder() == tmp_path / "Local" / "cupysoft" / "cache"


def test_the_limit_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("CUPYSOFT_CACHE_LIMIT", "12345")
    assert cache().limit == 12345
    assert cache() is cache()
