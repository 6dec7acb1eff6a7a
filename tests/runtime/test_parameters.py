"""Parameters read from PTX, in the spellings of old and new compilers."""

from __future__ import annotations

from cupysoft.runtime.parameters import parameters, static_shared

PTX = """
.func  (.param .align 8 .b8 func_retval0[16]) slow
(
	.param .b64 slow_param_0
)
;
.visible .entry first(
	.param .u64 .ptr .global .align 1 first_param_0,
	.param .u64 .ptr .align 1 first_param_1,
	.param .u8 first_param_2,
	.param .f64 first_param_3,
	.param .align 8 .b8 first_param_4[112],
	.param .align 2 .b8 first_param_5[2]
)
.maxntid 128, 1, 1
{
	ret;
}
.weak .entry $empty()
{
}
.entry bare
{
}
"""


def test_kernels_and_their_parameters() -> None:
    found = parameters(PTX)
    assert set(found) == {"first", "$empty", "bare"}
    assert [(each.type, each.size, each.align, each.offset) for each in found["first"]] == [
        ("u64", 8, 8, 0),
        ("u64", 8, 8, 8),
        ("u8", 1, 1, 16),
        ("f64", 8, 8, 24),
        ("b8", 112, 8, 32),
        ("b8", 2, 2, 144),
    ]
    assert found["$empty"] == found["bare"] == ()
    assert [each.floating for each in found["first"]] == [False, False, False, True, False, False]
    assert [each.structure for each in found["first"]] == [False, False, False, False, True, True]


def test_shared_memory_that_a_kernel_declares() -> None:
    ptx = """
.extern .shared .align 16 .b8 dynamic[];
.shared .align 4 .u32 flag;
.entry k()
{
	// demoted variable
	.shared .align 8 .b8 sums[256];
	.shared .f64 total;
	ld.shared.u32 %r1, [flag];
}
"""
    assert static_shared(ptx) == 8 + 256 + 8
    assert static_shared("ld.shared.f32 %f1, [%r1];") == 0
