"""Kernels to machine code, with a cache on disk."""

from __future__ import annotations

import ctypes
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .common import Common, divided
from .compiled import CompiledKernel, described, restored
from .llvm import compile_text, identity, link
from .parser import parse
from .seam import Checks
from .translate import translate

__all__ = ["ObjectStore", "build", "load", "translator_version"]


class ObjectStore(Protocol):
    """Where machine code is kept from one process to the next."""

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, None when it is not there."""

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`."""


@cache
def translator_version() -> str:
    """Return a hash of the translator's own source and of everything that shapes its code."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    digest.update(identity().encode())
    return digest.hexdigest()


def build(
    ptx: str,
    name: str,
    checks: Checks | None = None,
    variant: str = "",
    store: ObjectStore | None = None,
    parsed: Callable[[], Any] | None = None,
    fast: bool = False,
    linear: bool = False,
    drawn: bool = False,
    haste: bool = False,
) -> CompiledKernel:
    """Return the machine code of kernel `name` of a PTX text.

    Parameters
    ----------
    checks : Checks, optional
        Instrumentation; nothing is checked when it is not given.
    variant : str
        Names the instrumentation and its settings in the cache.
    store : ObjectStore, optional
        The cache on disk.
    parsed : callable, optional
        Gives the parsed module, for a caller that has several kernels of one text.
    fast : bool
        Whether warps that stay together have a version of their own.
    linear : bool
        Whether that is for blocks in which the lanes of every warp lie along the x axis.
    drawn : bool
        Whether a seed decides what the manual leaves open.
    haste : bool
        Whether machine code without a fast version may be made in less than half the time, to run up to one and a half
        times as long; if the store has the better code, it is taken.
    """
    variant += " fast" * fast + " linear" * (fast and linear) + " drawn" * drawn
    keys = {hasty: _key(ptx, name, variant + " hasty" * hasty) for hasty in (False, True)}
    found = _find(store, [keys[False], keys[True]] if haste else [keys[False]])
    if found is not None:
        return found
    module = parsed() if parsed is not None else parse(ptx)
    translation = translate(module, name, checks, fast=fast, linear=linear, drawn=drawn)
    hasty = haste and not translation.fast
    text, common = divided(translation.text)
    description = described(module, name, translation, len(text)) | {"hasty": hasty}
    imports = _linked(common, store)
    code = compile_text(text, hasty)
    if store is not None:
        calls = {each.name: each.key for each in common}
        store.put(keys[hasty], _packed({"kernel": description, "calls": calls}, code))
    return load(description, code, imports)


def _key(ptx: str, name: str, variant: str) -> str:
    return hashlib.sha256(f"{translator_version()}\0{name}\0{variant}\0{ptx}".encode()).hexdigest()


def _packed(head: dict[str, Any], code: bytes) -> bytes:
    text = json.dumps(head, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + code


def _unpacked(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def _find(store: ObjectStore | None, keys: list[str]) -> CompiledKernel | None:
    """The kernel that the store has under the first of these keys that it knows, if it has all that this calls."""
    found = None if store is None else next((found for found in map(store.get, keys) if found is not None), None)
    if found is None:
        return None
    head, code = _unpacked(found)
    with _LOCK:
        imports = _all_kept(head["calls"], store)
    return None if imports is None else load(head["kernel"], code, imports)


#: The functions that kernels have in common, by key: where each is, and what keeps it there.
_common: dict[str, tuple[int, Any]] = {}
_LOCK = threading.Lock()


def _linked(functions: Iterable[Common], store: ObjectStore | None) -> dict[str, int]:
    """Say where functions are, and make those that are nowhere yet."""
    with _LOCK:
        return {function.name: _made(function, store) for function in functions}


def _made(function: Common, store: ObjectStore | None) -> int:
    address = _kept(function.key, store)
    if address is None:
        calls = {each.name: _made(each, store) for each in function.calls}
        code = compile_text(function.text)
        if store is not None:
            keys = {each.name: each.key for each in function.calls}
            store.put(_key("", function.key, "common"), _packed({"name": function.name, "calls": keys}, code))
        address, _ = _common[function.key] = link(code, function.name, calls)
    return address


def _kept(key: str, store: ObjectStore | None) -> int | None:
    """Say where the function of this key is, which may have to come from the store; None if it is not there."""
    if key not in _common:
        found = None if store is None else store.get(_key("", key, "common"))
        if found is None:
            return None
        head, code = _unpacked(found)
        calls = _all_kept(head["calls"], store)
        if calls is None:
            return None
        _common[key] = link(code, head["name"], calls)
    return _common[key][0]


def _all_kept(keys: Mapping[str, str], store: ObjectStore | None) -> dict[str, int] | None:
    """Say where functions are, by name, or None if one of them is not there."""
    found: dict[str, int] = {}
    for name, key in keys.items():
        address = _kept(key, store)
        if address is None:
            return None
        found[name] = address
    return found


def load(description: dict[str, Any], code: bytes, imports: Mapping[str, int]) -> CompiledKernel:
    """Load an object file and return the kernel that it holds; `imports` has the functions that it lacks."""
    address, keeper = link(code, "run", imports)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)
    return restored(description, function, keeper)
