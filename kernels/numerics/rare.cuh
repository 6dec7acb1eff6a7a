// What seldom happens: the compiler puts it out of the way, and who counts instructions leaves it out (the lines between
// the braces of `if (rarely(...)) { ... }` and of the other branch of `if (usually(...)) { ... } else { ... }`,
// cupysoft/runtime/machine_blocks.py).
#pragma once

__device__ __forceinline__ bool rarely(bool condition) { return __builtin_expect(condition, false); }
__device__ __forceinline__ bool usually(bool condition) { return __builtin_expect(condition, true); }
