# SPDX-License-Identifier: BSD-3-Clause
"""How often numbers came so far, kept as intervals: consecutive numbers take no memory, however many they are.

Numbers come in groups, each of 64 bits. The multiplicity of a number is a function that is constant on intervals, and
only the intervals are kept. Nothing loops over numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_ONE = np.uint64(1)
_PENDING = 1 << 17
"""Runs that are kept as they come before they are sorted together; 3 MB. Sorting once is faster than merging often."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Disjoint intervals of numbers and how often each number in them came, in the order of group and number.

    Attributes
    ----------
    group, first, last : uint64 [m]
        `last` belongs to the interval.
    count : int64 [m]
        Greater than zero.
    """

    group: Words
    first: Words
    last: Words
    count: Counts

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def none(cls) -> Intervals:
        """Return no interval."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))

    @classmethod
    def of(cls, group: Words, number: Words) -> Intervals:
        """Return the intervals of numbers as they come, each uint64 [n], in any order and as often as they like."""
        if not len(group):
            return cls.none()
        # the difference of unsigned numbers wraps: what follows on 2**64 - 1 is not 0
        follows = (np.diff(number) == _ONE) & (np.diff(group) == 0) & (number[1:] != 0)
        begin = np.flatnonzero(np.concatenate([[True], ~follows]))
        end = np.append(begin[1:], len(group)) - 1
        return cls.of_runs(group[begin], number[begin], number[end])

    @classmethod
    def of_runs(cls, group: Words, first: Words, last: Words) -> Intervals:
        """Return the intervals of runs of consecutive numbers, each uint64 [n], in any order and overlapping or not."""
        if len(group) and (first == last).all() and (group == group[0]).all():
            return _of_single(group[0], first)
        return _added(group, first, last, np.ones(len(group), np.int64))

    @classmethod
    def sum(cls, parts: Sequence[Intervals]) -> Intervals:
        """Return the intervals of all parts together."""
        parts = [part for part in parts if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else cls.none()
        columns = (np.concatenate([getattr(p, name) for p in parts]) for name in ("group", "first", "last", "count"))
        return _added(*columns)

    def more_than(self, count: int) -> Intervals:
        """Intervals of the numbers that came more often than `count`."""
        chosen = self.count > count
        return Intervals(self.group[chosen], self.first[chosen], self.last[chosen], self.count[chosen])

    def once(self) -> Intervals:
        """The same numbers, each as if it had come once."""
        if (self.count == 1).all():
            return self
        return _added(self.group, self.first, self.last, np.ones(len(self), np.int64))

    def total(self) -> int:
        """How many numbers came, each counted as often as it came."""
        return int(np.sum((self.last - self.first).astype(np.int64) * self.count + self.count))

    def distinct(self) -> int:
        """How many different numbers came."""
        return int(np.sum((self.last - self.first).astype(np.int64)) + len(self))

    def count_of(self, group: Words, number: Words) -> Counts:
        """How often numbers [n] came, int64 [n]."""
        if not len(self):
            return np.zeros(len(group), np.int64)
        # binary search for the last interval that does not begin behind the number, among those of its group
        low = np.searchsorted(self.group, group, side="left")
        high = np.searchsorted(self.group, group, side="right")
        begin = low.copy()
        while (open_ := low < high).any():
            middle = (low + high) // 2
            right = open_ & (self.first[np.minimum(middle, len(self) - 1)] <= number)
            low = np.where(right, middle + 1, low)
            high = np.where(open_ & ~right, middle, high)
        at = np.maximum(low - 1, 0)
        inside = (low > begin) & (number <= self.last[at])
        return np.where(inside, self.count[at], 0)


def _added(group: Words, first: Words, last: Words, count: Counts) -> Intervals:
    """Disjoint intervals of any: the sum of functions that are constant on intervals."""
    if _in_order(group, first, last):
        return _joined(group, first, last, count)
    # most often they are disjoint, and only have to be sorted
    order = np.argsort(first) if (group == group[0]).all() else np.lexsort((first, group))
    group, first, last, count = group[order], first[order], last[order], count[order]
    if _in_order(group, first, last):
        return _joined(group, first, last, count)
    # where the sum changes: before a number (side 0) or behind it (side 1), for behind the last there is no number
    groups, at = np.concatenate([group, group]), np.concatenate([first, last])
    side = np.repeat(np.array([0, 1], np.int8), len(group))
    order = np.lexsort((side, at, groups))
    groups, at, side = groups[order], at[order], side[order]
    level = np.cumsum(np.concatenate([count, -count])[order])[:-1]
    begin, end = at[:-1] + side[:-1].astype(np.uint64), at[1:] - (side[1:] == 0).astype(np.uint64)
    moved = (at[1:] != at[:-1]) | (side[1:] != side[:-1])
    real = (level > 0) & moved & (begin <= end)
    return _joined(groups[:-1][real], begin[real], end[real], level[real])


def _of_single(group: np.uint64, number: Words) -> Intervals:
    """Disjoint intervals of numbers of one group, of which hardly any follow each other: only they are sorted."""
    number = np.sort(number)
    step = np.diff(number)
    count = np.ones(len(number), np.int64)
    if not step.all():
        begin = np.flatnonzero(np.concatenate([[True], step != 0]))
        count = np.diff(np.append(begin, len(number)))
        number = number[begin]
        step = np.diff(number)
    groups = np.full(len(number), group)
    if (step == _ONE).any():
        return _joined(groups, number, number, count)
    return Intervals(groups, number, number, count)


def _in_order(group: Words, first: Words, last: Words) -> bool:
    """Whether intervals are disjoint and rise."""
    same = group[1:] == group[:-1]
    return bool((np.where(same, first[1:] > last[:-1], group[1:] > group[:-1])).all())


def _joined(group: Words, first: Words, last: Words, count: Counts) -> Intervals:
    """Join neighbouring intervals of the same count."""
    follows = (np.diff(group) == 0) & (np.diff(count) == 0) & (first[1:] - last[:-1] == _ONE)
    begin = np.flatnonzero(np.concatenate([[True], ~follows])[: len(group)])
    end = np.append(begin[1:], len(group))[: len(begin)] - 1
    return Intervals(group[begin], first[begin], last[end], count[begin])


class Occurrences:
    """Counts how often numbers came, block by block.

    Runs are kept as they come until there are many. Their intervals are kept apart until about as many others have
    come, and then added to those. So an interval is sorted no more often than the logarithm of their number.
    """

    def __init__(self) -> None:
        self._parts: list[Intervals] = []
        self._pending: list[tuple[Words, Words, Words]] = []
        self._n_pending = 0

    def add(self, group: Words, number: Words) -> None:
        """Count numbers, each uint64 [n]."""
        self.add_intervals(Intervals.of(group, number))

    def add_runs(self, group: Words, first: Words, last: Words) -> None:
        """Count numbers that are given as runs of consecutive ones, each uint64 [n]."""
        self._pending.append((group, first, last))
        self._n_pending += len(group)
        if self._n_pending > _PENDING:
            self._flush()

    def add_intervals(self, intervals: Intervals) -> None:
        """Count numbers that are given as intervals."""
        self._parts.append(intervals)
        while len(self._parts) > 1 and len(self._parts[-2]) <= 2 * len(self._parts[-1]):
            last = self._parts.pop()
            self._parts[-1] = Intervals.sum([self._parts[-1], last])

    def number(self, group: Words, number: Words) -> Counts:
        """Count numbers, and return how often each came before, earlier ones of the same block included, int64 [n]."""
        self._flush()
        before = sum((part.count_of(group, number) for part in self._parts), np.zeros(len(group), np.int64))
        self.add(group, number)
        return before + _rank(group, number)

    def all(self) -> Intervals:
        """Everything that was counted."""
        self._flush()
        return Intervals.sum(self._parts)

    def _flush(self) -> None:
        """Sort what came since the last time."""
        if self._n_pending:
            self.add_intervals(Intervals.of_runs(*map(np.concatenate, zip(*self._pending, strict=True))))
        self._pending, self._n_pending = [], 0


def _rank(group: Words, number: Words) -> Counts:
    """How often each number came before in the same arrays, int64 [n]."""
    order = np.lexsort((number, group))
    new = np.concatenate([[True], (np.diff(group[order]) != 0) | (np.diff(number[order]) != 0)])[: len(order)]
    place = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return rank
