#!/usr/bin/env python3
"""Makes the seeds of fuzz_network: mode, noise, then (tensor, element, value); run only to renew them."""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent


def bits(tensor, element, value):
    return struct.pack('<HIBf', tensor, element, 230, value)


(OUT / 'untouched').write_bytes(b'\0' + struct.pack('<I', 7))
(OUT / 'huge').write_bytes(b'\0' + struct.pack('<I', 1) + bits(0, 3, 3e38) + bits(5, 0, -3e38))
(OUT / 'reference_small').write_bytes(b'\1' + struct.pack('<I', 2) + b''.join(bits(t, t, 1e-42) for t in range(12)))
(OUT / 'not_a_number').write_bytes(b'\0' + struct.pack('<I', 3) + bits(9, 1, float('nan')))
# The biases of the heads: certain faces everywhere, boxes a million times too large.
(OUT / 'certain').write_bytes(b'\0' + struct.pack('<I', 4) + b''.join(bits(t, 1, 1e6) for t in range(48)))
