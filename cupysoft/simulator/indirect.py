"""Calls through pointers: a function's address is a number, and a call compares it with those that may be meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .ptx import Function, Module, Symbol, Variable

__all__ = ["candidates", "number_functions", "numbers"]

#: Between the numbers of functions. They are addresses of nothing: who reads there is told of a null pointer.
_STEP = 16


def numbers(module: Module) -> dict[str, int]:
    """What stands for the address of each function that kernels may call."""
    functions = [name for name, each in module.functions.items() if not each.entry]
    return {name: _STEP * place for place, name in enumerate(functions, 1)}


def number_functions(module: Module) -> None:
    """Write the numbers of functions into the variables that are to hold their addresses, and note whose are taken."""
    known = numbers(module)
    module.taken = frozenset(known) & _symbols(module)
    if not module.taken:
        return
    for name, variable in module.variables.items():
        module.variables[name] = _filled(variable, known)


def _filled(variable: Variable, known: dict[str, int]) -> Variable:
    meant = [each for each in variable.relocations if each.symbol in known]
    if not meant:
        return variable
    contents = bytearray(variable.initial)
    for each in meant:
        contents[each.offset : each.offset + each.size] = known[each.symbol].to_bytes(8, "little")[: each.size]
    rest = tuple(each for each in variable.relocations if each.symbol not in known)
    return replace(variable, initial=bytes(contents), relocations=rest)


def candidates(module: Module, results: Sequence[Variable], arguments: Sequence[Variable]) -> list[Function]:
    """The functions whose address is taken somewhere and that take and give what a call does."""
    wanted = [each.size for each in results], [each.size for each in arguments]
    return [
        each
        for each in module.functions.values()
        if each.name in module.taken
        and ([part.size for part in each.results], [part.size for part in each.parameters]) == wanted
    ]


def _symbols(module: Module) -> set[str]:
    found = {each.symbol for variable in module.variables.values() for each in variable.relocations}
    for function in module.functions.values():
        for instruction in function.instructions:
            if instruction.opcode == "mov":
                found |= {operand.name for operand in instruction.operands if isinstance(operand, Symbol)}
    return found
