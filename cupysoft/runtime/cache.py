"""One cache for everything that is compiled: PTX, cubin, and the simulator's machine code.

An entry is a file named after the hash of all that went into it. It carries a checksum, is written beside its place and
moved there in one step, so any number of processes and threads may share a folder. What is read from the cache is run,
so a folder that somebody else could write to is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from cupysoft.errors import CacheWarning
from cupysoft.runtime.folders import folders, prepare

__all__ = ["Cache", "cache", "digest"]

_MAGIC = b"cupysoft cache 1\n"
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_TEMPORARY = ".writing-"
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died
_LIMIT = 1 << 30  # bytes, unless the environment says otherwise
_RESCAN_WRITES = 64  # other processes write too: look at the whole folder again after so many writes of ours


def digest(*parts: str | bytes) -> str:
    """Hash of a sequence of parts, as hexadecimal text; where one part ends and the next begins matters."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


class Cache:
    """Blobs by key, on disk where a safe folder is found and in memory where none is.

    Parameters
    ----------
    writable : Path or None
        Folder that new entries go to; None keeps them in memory.
    readable : sequence of Path
        Further folders that are only read, such as one that an administrator has filled.
    limit : int
        Bytes that the writable folder may hold. When it holds more, the entries unused for longest go.
    """

    def __init__(self, writable: Path | None, readable: tuple[Path, ...] = (), limit: int = _LIMIT) -> None:
        self.folder = writable
        self.limit = limit
        self._folders = (() if writable is None else (writable,)) + readable
        self._memory: dict[str, bytes] = {}
        self._held = 0
        self._writes = 0

    def get(self, key: str, suffix: str) -> bytes | None:
        """Content of an entry, or None where there is none or it is damaged.

        Parameters
        ----------
        key : str
            What `digest` made of everything that went in.
        suffix : str
            Kind of entry, with its dot: ``".o"``.

        Returns
        -------
        bytes or None
        """
        name = key + suffix
        if name in self._memory:
            return self._memory[name]
        for folder in self._folders:
            data = _read(folder / name)
            if data is not None:
                return data
        return None

    def put(self, key: str, suffix: str, data: bytes) -> Path | None:
        """Store an entry; return its file, or None where it is kept in memory only."""
        name = key + suffix
        framed = _MAGIC + hashlib.sha256(data).digest() + data
        path = self._write(name, framed)
        if path is None:
            self._memory[name] = data
        return path

    def file(self, key: str, suffix: str, data: bytes) -> Path | None:
        """A file that holds exactly `data`, for a consumer that wants a path; None where no file can be written."""
        name = key + suffix
        for folder in self._folders:
            with contextlib.suppress(OSError):
                if (folder / name).read_bytes() == data:
                    _touch(folder / name)
                    return folder / name
        return self._write(name, data)

    def keys(self, prefix: str, suffix: str) -> list[str]:
        """Keys that begin with `prefix`, the most recently used first."""
        found: dict[str, float] = {
            name.removesuffix(suffix): time.time() for name in self._memory if _fits(name, prefix, suffix)
        }
        for folder in self._folders:
            for entry, status in _scan(folder):
                if _fits(entry.name, prefix, suffix):
                    found.setdefault(entry.name.removesuffix(suffix), status.st_mtime)
        return sorted(found, key=found.__getitem__, reverse=True)

    def size(self) -> int:
        """Bytes that the entries take."""
        on_disk = 0 if self.folder is None else sum(status.st_size for _, status in _scan(self.folder))
        return on_disk + sum(map(len, self._memory.values()))

    def _write(self, name: str, data: bytes) -> Path | None:
        if self.folder is None:
            return None
        path = self.folder / name
        try:
            if not self.folder.is_dir() and prepare(self.folder) is not None:  # somebody swept the temporary files
                return None
            _replace(path, data)
        except OSError:  # the disk is full
            return None
        self._held += len(data)
        if self._writes % _RESCAN_WRITES == 0 or self._held > self.limit:
            self._prune(keep=name)
        self._writes += 1
        return path

    def _prune(self, keep: str) -> None:
        """Remove the entries unused for longest until three quarters of the limit are left."""
        assert self.folder is not None
        entries = sorted(_scan(self.folder), key=lambda item: item[1].st_mtime)
        self._held = sum(status.st_size for _, status in entries)
        target = self.limit if self._held <= self.limit else self.limit * 3 // 4  # so that not every write prunes
        now = time.time()
        for entry, status in entries:
            stale = entry.name.startswith(_TEMPORARY) and now - status.st_mtime > _STALE_SECONDS
            surplus = self._held > target and entry.name != keep and not entry.name.startswith(_TEMPORARY)
            if stale or surplus:
                with contextlib.suppress(OSError):  # another process was faster, or is reading it (Windows)
                    os.unlink(entry.path)
                    self._held -= status.st_size


def _fits(name: str, prefix: str, suffix: str) -> bool:
    return name.startswith(prefix) and name.endswith(suffix)


def _read(path: Path) -> bytes | None:
    """Content of a framed file; a damaged one is removed, so that it is made anew."""
    try:
        framed = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _CHECKSUM_BYTES
    data = framed[start:]
    if framed[:start] == _MAGIC + hashlib.sha256(data).digest():
        _touch(path)
        return data
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        readers = path.parent.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)  # of the folder, so of what is in it
        os.chmod(temporary, stat.S_IRUSR | stat.S_IWUSR | readers)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _touch(path: Path) -> None:
    """Note the use, by which entries are ordered when room is needed."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _scan(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # removed meanwhile
                if entry.is_file(follow_symlinks=False):
                    yield entry, entry.stat(follow_symlinks=False)


_caches: dict[tuple[str | None, ...], Cache] = {}


def cache() -> Cache:
    """The cache of this process, as the environment describes it.

    ``CUPYSOFT_CACHE_DIR`` names the folder, ``CUPYSOFT_CACHE_LIMIT`` its greatest size in bytes (1 GiB if not given).
    """
    names = ("CUPYSOFT_CACHE_DIR", "CUPYSOFT_CACHE_LIMIT", "XDG_CACHE_HOME", "HOME")
    setting = tuple(os.environ.get(name) for name in names)
    found = _caches.get(setting)
    if found is None:
        writable, readable = folders()
        found = Cache(writable, readable, _limit(setting[1] or str(_LIMIT)))
        found = _caches.setdefault(setting, found)
    return found


def _limit(text: str) -> int:
    if text.isdecimal():
        return int(text)
    warnings.warn(
        f"cupysoft: CUPYSOFT_CACHE_LIMIT is {text!r}; expected a number of bytes, such as {_LIMIT}, which is used now",
        CacheWarning,
        stacklevel=3,
    )
    return _LIMIT
