"""Where the cache lives: whose folder may be used, and what is used where there is none."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from cupysoft.errors import CacheWarning
from cupysoft.runtime import folders as folder_rules
from cupysoft.runtime.cache import cache
from cupysoft.runtime.folders import default_folder, folders, objection

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")


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
def test_a_home_of_which_nothing_can_be_seen_falls_back_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of root is, to a process that runs under another number but with root's environment."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.delenv("CUPYSOFT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "closed"))
    monkeypatch.setattr(folder_rules, "_fallback", lambda: None)
    for function in ("mkdir", "stat"):
        monkeypatch.setattr(Path, function, refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folders() == (None, ())


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


@posix
@pytest.mark.parametrize("named", ["~nobody of that name/cache", "cache"])
def test_a_name_that_leads_nowhere_is_said_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """No such user; and a name below a working folder that was removed."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", named)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.warns(CacheWarning, match="is not used"):
        writable, _ = folders()
    assert writable == tmp_path / f"cupysoft-{os.geteuid()}"


@posix
def test_without_a_home_nothing_is_made_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUPYSOFT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert folders() == (tmp_path / f"cupysoft-{os.geteuid()}", ())
    assert not (tmp_path / "~").exists()
