#!/usr/bin/env python3
"""Exports of a gallery of three faces, written without the library; run only to renew them."""
import json
import pathlib
import struct

OUT = pathlib.Path(__file__).parent
SIZE = 512
PEOPLE = [('Anna "A",', '/a.jpg', 3), ('Anna "A",', '/a.jpg', 4), ('Bert', '/b\n.jpg', 5)]
NAMES = 'identity,file,hash,bytes,modified_ns,rules,score,x1,y1,x2,y2,norm,model,architecture'
HASH, BOX = '000102030405060708090a0b0c0d0e0f', [-1.5, 2, 30.25, 4e20]


def unit(axis):
    return [1 if i == axis else 0 for i in range(SIZE)]


def field(text):
    return '"' + text.replace('"', '""') + '"'


def row(identity, path):
    return ','.join([field(identity), field(path), HASH, '123', '-5', 'largest', '0.75', *map(str, BOX), '25.5', 'abc', 'ir_18'])


with open(OUT / 'people.csv', 'wb') as f:
    f.write((NAMES + ''.join(f',e{i}' for i in range(SIZE)) + '\r\n').encode())
    for identity, path, axis in PEOPLE:
        f.write((row(identity, path) + ''.join(f',{v}' for v in unit(axis)) + '\r\n').encode())

with open(OUT / 'people.jsonl', 'w') as f:
    for identity, path, axis in PEOPLE:
        json.dump({'identity_hex': identity.encode().hex(), 'file': path, 'hash': HASH, 'bytes': 123, 'modified_ns': -5,
                   'rules': 'largest', 'score': 0.75, 'box': BOX, 'norm': 25.5, 'model': 'abc', 'architecture': 'ir_18',
                   'embedding': unit(axis)}, f, separators=(',', ':'))
        f.write('\n')

# Both files of an .npy export in one, as fuzz_exchange takes them.
with open(OUT / 'people.npy_and_csv', 'wb') as f:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }".ljust(117) + '\n'
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for _, _, axis in PEOPLE:
        f.write(struct.pack('<512f', *unit(axis)))
    f.write(b'\n--columns--\n' + (NAMES + '\n').encode())
    for identity, path, _ in PEOPLE:
        f.write((row(identity, path) + '\n').encode())
