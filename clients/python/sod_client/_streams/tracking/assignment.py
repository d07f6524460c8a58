"""The assignment of tracks to boxes that has the largest sum of similarities.

Pairs below the least similarity are never assigned, so the problem falls apart into small groups of tracks and boxes
that are near each other. A group of one track and one box needs no search; the others are solved by shortest augmenting
paths (Jonker and Volgenant, 1987, as in Crouse, 2016), which scipy's `linear_sum_assignment` uses too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def assign(similarity: Floats, least: float) -> tuple[Indices, Indices]:
    """Assign rows to columns.

    Args:
        similarity: float64 [R, C].
        least: pairs below it are not assigned.

    Returns:
        The rows and the columns of the assigned pairs, [P] each, by row.
    """
    rows, columns = np.nonzero(similarity >= least)
    pairs: list[tuple[int, int]] = []
    for group_rows, group_columns in _groups(rows.tolist(), columns.tolist()):
        if len(group_rows) == len(group_columns) == 1:
            pairs.append((group_rows[0], group_columns[0]))
            continue
        part = similarity[np.ix_(group_rows, group_columns)]
        # Not to assign costs a little more than the worst pair, so that as many as possible are assigned among equals.
        cost = np.where(part >= least, 1.0 - part, 1.0 - least + 1e-4)
        for row, column in zip(*_solve(cost), strict=True):
            if part[row, column] >= least:
                pairs.append((group_rows[row], group_columns[column]))
    pairs.sort()
    return np.array([row for row, _ in pairs], np.intp), np.array([column for _, column in pairs], np.intp)


def _groups(rows: list[int], columns: list[int]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns that are connected by pairs."""
    root: dict[int, int] = {}

    def find(node: int) -> int:
        root.setdefault(node, node)
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for row, column in zip(rows, columns, strict=True):
        root[find(row)] = find(-1 - column)  # columns are negative numbers
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for node in sorted(root):
        group = groups.setdefault(find(node), ([], []))
        if node >= 0:
            group[0].append(node)
        else:
            group[1].append(-1 - node)
    return list(groups.values())


def _solve(cost: Floats) -> tuple[list[int], list[int]]:
    """The rows and columns of the assignment of a full cost matrix [R, C] with the least sum."""
    if cost.shape[0] > cost.shape[1]:
        columns, rows = _solve(cost.T)
        return rows, columns
    count, width = cost.shape
    of_row, of_column = np.zeros(count), np.zeros(width)  # the dual variables
    owner = np.full(width, -1)  # the row of each column
    mine = np.full(count, -1)
    for start in range(count):
        shortest = np.full(width, np.inf)
        previous = np.full(width, -1)
        done_rows, done = np.zeros(count, np.bool_), np.zeros(width, np.bool_)
        row, least, sink = start, 0.0, -1
        while sink < 0:
            done_rows[row] = True
            reach: Any = least + cost[row] - of_row[row] - of_column
            closer = ~done & (reach < shortest)
            previous[closer] = row
            shortest[closer] = reach[closer]
            column = int(np.argmin(np.where(done, np.inf, shortest)))
            least = float(shortest[column])
            done[column] = True
            if owner[column] < 0:
                sink = column
            else:
                row = int(owner[column])
        of_row[start] += least
        others = done_rows.copy()
        others[start] = False
        of_row[others] += least - shortest[mine[others]]
        of_column[done] -= least - shortest[done]
        while True:  # turn the path around
            row = int(previous[sink])
            owner[sink] = row
            sink, mine[row] = int(mine[row]), sink
            if row == start:
                break
    return list(range(count)), mine.tolist()
