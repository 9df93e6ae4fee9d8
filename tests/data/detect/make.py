#!/usr/bin/env python3
"""Makes the seeds of fuzz_detect with Pillow: a byte of options, then a small picture; run only to renew them."""
import io
import pathlib

from PIL import Image

OUT = pathlib.Path(__file__).parent
PEOPLE = OUT.parent / 'synthetic_faces/people'
DEFAULTS, REFERENCE, EVERYTHING = b'\x00', b'\x03', b'\x0e'


def seed(name, options, image, kind, **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    (OUT / name).write_bytes(options + file.getvalue())


face = Image.open(PEOPLE / 'ada/ada1.jpg').convert('RGB')
side = min(face.size)
face = face.crop(((face.width - side) // 2, (face.height - side) // 2, (face.width + side) // 2, (face.height + side) // 2))
seed('face.jpg', DEFAULTS, face.resize((64, 64)), 'JPEG', quality=60)
seed('reference.jpg', REFERENCE, face.resize((48, 48)), 'JPEG', quality=60)
seed('grey.png', EVERYTHING, face.resize((24, 24)).convert('L'), 'PNG')
exif = Image.Exif()
exif[0x0112] = 6  # turned a quarter
seed('turned.jpg', EVERYTHING, face.resize((64, 48)), 'JPEG', quality=50, exif=exif)
pair = Image.new('RGB', (96, 48))
pair.paste(face.resize((48, 48)), (0, 0))
pair.paste(face.resize((40, 40)), (52, 4))
seed('two.jpg', DEFAULTS, pair, 'JPEG', quality=60)
seed('flat.bmp', DEFAULTS, Image.new('RGB', (16, 13), (90, 120, 150)), 'BMP')
seed('line.ppm', REFERENCE, Image.new('RGB', (96, 1)), 'PPM')
