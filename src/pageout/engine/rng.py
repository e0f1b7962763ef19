# SPDX-License-Identifier: GPL-2.0-or-later
"""Random numbers that are the same on every machine: xoshiro128+ in 32-bit words held in int64.

Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2019). Each task has a stream of its own.
"""

from pageout.jit import kfn

MASK = 0xFFFFFFFF


def seed_words(seed: int, stream: int) -> tuple[int, int, int, int]:
    """Return four state words for a stream, by splitmix64; never all zero."""
    x = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + 0x2545F4914F6CDD1D) & (2**64 - 1)
    words = []
    for _ in range(4):
        x = (x + 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = x
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        words.append(((z ^ (z >> 31)) >> 32) & MASK)
    words[0] |= 1
    return (words[0], words[1], words[2], words[3])


@kfn
def random32(task):
    """Return the stream's next 32 random bits, as an int64 in 0..2^32-1."""
    s0, s1, s2, s3 = task.rng0, task.rng1, task.rng2, task.rng3
    result = (s0 + s3) & 0xFFFFFFFF
    shifted = (s1 << 9) & 0xFFFFFFFF
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = ((s3 << 11) | (s3 >> 21)) & 0xFFFFFFFF
    task.rng0, task.rng1, task.rng2, task.rng3 = s0, s1, s2, s3
    return result


@kfn
def random_below(task, n):
    """Return an integer in 0..n-1, n below 2^31 by one draw, above by two; bias below n / 2^32."""
    if n < 0x7FFFFFFF:
        return (random32(task) * n) >> 32
    return ((random32(task) << 30) ^ random32(task)) % n


@kfn
def exponential(task, mean):
    """Return an integer of the exponential distribution of this mean, 0..22 times it; mean below 2^31.

    -mean * ln(u) of 32 random bits, by log2: the place of the highest bit, then x + 0.346 x (1 - x) of what follows it,
    which is off by less than 0.01.
    """
    u = random32(task) | 1
    bits = 0
    while u >> (bits + 1):
        bits += 1
    x = ((u << (32 - bits)) & MASK) >> 12  # the bits behind the highest, in 2^20
    log2 = (bits << 20) + x + (354 * (x * ((1 << 20) - x) >> 20) >> 10)
    return mean * (((32 << 20) - log2) * 45426 >> 16) >> 20
