"""Kernel regression on real data, written as attention with a bias.

Nadaraya and Watson's estimate at x is a mean of the known answers, weighted with a Gaussian of the distance:

    y(x) = sum_j w_j y_j / sum_j w_j,    w_j = exp(-|x - x_j|^2 / (2 h^2))

|x - x_j|^2 = |x|^2 - 2 x.x_j + |x_j|^2, and what depends on x alone cancels. So this is attention with queries x, keys
x_j, values y_j, scale 1/h^2 and the bias -|x_j|^2 / (2 h^2); the logsumexp of the scores is the logarithm of the sum of
weights, that is, a kernel density estimate. No array of distances is made. CuPy arrays work the same way.

The data are scikit-learn's diabetes: ten numbers of each of 442 patients, and how the disease went on.
"""

import math

import numpy as np
from sklearn.datasets import load_diabetes

import cupysoft

BANDWIDTHS = (0.3, 0.6, 1.0, 1.5, 2.5)


def regression(x: np.ndarray, known: np.ndarray, answers: np.ndarray, h: float, mask: np.ndarray | None = None):
    """Give the estimates at the rows of `x`, and the logarithm of the density there."""
    bias = -0.5 * (known**2).sum(axis=1) / h**2
    y, lse = cupysoft.attention(
        x, known, answers[:, None], scale=1 / h**2, bias=bias, mask=mask, return_lse=True, precision="ieee"
    )
    log_weights = lse - 0.5 * (x**2).sum(axis=1) / h**2
    dims = x.shape[1]
    return y[:, 0], log_weights - math.log(len(known)) - 0.5 * dims * math.log(2 * math.pi * h**2)


def direct(x: np.ndarray, known: np.ndarray, answers: np.ndarray, h: float):
    """The formula as it stands, with an array of all distances."""
    distance = ((x[:, None] - known[None]) ** 2).sum(axis=-1)
    weights = np.exp(-0.5 * distance / h**2)
    density = weights.mean(axis=1) / (2 * math.pi * h**2) ** (x.shape[1] / 2)
    return weights @ answers / weights.sum(axis=1), np.log(density)


def main() -> None:
    x, y = load_diabetes(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)

    # Which bandwidth? Each patient is estimated from all others: the mask leaves out the diagonal.
    others = ~np.eye(len(x), dtype=bool)
    print("bandwidth   share of the variance explained, leaving one out")
    scores = {}
    for h in BANDWIDTHS:
        estimate, _ = regression(x, x, y, h, mask=others)
        scores[h] = 1 - ((y - estimate) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        print(f"{h:9}   {scores[h]:.3f}")
    best = max(scores, key=lambda h: scores[h])

    train, test = x[:342], x[342:]
    ours, theirs = regression(test, train, y[:342], best), direct(test, train, y[:342], best)
    for name, one, other in zip(("estimates", "log densities"), ours, theirs, strict=True):
        print(f"{name}: largest relative difference to the direct formula {np.abs(one / other - 1).max():.1e}")
    print("the same:", all(np.allclose(one, other, rtol=1e-11) for one, other in zip(ours, theirs, strict=True)))


if __name__ == "__main__":
    main()
