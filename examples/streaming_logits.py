"""Softmax over logits that never stand in memory as one piece.

A classifier over 1.2 million classes is evaluated 100,000 classes at a time. `SoftmaxState` keeps a running maximum
and a running sum for each row, so the parts give the answer of one piece. CuPy arrays work the same way.
"""

from collections.abc import Iterator

import numpy as np

import cupysoft

ROWS, CLASSES, CHUNK = 4, 1_200_000, 100_000


def logits_in_parts(seed: int = 0) -> Iterator[np.ndarray]:
    """Yield (ROWS, CHUNK) float32 logits; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(CLASSES // CHUNK):
        yield rng.normal(scale=8, size=(ROWS, CHUNK)).astype(np.float32)


def main() -> None:
    # First walk: fold every part into the state.
    parts = logits_in_parts()
    state = cupysoft.SoftmaxState.from_array(next(parts), axis=-1)
    for part in parts:
        state = state.update(part)
    print("logsumexp of each row:", state.logsumexp())

    # Second walk: turn each part into probabilities, and keep what is wanted of it.
    mass_of_best = np.zeros(ROWS, np.float32)
    for part in logits_in_parts():
        mass_of_best = np.maximum(mass_of_best, state.softmax(part).max(axis=-1))
    print("largest probability:  ", mass_of_best)

    whole = np.concatenate(list(logits_in_parts()), axis=-1)
    same = np.array_equal(mass_of_best, cupysoft.softmax(whole, axis=-1).max(axis=-1))
    print("same bits as one piece:", same)


if __name__ == "__main__":
    main()
