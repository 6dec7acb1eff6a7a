"""The text of a kernel: a file under ``kernels/`` with our own headers put in place.

The compiler, and the hash that names a compilation, see one self-contained text. ``#line`` directives keep what the
compiler and the simulator say about a place true to the real file.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from cupysoft.errors import CupysoftError

__all__ = ["SourceError", "kernels_folder", "listing", "source"]

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
_ONCE = re.compile(r"^\s*#\s*pragma\s+once\b")


class SourceError(CupysoftError, FileNotFoundError):
    """A kernel's source file is not where it should be."""


@functools.cache
def kernels_folder() -> Path:
    """The folder of the CUDA sources: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "kernels", package.parent / "kernels"):
        if (folder / "README.md").is_file() or any(folder.glob("*/*.cu")):
            return folder
    raise SourceError(
        f"cupysoft: no CUDA sources in {package / 'kernels'} or {package.parent / 'kernels'}; "
        "install the package again, from its checkout: pip install --force-reinstall ."
    )


def listing() -> tuple[str, ...]:
    """Paths of all ``.cu`` files, as `source` takes them."""
    folder = kernels_folder()
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.cu")))


@functools.cache
def source(path: str) -> str:
    """Text of a file under ``kernels/``, each of our headers that it includes put in place once.

    Our headers include one another plainly, never inside ``#if``: the first mention of a header is replaced by its
    text, further ones by nothing. An include that is not one of our files is left to the compiler.

    Parameters
    ----------
    path : str
        Path below ``kernels/``, such as ``"softmax/rows.cu"``.

    Returns
    -------
    str

    Raises
    ------
    SourceError
        If there is no such file.
    """
    folder = kernels_folder()
    if not (folder / path).is_file():
        raise SourceError(f"source: no kernel file {path!r} in {folder}; there are: {', '.join(listing())}")
    return "\n".join(_inlined(folder, path, set())) + "\n"


def _inlined(folder: Path, path: str, seen: set[str]) -> list[str]:
    """Lines of a file with its includes in place; `seen` are the files already there."""
    seen.add(path)
    lines = [f'#line 1 "{path}"']
    for number, line in enumerate((folder / path).read_text(encoding="utf-8").splitlines(), start=1):
        include = _INCLUDE.match(line)
        header = include and _find(folder, path, include[1])
        if header:
            if header not in seen:
                lines += _inlined(folder, header, seen)
            lines.append(f'#line {number + 1} "{path}"')
        else:
            lines.append("" if _ONCE.match(line) else line)
    return lines


def _find(folder: Path, path: str, name: str) -> str | None:
    """Path below ``kernels/`` of an included file, looked for beside the including one and from the top."""
    for candidate in ((folder / path).parent / name, folder / name):
        resolved = candidate.resolve()
        if resolved.is_file() and resolved.is_relative_to(folder.resolve()):
            return resolved.relative_to(folder.resolve()).as_posix()
    return None
