"""Inlining: a kernel with every function that it calls written into it.

Arguments and results travel in ``.param`` variables. Those that are only loaded and stored
piece by piece become registers, the others local memory.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import SimulatorError
from .indirect import candidates, numbers
from .parameters import placed_parameters
from .ptx import (
    Address,
    Function,
    Immediate,
    Instruction,
    Label,
    Lines,
    Module,
    Negated,
    Operand,
    Pair,
    Register,
    Symbol,
    Vector,
)

__all__ = ["inlined"]


def inlined(module: Module, name: str) -> Function:
    """Return kernel `name` without calls of functions that the module defines.

    Raises
    ------
    SimulatorError
        If a function calls itself by name, or the kernel does not exist.
    """
    kernel = module.kernels.get(name)
    if kernel is None:
        raise SimulatorError(f"the PTX has no kernel {name!r}; it has {', '.join(sorted(module.kernels)) or 'none'}")
    whole = replace(kernel, registers={}, variables={}, instructions=[], labels={}, branch_targets={})
    _Inliner(module, whole).add(kernel, _Names(kernel, "", {}), (name,))
    placed_parameters(whole)
    return whole


class _Names:
    """What the names of one instance of a function stand for."""

    def __init__(
        self,
        function: Function,
        suffix: str,
        arguments: dict[str, str],
        callers: tuple[Lines, ...] = (),
    ) -> None:
        self.function = function
        self.suffix = suffix
        self.arguments = arguments
        self.callers = callers

    def symbol(self, name: str) -> str:
        """Rename a variable: each instance has its own local memory, but shares the rest."""
        if name in self.arguments:
            return self.arguments[name]
        variable = self.function.variables.get(name)
        own = variable is not None and variable.space in ("local", "param")
        return name + self.suffix if own else name

    def operand(self, operand: Operand) -> Operand:
        """Rename whatever an operand holds."""
        if not self.suffix and isinstance(operand, Register | Immediate | Negated):
            return operand
        match operand:
            case Register(name):
                return Register(name + self.suffix)
            case Negated(register):
                return Negated(Register(register.name + self.suffix))
            case Label(name):
                return Label(name + self.suffix)
            case Symbol(name, offset):
                if name in self.function.labels or name in self.function.branch_targets:
                    return Label(name + self.suffix)
                return Symbol(self.symbol(name), offset)
            case Address(base, offset):
                renamed = self.operand(base)
                assert isinstance(renamed, Register | Symbol | Immediate)
                return Address(renamed, offset)
            case Vector(items):
                return Vector(tuple(self.operand(item) for item in items))
            case Pair(first, second):
                return Pair(self.operand(first), self.operand(second))
        return operand


class _Inliner:
    """Copies functions into `whole`, one instance a call."""

    def __init__(self, module: Module, whole: Function) -> None:
        self.module = module
        self.whole = whole
        self.instances = 0
        self.numbers = numbers(module)

    def add(self, function: Function, names: _Names, stack: tuple[str, ...]) -> None:
        """Copy `function`; `stack` are the functions that are being copied."""
        whole, suffix = self.whole, names.suffix
        whole.registers.update((name + suffix, type_) for name, type_ in function.registers.items())
        for name, variable in function.variables.items():
            if name not in names.arguments:
                whole.variables[names.symbol(name)] = replace(variable, name=names.symbol(name))
        for name, labels in function.branch_targets.items():
            whole.branch_targets[name + suffix] = tuple(label + suffix for label in labels)
        at: dict[int, list[str]] = {}
        for name, index in function.labels.items():
            at.setdefault(index, []).append(name + suffix)
        for index in range(len(function.instructions) + 1):
            for label in at.get(index, ()):
                whole.labels[label] = len(whole.instructions)
            if index < len(function.instructions):
                self._instruction(function.instructions[index], names, stack)

    def _instruction(self, instruction: Instruction, names: _Names, stack: tuple[str, ...]) -> None:
        operands = tuple(map(names.operand, instruction.operands))
        renamed = instruction if operands == instruction.operands else replace(instruction, operands=operands)
        if instruction.predicate is not None and names.suffix:
            renamed = replace(renamed, predicate=Register(instruction.predicate.name + names.suffix))
        if names.callers:
            renamed = replace(renamed, callers=instruction.callers + names.callers)
        if instruction.opcode == "call":
            self._call(renamed, stack)
        elif instruction.opcode == "mov" and isinstance(source := operands[1], Symbol) and source.name in self.numbers:
            number = Immediate(str(self.numbers[source.name] + source.offset))
            self.whole.instructions.append(replace(renamed, operands=(operands[0], number)))
        elif instruction.opcode == "ret" and len(stack) > 1:
            back = Label(f"#return{names.suffix}")
            self.whole.instructions.append(replace(renamed, opcode="bra", modifiers=(), operands=(back,)))
        else:
            self.whole.instructions.append(renamed)

    def _call(self, call: Instruction, stack: tuple[str, ...]) -> None:
        """Copy what is called, or keep the call where the module does not define it."""
        operands = list(call.operands)
        results = operands.pop(0) if isinstance(operands[0], Vector) else Vector(())
        target = operands[0]
        arguments = operands[1] if len(operands) > 1 else Vector(())
        assert isinstance(results, Vector)
        assert isinstance(arguments, Vector)
        if isinstance(target, Register):
            self._call_through(call, results, target, arguments, stack)
            return
        assert isinstance(target, Symbol)
        function = self.module.functions.get(target.name)
        if function is None:
            self.whole.instructions.append(replace(call, operands=(results, target, arguments)))
            return
        if function.name in stack:
            chain = " -> ".join([*stack, function.name])
            raise SimulatorError(f"the simulator does not support recursion: {chain} (PTX line {call.line})")
        self._copy(call, function, results, arguments, stack)

    def _call_through(
        self, call: Instruction, results: Vector, target: Register, arguments: Vector, stack: tuple[str, ...]
    ) -> None:
        """Compare a pointer with the functions that may be meant, and copy each behind its comparison."""
        whole = self.whole
        self.instances += 1
        end = f"#called{self.instances}"
        if call.predicate is not None:
            skip = replace(call, opcode="bra", modifiers=(), operands=(Label(end),), negated=not call.negated)
            whole.instructions.append(skip)
        bare = replace(call, predicate=None, negated=False)
        given = [[whole.variables[item.name] for item in each.items if isinstance(item, Symbol)]
                 for each in (results, arguments)]  # fmt: skip
        for function in candidates(self.module, *given):
            if function.name in stack:
                continue
            self.instances += 1
            other, differs = f"#other{self.instances}", Register(f"%differs@{self.instances}")
            whole.registers[differs.name] = "pred"
            number = Immediate(str(self.numbers[function.name]))
            whole.instructions.append(
                replace(bare, opcode="setp", modifiers=("ne", "u64"), operands=(differs, target, number))
            )
            whole.instructions.append(
                replace(bare, opcode="bra", modifiers=(), operands=(Label(other),), predicate=differs)
            )
            self._copy(bare, function, results, arguments, stack)
            whole.instructions.append(replace(bare, opcode="bra", modifiers=("uni",), operands=(Label(end),)))
            whole.labels[other] = len(whole.instructions)
        whole.instructions.append(replace(bare, opcode="trap", modifiers=(), operands=()))
        whole.labels[end] = len(whole.instructions)

    def _copy(
        self, call: Instruction, function: Function, results: Vector, arguments: Vector, stack: tuple[str, ...]
    ) -> None:
        """Copy a function in place of a call."""
        self.instances += 1
        suffix = f"@{self.instances}"
        actual = {}
        for formal, given in ((function.results, results), (function.parameters, arguments)):
            for parameter, item in zip(formal, given.items, strict=True):
                assert isinstance(item, Symbol)
                actual[parameter.name] = item.name
        if call.predicate is not None:
            skip = replace(call, opcode="bra", modifiers=(), operands=(Label(f"#return{suffix}"),))
            self.whole.instructions.append(replace(skip, negated=not call.negated))
        here = () if call.location is None else ((call.location[0], (call.location[1],)),)
        callers = (*here, *call.callers)
        self.add(function, _Names(function, suffix, actual, callers), (*stack, function.name))
        self.whole.labels[f"#return{suffix}"] = len(self.whole.instructions)
