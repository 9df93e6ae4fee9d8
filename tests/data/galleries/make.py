#!/usr/bin/env python3
"""Repacks a gallery into pages of 512 bytes, small enough to be mutated: make.py GALLERY NAME; run only to renew."""
import pathlib
import sqlite3
import sys

source, name = sys.argv[1:]
out = pathlib.Path(__file__).parent / name
out.unlink(missing_ok=True)
database = sqlite3.connect(source)
database.execute('PRAGMA page_size=512')
database.execute('VACUUM INTO ?', [str(out)])
database.close()
# The journal is a write-ahead log, as in every gallery.
content = bytearray(out.read_bytes())
content[18:20] = b'\x02\x02'
out.write_bytes(content)
