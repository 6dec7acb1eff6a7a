"""What kernels say: printf as in C, and failed assertions."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import TrapError
from tests.simulator.devices import every_device


@every_device
def test_printf_in_the_order_of_blocks_and_threads(
    device: simulator.Device, capsys: pytest.CaptureFixture[str]
) -> None:
    source = r"""
    extern "C" __global__ void hello(double x) {
        if (threadIdx.x % 16 == 0)
            printf("%d.%u %5.2f|%-4s|%c %lld%% %x\n", blockIdx.x, threadIdx.x, x, "ab", 'q', -(1LL << 40), 255);
        if (threadIdx.x == 31) printf("end %d\n", blockIdx.x);
    }"""
    with device:
        simulator.RawKernel(source, "hello")((2,), (32,), (2.5,))
    expected = ""
    for block in range(2):
        for thread in (0, 16):
            expected += f"{block}.{thread}  2.50|ab  |q -1099511627776% ff\n"
        expected += f"end {block}\n"
    assert capsys.readouterr().out == expected


CONVERSIONS = r"""
extern "C" __global__ void all() {
    printf("%d|%5d|%-5d|%05d|%+d|% d|%i|%.3d|%5.3d\n", -7, 42, 42, 42, 42, 42, -1, 5, 5);
    printf("%u|%x|%X|%o|%#x|%#o|%#x|%+u\n", 4000000000u, 255, 255, 8, 255, 8, 0, 3u);
    printf("%hd|%hu|%hhd|%hhu|%ld|%lu|%lld|%llu|%zu|%llx\n", (short)-5, (unsigned short)65535, (char)-3,
           (unsigned char)200, -1L, 1UL, -(1LL << 40), ~0ULL, (size_t)99, 0x123456789abcdefULL);
    printf("%f|%.3f|%10.2e|%g|%G|%+.1f|%08.3f|%-8.2f|%E\n", 1.5, 2.0 / 3, 12345.678, 1e-10, 1e20,
           2.25, -1.5, 3.14159, 0.0);
    printf("%a|%A|%a|%a\n", 1.0, -0.75, 0.1, 0.0);
    printf("%p|%8p|%p\n", (void*)0, (void*)0, (void*)0x1234);
    printf("%f|%5.1f|%F|%05f|%e\n", 1 / 0.0, -1 / 0.0, 1 / 0.0, 1 / 0.0, -1 / 0.0);
    printf("%c|%5c|%-3c|%s|%8s|%-8s|%.2s|%%|%*d|%-*d|%.*f\n", 'x', 'y', 'z', "abc", "abc", "abc", "abc",
           6, 42, 6, 42, 2, 3.14159);
}"""


@every_device
def test_printf_does_what_that_of_c_does(device: simulator.Device, capsys: pytest.CaptureFixture[str]) -> None:
    with device:
        simulator.RawKernel(CONVERSIONS, "all")((1,), (1,), ())
    ours = capsys.readouterr().out
    expected = """\
-7|   42|42   |00042|+42| 42|-1|005|  005
4000000000|ff|FF|10|0xff|010|0|3
-5|65535|-3|200|-1|1|-1099511627776|18446744073709551615|99|123456789abcdef
1.500000|0.667|  1.23e+04|1e-10|1E+20|+2.2|-001.500|3.14    |0.000000E+00
0x1p+0|-0X1.8P-1|0x1.999999999999ap-4|0x0p+0
(nil)|   (nil)|0x1234
inf| -inf|INF|  inf|-inf
x|    y|z  |abc|     abc|abc     |ab|%|    42|42    |3.14
"""
    assert ours.splitlines() == expected.splitlines()


@every_device
def test_a_failed_assertion_says_what_was_asserted(device: simulator.Device) -> None:
    source = r"""#include <cuda/std/cassert>
    extern "C" __global__ void f(int* x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        assert(i < n && "too far");
        x[i] = i;
    }"""
    kernel = simulator.RawKernel(source, "f")
    with device:
        kernel((2,), (32,), (np.zeros(64, np.int32), 64))
    with device, pytest.raises(TrapError, match=r"(?s)f: assertion `i < n && \"too far\"` failed.*\(8, 0, 0\).*line 4"):
        kernel((2,), (32,), (np.zeros(64, np.int32), 40))
