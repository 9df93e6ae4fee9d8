#!/usr/bin/env python3
"""Makes the seeds of fuzz_c_api, calls as that target reads them; run only to renew them."""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent
IMAGES = OUT.parent / 'images'
TODAY = bytes(3)  # of today's size, not NULL, unchanged
VIEW = bytes([0, 1, 0, 1, 0])  # 30 x 40, packed, RGB


def load(handle=0):
    return bytes([6, handle])


def detect(options=TODAY, view=VIEW, capacity=3, progress=255, make=True):
    return bytes([1]) + (options + bytes(2) if make else b'') + view + bytes([0, capacity, progress, 0])


def decode(name, options=TODAY):
    picture = (IMAGES / name).read_bytes()
    return bytes([0]) + options + bytes([0]) + struct.pack('<H', len(picture)) + picture + bytes([0, 0])


def align(view=VIEW):
    points = b''.join(struct.pack('<Bh', 0, v * 32) for v in (10, 12, 20, 12, 15, 20, 11, 28, 19, 28))
    return bytes([3]) + view + points + bytes([0, 0])


COMPARE = bytes([4, 2, 2]) + b''.join(struct.pack('<Bh', 0, i) for i in range(1024)) + TODAY + bytes([0]) + TODAY + bytes([0])
FREE_IMAGE, FREE_WEIGHTS, FREE_DETECTOR = bytes([7, 0]), bytes([8, 0]), bytes([9, 0])


def process(allocator=100, left=None):
    return bytes([5, 64, 3, 0, allocator]) + (bytes([0]) if left is None else bytes([200, left])) + TODAY + bytes([0, 0])


(OUT / 'detect').write_bytes(load() + detect() + FREE_WEIGHTS + detect(make=False) + FREE_DETECTOR + detect(make=False))
(OUT / 'cancelled').write_bytes(load() + detect(progress=3) + detect(make=False))
(OUT / 'sizes').write_bytes(load() + detect(options=bytes([7, 0, 0])) + detect(options=bytes([8, 0, 1, 92, 1])) + detect(options=bytes([9, 0, 0])))
(OUT / 'pictures').write_bytes(decode('rgb.png') + FREE_IMAGE + decode('baseline.jpg', bytes([0, 0, 1, 4, 1])) + align())
(OUT / 'no_memory').write_bytes(process(left=4) + load() + decode('rgb.bmp') + detect() + process() + detect(make=False))
(OUT / 'other').write_bytes(load() + COMPARE + process(allocator=3) + process(allocator=12) + process(allocator=20))
