#!/usr/bin/env python3
"""Makes the small pictures of this folder with Pillow, one for each format; run only to renew them."""
import pathlib

from PIL import Image

OUT = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 24, 17

rgb = Image.new('RGB', (WIDTH, HEIGHT))
rgb.putdata([(x * 10 % 256, y * 15 % 256, (x * y) % 256) for y in range(HEIGHT) for x in range(WIDTH)])
alpha = rgb.convert('RGBA')
alpha.putalpha(128)
exif = Image.Exif()
exif[0x0112] = 6  # turned a quarter

rgb.save(OUT / 'baseline.jpg', quality=80, exif=exif)
rgb.save(OUT / 'progressive.jpg', quality=80, progressive=True)
rgb.convert('L').save(OUT / 'grey.jpg', quality=80)
rgb.save(OUT / 'rgb.png', exif=exif)
alpha.save(OUT / 'alpha.png')
rgb.quantize(16).save(OUT / 'palette.png')
Image.new('I;16', (WIDTH, HEIGHT), 40000).save(OUT / 'grey16.png')
rgb.save(OUT / 'rgb.bmp')
rgb.quantize(16).save(OUT / 'palette.gif')
rgb.save(OUT / 'rgb.tga')
rgb.save(OUT / 'run_length.tga', compression='tga_rle')
rgb.save(OUT / 'rgb.ppm')

pixel = bytes([128, 64, 32, 129])
(OUT / 'flat.hdr').write_bytes(b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 6\n' + pixel * 24)
(OUT / 'rgb.psd').write_bytes(
    b'8BPS\0\1' + bytes(6) + b'\0\3' + (4).to_bytes(4, 'big') + (6).to_bytes(4, 'big') + b'\0\x08\0\3' + bytes(12) + b'\0\0' +
    bytes(range(72)))
