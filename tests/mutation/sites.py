"""Where a kernel's source can lose a barrier, a fence, a wait or a predicate.

A mutant is the text with one site replaced by something of the same number of lines:

    __syncthreads();                      ((void)0);
    if (row >= rows) return;              if (false) return;
    if (wanted && rank == 0) store();     if (true && rank == 0) store();    and    if (wanted && true) store();
    live ? score : lowest                 true ? score : lowest              and    false ? score : lowest
    const bool last = i == n;             const bool last = true;
    load_pack(from, column < end)         load_pack(from, true)
    asm("... @p st.global.u32 ...")       asm("... st.global.u32 ...")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Site", "mutated", "sites"]


@dataclass(frozen=True)
class Site:
    """A place of a source text.

    Attributes
    ----------
    kind : str
        ``"barrier"``, ``"fence"``, ``"wait"`` or ``"predicate"``.
    line : int
        Counted from 1.
    start, end : int
        The characters that are replaced.
    put : str
        What stands there instead.
    """

    kind: str
    line: int
    start: int
    end: int
    put: str


def mutated(text: str, site: Site) -> str:
    """Give the text of a mutant; what was on a line stays on it."""
    gone = text[site.start : site.end]
    return text[: site.start] + site.put + "\n" * gone.count("\n") + text[site.end :]


def sites(text: str) -> list[Site]:
    """Find all sites of a source text, in their order."""
    bare = _blanked(text, strings=True)
    found = [*_calls(text, bare), *_statements(text, bare), *_predicates(bare)]
    different = (each for each in found if text[each.start : each.end] != each.put)
    return sorted(set(different), key=lambda site: (site.start, site.end, site.put))


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*", re.M)


def _blanked(text: str, *, strings: bool) -> str:
    """Put blanks for comments and directives, and for what stands in quotes, so that places stay the same."""

    def blanks(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    for pattern in (_COMMENT, _DIRECTIVE, *([_TEXT] if strings else [])):
        text = pattern.sub(blanks, text)
    return text


_BARRIER = re.compile(r"\b(?:__syncthreads|__syncwarp|__syncthreads_(?:or|and|count))\s*\(|\b\w+\.sync\s*\(")
_FENCE = re.compile(r"\b__threadfence(?:_block|_system)?\s*\(")
_WAITING = re.compile(r"cp\.async\.(?:wait|commit)|\bfence\.|\bbar\.|\bbarrier\.|membar|mbarrier")
_GUARD = re.compile(r"@!?\w+ ")
_FUNCTION = re.compile(r"\b(\w+)\s*\(\)\s*\{")


def _calls(text: str, bare: str) -> Iterator[Site]:
    for kind, pattern in (("barrier", _BARRIER), ("fence", _FENCE)):
        for match in pattern.finditer(bare):
            end = _closing(bare, match.end() - 1)
            value = bare[match.end() : end].strip() if "_or" in match[0] or "_and" in match[0] else "(void)0"
            yield _site(bare, kind, match.start(), end + 1, f"({value})")


def _statements(text: str, bare: str) -> Iterator[Site]:
    """Predicates and waits in inline assembly, and every call of a function that is a wait."""
    shown = _blanked(text, strings=False)
    names = []
    for match in re.finditer(r"\basm\s+volatile\s*\(", bare):
        end = _closing(bare, match.end() - 1)
        for guard in _GUARD.finditer(shown, match.start(), end):
            yield _site(bare, "predicate", guard.start(), guard.end(), "")
        if _WAITING.search(shown[match.start() : end]):
            yield _site(bare, "wait", match.start(), end + 1, "((void)0)")
            functions = list(_FUNCTION.finditer(bare, 0, match.start()))
            if functions and bare[functions[-1].end() : match.start()].strip() == "":
                names.append(functions[-1][1])
    for name in names:
        for match in re.finditer(rf"[;{{}})]\s*\b({name}\s*(?:<[^;<>]*>)?\s*\(\s*\))\s*;", bare):
            yield _site(bare, "wait", match.start(1), match.end(1), "((void)0)")


_IF = re.compile(r"\bif\s*\(")
_BOOL = re.compile(r"\bconst\s+bool\s+\w+\s*=")
# Functions whose last argument says whether an access is made.
_PREDICATED = re.compile(r"\b(?:load_pack|store_pack)\s*(?:<[^;()]*>)?\s*\(")
_LEAVES = re.compile(r"\s*\{?\s*(?:return|continue|break)\b")


def _predicates(bare: str) -> Iterator[Site]:
    for match in _IF.finditer(bare):
        end = _closing(bare, match.end() - 1)
        yield from _without(bare, match.end(), end, ["false" if _LEAVES.match(bare, end + 1) else "true"])
    for match in _BOOL.finditer(bare):
        end = bare.index(";", match.end())
        if "?" not in bare[match.end() : end]:
            yield from _without(bare, match.end(), end, ["true"])
    for match in _PREDICATED.finditer(bare):
        end = _closing(bare, match.end() - 1)
        if _is_call(bare, match.start()):
            yield from _without(bare, _last_argument(bare, match.end(), end), end, ["true"])
    for match in re.finditer(r"\?", bare):
        start = _condition_start(bare, match.start())
        if _is_run(bare, start):
            yield from _without(bare, start, match.start(), ["true", "false"])


def _without(bare: str, start: int, end: int, alone: list[str]) -> Iterator[Site]:
    """Give a condition without each of its parts in turn; a condition of one part becomes what `alone` says."""
    for joint, neutral in (("||", "false"), ("&&", "true")):
        parts = list(_split(bare, start, end, joint))
        if len(parts) > 1:
            for part in parts:
                yield _trimmed(bare, *part, neutral)
            return
    for put in alone:
        yield _trimmed(bare, start, end, put)


def _trimmed(bare: str, start: int, end: int, put: str) -> Site:
    part = bare[start:end]
    return _site(bare, "predicate", start + len(part) - len(part.lstrip()), start + len(part.rstrip()), put)


def _site(bare: str, kind: str, start: int, end: int, put: str) -> Site:
    return Site(kind, bare.count("\n", 0, start) + 1, start, end, put)


def _closing(bare: str, opening: int) -> int:
    """Give the place of the parenthesis that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(bare)):
        depth += (bare[place] in "([{") - (bare[place] in ")]}")
        if depth == 0:
            return place
    raise ValueError(f"a parenthesis is not closed: {bare[opening : opening + 40]!r}")


