#!/usr/bin/env python3
"""Makes the seeds of fuzz_pixels; run only to renew them. The order is that of the target's reads."""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent
FACE = [(38, 52), (74, 52), (56, 72), (42, 92), (71, 92)]


def side(value):
    return bytes([255, value])


def points(values):
    return b''.join(struct.pack('<BhBh', 0, x * 32, 0, y * 32) for x, y in values)


def seed(name, what=8, options=bytes(5), landmarks=points(FACE), result=side(50) + side(60) + b'\x50', view=side(64) + side(64),
         stride=0, order=0, pixels=bytes(range(48))):
    (OUT / name).write_bytes(bytes([what]) + options + landmarks + result + view + bytes([stride, order]) + bytes(4) + pixels)


seed('packed', what=14)
seed('padded_bgr', view=side(90) + side(70), stride=4, order=1)
seed('options', what=0, options=bytes([0, 3, 5, 7, 4]))
seed('reference', options=bytes([1, 1, 1, 2, 1]))
seed('coincident', what=9)
seed('overlapping_rows', stride=5)
seed('line', view=b'\x05' + side(1), result=side(112) + side(3) + b'\x64')
seed('too_wide', view=b'\x06' + side(2))
seed('no_rows', view=side(9) + b'\x00')
seed('not_a_number', landmarks=b'\xf0' * 10)
seed('far', landmarks=points(FACE[:3]) + b'\xf3' * 2 + b'\xf4' * 2)
