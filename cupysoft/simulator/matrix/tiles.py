"""Tiles of 8 by 8 elements of 16 bits: between their rows in memory and the registers of a warp.

A register holds a tile as it would lie in memory: lane ``4 r + w`` has the elements ``2 w`` and ``2 w + 1`` of row r.
So a tile that is not transposed needs no rearrangement.
"""

from __future__ import annotations

from ..code import LANES

__all__ = ["TILE_BYTES", "TILE_ROWS", "gather_tiles", "scatter_tiles", "transpose_tile"]

TILE_ROWS, _ROW_BYTES = 8, 16
TILE_BYTES = TILE_ROWS * _ROW_BYTES


def gather_tiles(count: int, transposed: bool) -> tuple[str, str]:
    """Return the name and the text of ``void (addresses, given, tiles)``: read the rows of `count` tiles.

    Rows whose bit of the mask `given` is not set read as zeros.
    """
    name = f"tiles.gather.{count}{'.trans' * transposed}"
    body = [line for row in range(count * TILE_ROWS) for line in _row(row, "%host", "%tile")]
    after = [line for tile in range(count * transposed) for line in _transpose(tile)]
    return name, _function(name, body + after)


def scatter_tiles(count: int, transposed: bool) -> tuple[str, str]:
    """Return the name and the text of ``void (addresses, given, tiles)``: write the rows of `count` tiles.

    Rows whose bit of the mask `given` is not set are not written. What is at `tiles` may change.
    """
    name = f"tiles.scatter.{count}{'.trans' * transposed}"
    before = [line for tile in range(count * transposed) for line in _transpose(tile)]
    body = [line for row in range(count * TILE_ROWS) for line in _row(row, "%tile", "%host")]
    return name, _function(name, before + body)


def transpose_tile() -> tuple[str, str]:
    """Return the name and the text of ``void (tile)``."""
    lines = "\n".join(_transpose(0))
    return "tiles.transpose", f"define internal void @tiles.transpose(ptr %tiles) noinline {{\n{lines}\n  ret void\n}}"


def _function(name: str, body: list[str]) -> str:
    """Wrap lines that see the rows' addresses as 64-bit numbers at ``%places``; a row not given has a spare one."""
    lines = "\n".join(body)
    vector = f"<{LANES} x i64>"
    return f"""define internal void @{name}(ptr noalias %addresses, i32 %given, ptr noalias %tiles) noinline {{
entry:
  %spare = alloca [{_ROW_BYTES} x i8], align 16
  %places = alloca {vector}, align 64
  store i128 0, ptr %spare, align 16
  %number = ptrtoint ptr %spare to i64
  %one = insertelement {vector} poison, i64 %number, i64 0
  %spares = shufflevector {vector} %one, {vector} poison, <{LANES} x i32> zeroinitializer
  %there = load {vector}, ptr %addresses, align 8
  %mask = bitcast i32 %given to <{LANES} x i1>
  %usable = select <{LANES} x i1> %mask, {vector} %there, {vector} %spares
  store {vector} %usable, ptr %places, align 64
{lines}
  ret void
}}"""


def _row(row: int, source: str, target: str) -> list[str]:
    """Copy one row; a misaligned one too, for only the checks refuse it."""
    return [
        f"  %place{row} = getelementptr i64, ptr %places, i64 {row}",
        f"  %number{row} = load i64, ptr %place{row}",
        f"  %host{row} = inttoptr i64 %number{row} to ptr",
        f"  %tile{row} = getelementptr i8, ptr %tiles, i64 {_ROW_BYTES * row}",
        f"  %row{row} = load <4 x i32>, ptr {source}{row}, align 1",
        f"  store <4 x i32> %row{row}, ptr {target}{row}, align 1",
    ]


def _transpose(tile: int) -> list[str]:
    vector = f"<{TILE_ROWS * TILE_ROWS} x i16>"
    picks = ", ".join(f"i32 {TILE_ROWS * column + row}" for row in range(TILE_ROWS) for column in range(TILE_ROWS))
    return [
        f"  %whole{tile} = getelementptr i8, ptr %tiles, i64 {TILE_BYTES * tile}",
        f"  %old{tile} = load {vector}, ptr %whole{tile}, align 4",
        f"  %new{tile} = shufflevector {vector} %old{tile}, {vector} poison, <{TILE_ROWS**2} x i32> <{picks}>",
        f"  store {vector} %new{tile}, ptr %whole{tile}, align 4",
    ]
