"""The models of this run: an untrained ir_18, and MTCNN where its published weights are."""
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import adaface
import numpy as np

ROOT = pathlib.Path(os.environ['ADAFACE_SOURCE_ROOT'])
SHARED = pathlib.Path(os.environ.get('ADAFACE_SHARED') or ROOT / '..' / 'shared')
FACES = ROOT / 'tests/data/synthetic_faces'

scratch = pathlib.Path(tempfile.mkdtemp(prefix='adaface-test-python-'))
# Of this process: a child that ends must leave it.
atexit.register(lambda owner: os.getpid() == owner and shutil.rmtree(scratch), os.getpid())


def _run(program, *arguments):
    subprocess.run([os.environ[program], *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def model():
    """The path of an untrained ir_18, seed 1, whose goldens there are."""
    path = scratch / 'ir_18.afw'
    if not path.exists():
        checkpoint = scratch / 'ir_18.ckpt'
        _run('ADAFACE_SYNTHETIC', 'ir_18', 1, checkpoint)
        _run('ADAFACE_CONVERT', checkpoint, '-o', path)
        checkpoint.unlink()
    return path


def shared(path):
    """A path in ../shared; skips the test where there is none."""
    if not (SHARED / path).exists():
        print(f'skipped: no ../shared ({pathlib.Path(path).name})', flush=True)
        raise unittest.SkipTest('no ../shared')
    return SHARED / path


def detector():
    """The path of the published MTCNN, converted."""
    folder, path = shared('weights/mtcnn'), scratch / 'mtcnn.afw'
    if not path.exists():
        _run('ADAFACE_CONVERT', '--mtcnn', *(folder / f'{net}net.npy' for net in 'pro'), '-o', path)
    return path


def engine(**options):
    return adaface.Engine(model(), detector(), **options)


def golden(path):
    return json.loads(pathlib.Path(path).read_text())


def pattern():
    """A crop that needs no file: v(x, y, channel) = (7x + 13y + 5xy + 80 channel) mod 256."""
    y, x, channel = np.ogrid[:112, :112, :3]
    return ((7 * x + 13 * y + 5 * x * y + 80 * channel) % 256).astype(np.uint8)
