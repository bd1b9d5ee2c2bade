"""Smallest keys in many windows, compiled: one monotonic stack serves all windows that end together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel


@kernel
def smallest_positions(
    keys: NDArray[np.int64],
    flip: int,
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> None:
    """Write to positions[w, j] where the smallest `key ^ flip` in [lows[w, j], highs[j]) stands, -1 for empty windows.

    `flip` is 0 for the smallest key, -1 for the greatest. `lows` (window, point), `highs` do not decrease along
    the points. The stack holds the positions that no later key undercuts; the first in the window is the answer.
    """
    places = np.empty(keys.size, np.int64)
    smallest = np.empty(keys.size, np.int64)
    top = 0
    position = 0
    for j in range(highs.size):
        begin = lows[0, j]
        for w in range(1, lows.shape[0]):
            begin = min(begin, lows[w, j])
        if begin > position:
            position = begin
            top = 0
        while position < highs[j]:
            key = keys[position] ^ flip
            while top > 0 and smallest[top - 1] >= key:
                top -= 1
            places[top] = position
            smallest[top] = key
            top += 1
            position += 1
        for w in range(lows.shape[0]):
            positions[w, j] = -1
            if lows[w, j] < highs[j]:
                positions[w, j] = places[_first_at_or_after(places, top, lows[w, j])]


@helper
def _first_at_or_after(places: NDArray[np.int64], size: int, position: int) -> int:
    low = 0
    high = size
    while low < high:
        middle = (low + high) // 2
        if places[middle] < position:
            low = middle + 1
        else:
            high = middle
    return low
