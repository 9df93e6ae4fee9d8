#!/usr/bin/env python3
"""Makes the seeds of fuzz_embed: a count, then (width, height, stride, order) of each crop, then pixels; run only to renew them."""
import pathlib

OUT = pathlib.Path(__file__).parent
CROP = bytes([0, 0, 0, 0])

(OUT / 'one').write_bytes(b'\1' + CROP + bytes(range(200)))
(OUT / 'two').write_bytes(b'\2' + CROP + bytes([1, 0, 4, 1]) + b'adaface' * 9)
(OUT / 'black').write_bytes(b'\1' + CROP)
(OUT / 'none').write_bytes(b'\0')
(OUT / 'wide').write_bytes(b'\2' + CROP + bytes([7, 0, 0, 0]))
(OUT / 'overlapping_rows').write_bytes(b'\1' + bytes([0, 0, 6, 0]))
