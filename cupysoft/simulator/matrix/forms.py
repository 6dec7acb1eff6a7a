"""The forms of ``mma``, and how each generation of matrix units adds products up.

NVIDIA does not publish the arithmetic; it was measured. The numbers are those of two models that were found equal to
the hardware bit for bit: Xie et al., MMA-Sim (arXiv 2511.10909), and Khattak and Mikaitis, Accurate Models of NVIDIA
Tensor Cores (arXiv 2512.07004).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ptx import SIZES

__all__ = ["COLUMNS", "Form", "Unit", "form_of", "unit_of"]

#: Columns of B, C and D in every form.
COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Form:
    """``D = A B + C`` where A has `rows` rows and `depth` columns, and B has 8 columns.

    Parameters
    ----------
    rows, depth : int
        Of A.
    kind : str
        Type of the elements of A and B: ``f16``, ``bf16``, ``tf32`` or ``f64``.
    total : str
        Type of the elements of C and D.
    since : int
        The first architecture that has it, such as 80.
    """

    rows: int
    depth: int
    kind: str
    total: str
    since: int

    @property
    def name(self) -> str:
        """Shape and types in the order of the instruction: ``m16n8k16.f32.f16``."""
        return f"m{self.rows}n{COLUMNS}k{self.depth}.{self.total}.{self.kind}"

    @property
    def bands(self) -> int:
        """How many times 8 rows."""
        return self.rows // 8

    @property
    def packed(self) -> int:
        """Elements of A or B in one register."""
        return 2 if SIZES[self.kind] == 2 else 1

    @property
    def reach(self) -> int:
        """Neighbours along the depth that four lanes hold in one register each."""
        return 4 * self.packed

    @property
    def registers(self) -> tuple[int, int, int]:
        """Registers of a lane that hold A, B, and C or D."""
        b = self.depth // self.reach
        return self.bands * b, b, self.bands * (1 if self.total == "f16" else 2)


_FORMS = {
    form.name: form
    for form in (
        *(Form(16, 8, "f16", total, 75) for total in ("f32", "f16")),
        *(Form(16, 16, "f16", total, 80) for total in ("f32", "f16")),
        *(Form(16, depth, "bf16", "f32", 80) for depth in (8, 16)),
        *(Form(16, depth, "tf32", "f32", 80) for depth in (4, 8)),
        Form(8, 4, "f64", "f64", 80),
        *(Form(16, depth, "f64", "f64", 90) for depth in (4, 8, 16)),
    )
}


def form_of(modifiers: tuple[str, ...]) -> Form | None:
    """Return the form that an instruction's modifiers name, None where there is none.

    They are ``sync aligned <shape> row col`` and the types of D, A, B and C; of float64 the rounding may follow.
    """
    if len(modifiers) < 9 or modifiers[:2] != ("sync", "aligned") or modifiers[3:5] != ("row", "col"):
        return None
    total, kind, other, start = modifiers[5:9]
    rest = ((), ("rn",)) if kind == "f64" else ((),)
    if kind != other or total != start or modifiers[9:] not in rest:
        return None
    return _FORMS.get(f"{modifiers[2]}.{total}.{kind}")


@dataclass(frozen=True, slots=True)
class Unit:
    """How a matrix unit adds products and an accumulator up.

    The terms are aligned to the largest exponent among them, or to `floor` where all are smaller, and keep `fraction`
    bits behind the point; what is beyond is cut off. `width` bytes of a row of A are taken at once: a longer row is
    done part by part, with a rounding after each.
    """

    fraction: int
    width: int
    floor: int

    def terms(self, form: Form) -> int:
        """Return how many products are added at once."""
        return min(form.depth, self.width // SIZES[form.kind])


_TURING = Unit(fraction=24, width=16, floor=-132)
_HOPPER = Unit(fraction=25, width=32, floor=-133)


def unit_of(architecture: int) -> Unit:
    """Return the matrix unit of an architecture: Turing, Ampere and Ada have one kind, all later ones another."""
    return _TURING if architecture < 90 else _HOPPER
