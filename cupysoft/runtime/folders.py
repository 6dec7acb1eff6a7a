"""Where the cache may live: a folder that nobody else can write to, found with a way out where there is none.

Order: ``CUPYSOFT_CACHE_DIR``, else the user's cache folder; then a folder of the user's own among the temporary files;
then a new temporary folder for this process; then none, which means memory.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
import warnings
from pathlib import Path

from cupysoft.errors import CacheWarning

__all__ = ["default_folder", "folders", "objection", "prepare"]


def default_folder() -> Path:
    """The user's cache folder as the platform has it, with our name below it."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "cupysoft" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "cupysoft"
    named = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG rules: a path that is not absolute is to be ignored
    return (Path(named) if os.path.isabs(named) else home / ".cache") / "cupysoft"


def folders() -> tuple[Path | None, tuple[Path, ...]]:
    """The folder to write to (None: memory) and further ones that may only be read.

    Returns
    -------
    writable : Path or None
    readable : tuple of Path
        A folder that is safe but not ours to write: what an administrator compiled ahead for all users.
    """
    named = os.environ.get("CUPYSOFT_CACHE_DIR")
    reason: str | None
    try:
        first = Path(named).expanduser().absolute() if named else default_folder()
    except (RuntimeError, OSError) as error:  # no such user, or a working folder that is no longer there
        first, reason = Path(named or ""), str(error)
    else:
        # without a home "~" stays as it is, and would become a folder wherever the process works
        reason = prepare(first) if first.is_absolute() else "there is no home folder"
    if reason is None:
        if os.access(first, os.W_OK | os.X_OK):
            return first, ()
        return _fallback(), (first,)
    fallback = _fallback()
    if named or (first.is_absolute() and os.path.exists(first)):  # which says no where it may not look
        place = "memory" if fallback is None else str(fallback)
        warnings.warn(
            f"cupysoft: the cache folder {first} is not used: {reason}. Compiled kernels are kept in {place}. "
            "Set CUPYSOFT_CACHE_DIR to a folder that only you can write to.",
            CacheWarning,
            stacklevel=2,
        )
    return fallback, ()


def objection(folder: Path) -> str | None:
    """Why code found in a folder must not be run; None where nothing speaks against it."""
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if sys.platform == "win32":  # folders below the user's profile are private by their access lists
        return None
    if status.st_uid not in (os.geteuid(), 0):  # root can change anything of ours anyway
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def prepare(folder: Path) -> str | None:
    """Make a folder where it is missing, private from the start; the reason where it cannot be used."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return objection(folder)
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"


def _fallback() -> Path | None:
    """A private folder among the temporary files; the same one in later processes where that is safe."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None
    if sys.platform != "win32":
        lasting = place / f"cupysoft-{os.geteuid()}"
        # not followed if it is a link: anybody may put one among the temporary files
        if not lasting.is_symlink() and prepare(lasting) is None and lasting.stat().st_uid == os.geteuid():
            return lasting
    try:
        passing = Path(tempfile.mkdtemp(prefix="cupysoft-"))
    except OSError:
        return None
    atexit.register(shutil.rmtree, passing, ignore_errors=True)
    return passing