def _split(bare: str, start: int, end: int, joint: str) -> Iterator[tuple[int, int]]:
    depth, begin = 0, start
    for place in range(start, end):
        depth += (bare[place] in "([{") - (bare[place] in ")]}")
        if depth == 0 and bare.startswith(joint, place):
            yield begin, place
            begin = place + len(joint)
    yield begin, end


def _last_argument(bare: str, start: int, end: int) -> int:
    return [begin for begin, _ in _split(bare, start, end, ",")][-1]


_NO_CALL = re.compile(r"(?:\bvoid|>|\w)\s+$")


def _is_call(bare: str, start: int) -> bool:
    """Tell a call from the definition of the function, before whose name its type stands."""
    before = bare[max(0, start - 80) : start]
    return not _NO_CALL.search(before) or before.rstrip().endswith(("return", "else"))


def _condition_start(bare: str, end: int) -> int:
    """Give where the condition of a ?: begins, whose question mark is at `end`."""
    depth = 0
    for place in range(end - 1, -1, -1):
        letter = bare[place]
        depth += (letter in ")]}") - (letter in "([{")
        if depth < 0 or (depth == 0 and letter in ",;?{}"):
            return place + 1
        alone = letter == "=" and bare[place - 1] not in "=!<>" and bare[place + 1] != "="
        colon = letter == ":" and ":" not in (bare[place - 1], bare[place + 1])
        if depth == 0 and (alone or colon):
            return place + 1
        if depth == 0 and bare.startswith("return ", place) and not bare[place - 1].isalnum():
            return place + len("return ")
    return 0


def _is_run(bare: str, start: int) -> bool:
    """Whether a place is in a statement that runs, not in a constant, a type or a directive."""
    begin = max(bare.rfind(mark, 0, start) for mark in ";{}")
    return not re.search(r"\b(?:constexpr|static_assert|using|template|static const|enum)\b", bare[begin + 1 : start])
