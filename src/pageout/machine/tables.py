# SPDX-License-Identifier: GPL-2.0-or-later
"""Integer tables made once at boot: seek curves and distributions. No float decides: every CPU makes the same table."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

SEEK_STEPS = 1024
FRACTION_BITS = 40
ONE = 1 << FRACTION_BITS
DRAW_BITS = 53


def seek_table(min_us: int, avg_us: int, max_us: int) -> Any:
    """Seek time in ns by distance, SEEK_STEPS + 1 steps over the disk: a + b*sqrt(d) + c*d through three points.

    The points: the next track (min), a third of the disk (avg, the mean distance of random seeks), all of it (max).
    """
    scale = 1 << 20
    root = [math.isqrt(i * scale * scale // SEEK_STEPS) for i in range(SEEK_STEPS + 1)]
    third, whole = root[SEEK_STEPS // 3], root[SEEK_STEPS]
    rise_avg, rise_max = (avg_us - min_us) * 1000, (max_us - min_us) * 1000
    line_third, line_whole = scale // 3, scale
    b_up = rise_avg * line_whole - rise_max * line_third
    below = third * line_whole - whole * line_third
    c_up = rise_max * third - rise_avg * whole
    table = [
        min_us * 1000 + (b_up * root[i] + c_up * (i * scale // SEEK_STEPS)) // below for i in range(SEEK_STEPS + 1)
    ]
    return np.maximum.accumulate(np.array(table, dtype=np.int64))


def _log2_fixed(n: Any) -> Any:
    """log2 of positive integers, with FRACTION_BITS of fraction, by repeated squaring in 31-bit mantissas."""
    n = n.astype(np.int64)
    exponent = np.zeros(len(n), dtype=np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        large = (n >> exponent) >> shift > 0
        exponent += np.where(large, shift, 0)
    mantissa = np.where(exponent > 30, n >> np.maximum(exponent - 30, 0), n << np.maximum(30 - exponent, 0))
    result = exponent << FRACTION_BITS
    for bit in range(FRACTION_BITS - 1, FRACTION_BITS - 31, -1):
        mantissa = mantissa * mantissa >> 30
        over = mantissa >= 1 << 31
        result += np.where(over, 1 << bit, 0)
        mantissa = np.where(over, mantissa >> 1, mantissa)
    return result


def _exp2_fixed(x: Any) -> Any:
    """2**-x for x >= 0 in FRACTION_BITS fixed point, as integers of 53 bits."""
    whole, fraction = x >> FRACTION_BITS, x & (ONE - 1)
    result = np.full(len(x), 1 << 30, dtype=np.int64)
    for bit in range(1, 25):
        factor = _root_of_half(bit)
        result = np.where(fraction >> (FRACTION_BITS - bit) & 1, result * factor >> 30, result)
    return np.where(whole < 62, (result << 22) >> np.minimum(whole, 62), 0)


def _root_of_half(bit: int) -> int:
    """2**(-1 / 2**bit) with 30 bits, by exact integer square roots."""
    value = 1 << 199  # 1/2 with 200 bits of fraction
    for _ in range(bit):
        value = math.isqrt(value << 200)
    return value >> 170


def zipf_table(nr_ranks: int, theta: float) -> Any:
    """Cumulative weights of ranks 1..n, 1/rank**theta each, scaled so that a DRAW_BITS draw falls below the last."""
    exponent = Fraction(theta).limit_denominator(1 << 16)
    ranks = np.arange(1, nr_ranks + 1, dtype=np.int64)
    logs = _log2_fixed(ranks) >> 8
    scaled = logs * exponent.numerator // exponent.denominator << 8
    weights = np.maximum(_exp2_fixed(scaled) >> 12, 1)
    return _to_draws(np.cumsum(weights))


def pareto_table(nr_ranks: int, h: float) -> Any:
    """Cumulative weights for fio's pareto: a share h of the ranks gets the share 1 - h of the draws, at every scale.

    The share of the first x of all ranks is x ** (log(1 - h) / log(h)).
    """
    shares = np.array([Fraction(h).limit_denominator(1 << 16), 1 - Fraction(h).limit_denominator(1 << 16)])
    log_h, log_rest = (_log2_fixed(np.array([int(s * (1 << 30))]))[0] - (30 << FRACTION_BITS) for s in shares)
    exponent = Fraction(int(log_rest), int(log_h)).limit_denominator(1 << 12)
    ranks = np.arange(1, nr_ranks + 1, dtype=np.int64)
    depth = (_log2_fixed(np.array([nr_ranks]))[0] - _log2_fixed(ranks)) >> 8
    return _to_draws(_exp2_fixed(depth * exponent.numerator // exponent.denominator << 8))


def _to_draws(cumulative: Any) -> Any:
    """Scale cumulative weights to 0..2^DRAW_BITS."""
    total = int(cumulative[-1])
    shift = max(0, total.bit_length() - 31)
    small = cumulative >> shift
    top = int(small[-1])
    table = (small << DRAW_BITS - 22) // top << 22
    table[-1] = 1 << DRAW_BITS
    return table.astype(np.int64)
