"""Rows of which a result lies next to a point half way between two numbers of its type.

The first of a kind were built (`cupysoft.testing.trouble.near_tie`, the nearest of 60 seeds), the last two of each type
found among 120,000 rows of normal numbers. Each has the function, the type, the binary logarithm of the distance in
units of the last place, and the row; the result in question is that of its first element.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.testing.near_ties import TYPES

__all__ = ["NEAR_TIES", "subnormal_ties"]

_ROWS = """
log_softmax float16 -34
    0x1.98p+0 -0x1.324p+0 -0x1.0f4p+3 -0x1.b58p+3 -0x1.6ep+4 -0x1.b94p+4
log_softmax float16 -33
    0x1.018p-1 -0x1.6c8p+2 -0x1.844p+3 -0x1.328p+4 -0x1.7c8p+4 -0x1.c18p+4
logsumexp float16 -46
    0x1.d18p+1 0x1.be4p-3 -0x1.5b8p+3 -0x1.ff8p+3 -0x1.594p+4 -0x1.b3cp+4
logsumexp float16 -41
    0x1.f2p+0 0x1.61cp-1 -0x1.0d8p+3 -0x1.0cp+4 -0x1.728p+4
softmax float16 -38
    0x1.054p+3 0x1.eb8p+2 0x1.3a8p+0 -0x1.e08p+2 -0x1.a3cp+3 -0x1.32cp+4
softmax float16 -33
    0x1.834p-1 0x1.208p-3 -0x1.274p+3 -0x1.c8cp+3 -0x1.3dcp+4 -0x1.874p+4
softmax float16 -20
    0x1.6dp+0 0x1.318p+2 -0x1.2acp-5
log_softmax float16 -22
    0x1.c38p+0 -0x1.0dcp+1 -0x1.914p-1
log_softmax bfloat16 -25
    0x1.02p-1 -0x1.6ep+2 -0x1.2ap+3 -0x1.bap+3 -0x1.44p+4 -0x1.8ep+4
log_softmax bfloat16 -24
    0x1.98p+0 -0x1.32p+0 -0x1.1ap+3 -0x1.8cp+3 -0x1.f4p+3 -0x1.4ap+4
logsumexp bfloat16 -30
    0x1.d2p+1 0x1.aap-2 -0x1.82p+2 -0x1.42p+3 -0x1.e8p+3 -0x1.22p+4
logsumexp bfloat16 -29
    0x1.d4p+2 0x1.bap+2 0x1.46p+1 -0x1.acp+1 -0x1.14p+3 -0x1.74p+3
softmax bfloat16 -29
    0x1.84p-1 0x1.18p-3 -0x1.f8p+2 -0x1.8p+3 -0x1.e8p+3 -0x1.44p+4
softmax bfloat16 -26
    0x1.06p+3 0x1.ecp+2 0x1.b6p+1 -0x1.18p+0 -0x1.8cp+2 -0x1.54p+3
softmax bfloat16 -19
    0x1.3p+1 -0x1.12p+2 0x1.0ap+0
log_softmax bfloat16 -19
    -0x1.58p+1 -0x1.a6p-1 -0x1.34p+2
log_softmax float32 -82
    0x1.97ee4cp+0 -0x1.32391ap+0 -0x1.1f262p+4 -0x1.f73742p+4 -0x1.717f8ap+5 -0x1.da3cfap+5
log_softmax float32 -79
    0x1.017ed8p-1 -0x1.6c6e48p+2 -0x1.44c182p+4 -0x1.133618p+5 -0x1.7a7e18p+5 -0x1.f6e5ep+5
logsumexp float32 -93
    -0x1.d4da9ep+0 -0x1.7ee192p+2 -0x1.4f0716p+4 -0x1.2dd4b4p+5 -0x1.95a84cp+5 -0x1.0c594p+6
logsumexp float32 -90
    0x1.d17b7cp+1 0x1.7dfb5ep-3 -0x1.306c34p+4 -0x1.1012eep+5 -0x1.789634p+5 -0x1.df4d84p+5
softmax float32 -87
    0x1.832e6cp-1 0x1.1fb894p-3 -0x1.2c0b34p+4 -0x1.00300cp+5 -0x1.7c6a34p+5 -0x1.ea3de8p+5
softmax float32 -84
    0x1.053cd6p+3 0x1.eb93b8p+2 -0x1.c1f4bp+2 -0x1.614a2cp+4 -0x1.2e2c9cp+5 -0x1.a44c14p+5
softmax float32 -18
    -0x1.1c257ap-1 -0x1.1f055ep-1 0x1.4318cep+1
log_softmax float32 -24
    0x1.8e998ep-4 0x1.ba6d2p-1 0x1.42f5b4p+1
log_softmax float64 -189
    0x1.97ee4bf46dedbp+0 -0x1.32391a22872e6p+0 -0x1.2c9faf60f1cc5p+5 -0x1.1af7506d554b6p+6 -0x1.9c5f2cbc08b6fp+6
    -0x1.0f0bfe96804ccp+7
log_softmax float64 -188
    -0x1.ecd106e60be7dp+2 -0x1.bbe86709dff77p+3 -0x1.7f4965c818e23p+5 -0x1.446332686821bp+6 -0x1.c8015158ab609p+6
    -0x1.251b1c6aba887p+7
logsumexp float64 -202
    0x1.d17b7b37e5931p+1 0x1.7df94a0f85811p-3 -0x1.36e6d58e900d1p+5 -0x1.20d46e91401a9p+6 -0x1.a06483d6cbcd4p+6
    -0x1.177921fbd8425p+7
logsumexp float64 -196
    0x1.d3a65162c545cp+2 0x1.b7f41b65d449p+2 -0x1.c769669c5268fp+4 -0x1.0a60d589f9ca5p+6 -0x1.8b6d05bbc1a19p+6
    -0x1.05c55f35f9812p+7
softmax float64 -197
    0x1.832e6b6002ebdp-1 -0x1.85cd965302c58p+0 -0x1.30bede1b2e581p+5 -0x1.1be83aff4c93cp+6 -0x1.a69ab78275c2dp+6
    -0x1.18ab8b93d4c8p+7
softmax float64 -195
    -0x1.6e4db1c5e88f8p+2 -0x1.c17d5b01ed55dp+2 -0x1.5795cb82dabp+5 -0x1.35a432c834823p+6 -0x1.bb81ec40e9dcep+6
    -0x1.22d79e9cd3689p+7
softmax float64 -18
    -0x1.257dde104570ep-1 -0x1.3dd20fdb041e8p+0 -0x1.6c7dec918e08cp+1
log_softmax float64 -21
    0x1.4e1d1c38b37abp+0 -0x1.5a502535f016bp+0 0x1.df62db4c6d007p-3
"""


def _read(text: str) -> list[tuple[str, str, int, list[float]]]:
    """Read heads, and under each a row in hexadecimal numbers, indented."""
    found: list[tuple[str, str, int, list[float]]] = []
    for line in text.strip().splitlines():
        if line.startswith(" "):
            found[-1][3].extend(map(float.fromhex, line.split()))
        else:
            function, dtype, distance = line.split()
            found.append((function, dtype, int(distance), []))
    return found


NEAR_TIES = _read(_ROWS)
"""(function, name of the type, log2 of the distance, row)."""


def subnormal_ties(dtype: np.dtype[Any], low: float) -> npt.NDArray[Any]:
    """Build rows of which softmax of `low`, below 0, lies on either side of a middle of the type's least numbers."""
    least = Decimal(2.0 ** TYPES[dtype.name][1])
    with localcontext(prec=120):
        share = Decimal(low).exp()
        tie = ((share / least).to_integral_value("ROUND_FLOOR") - Decimal("0.5")) * least
        rest = share / tie - 1 - share
        row = [0.0, low]
        while len(row) < 7:
            row.append(float(np.nextafter(np.array(float(rest.ln())).astype(dtype), dtype.type(-np.inf))))
            rest -= Decimal(row[-1]).exp()
    x = np.array([row, row]).astype(dtype)
    x[1, -1] += 1  # then the sum is larger than it should be, not smaller
    return x
