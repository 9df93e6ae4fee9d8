"""The package's names: documented, typed, picklable where they are results; what pip installs."""
import ast
import copy
import inspect
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import typing
import unittest

import adaface
import models
import numpy as np
from adaface import _adaface

FILES = sorted(path.name for path in (models.ROOT / 'src/python/adaface').iterdir()
               if path.suffix in ('.py', '.pyi') or path.name == 'py.typed')


def members(owner):
    """Public functions that `owner` defines itself, and its constructor."""
    return {name: value for name, value in vars(owner).items()
            if inspect.isfunction(value) and (name == '__init__' or not name.startswith('_'))}


class Package(unittest.TestCase):
    def test_every_public_name_is_documented_and_typed(self):
        public = {name for name, value in vars(adaface).items()
                  if not name.startswith('_') and not inspect.ismodule(value)}
        self.assertEqual(public | {'__version__'}, set(adaface.__all__))
        self.assertEqual(sorted(adaface.__all__), adaface.__all__)
        functions = {}
        for name in adaface.__all__:
            value = getattr(adaface, name)
            if inspect.isfunction(value):
                functions[name] = value
            elif inspect.isclass(value):
                self.assertTrue(value.__dict__.get('__doc__'), name)
                functions.update({f'{name}.{member}': method for member, method in members(value).items()})
        for name, function in functions.items():
            if not name.endswith('.__init__'):  # documented by its class
                self.assertTrue(inspect.getdoc(function), f'{name} has no docstring')
            hints = typing.get_type_hints(function)
            parameters = set(inspect.signature(function).parameters) - {'self'}
            self.assertEqual(set(hints), parameters | {'return'}, name)

    def test_every_field_is_documented(self):
        for name in ('devices.py', 'faces.py', 'weights.py'):
            tree = ast.parse((models.ROOT / 'src/python/adaface' / name).read_text())
            for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
                for field, after in zip(kind.body, kind.body[1:] + [None]):
                    if isinstance(field, ast.AnnAssign):
                        documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                        self.assertTrue(documented, f'{kind.name}.{field.target.id}')

    def test_stub_of_the_compiled_module(self):
        def names(owner):
            return {name for name in vars(owner) if not name.startswith('_')}

        tree = ast.parse((models.ROOT / 'src/python/adaface/_adaface.pyi').read_text())
        stub, classes = set(), {}
        for node in tree.body:
            if isinstance(node, ast.AnnAssign):
                stub.add(node.target.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                stub.add(node.name)
            if isinstance(node, ast.ClassDef):
                classes[node.name] = {item.name: item for item in node.body}
        self.assertEqual(stub, names(_adaface) | {'__version__'})
        for name, methods in classes.items():
            self.assertEqual(set(methods) - {'__init__'}, names(getattr(_adaface, name)), name)
        for node in [*tree.body, *(item for methods in classes.values() for item in methods.values())]:
            if isinstance(node, ast.FunctionDef) and node.name not in ('available_cpus', 'cuda_devices', 'raise_error'):
                owner = next((getattr(_adaface, name) for name, methods in classes.items()
                              if node in methods.values()), _adaface)
                signature = getattr(owner, node.name).__doc__
                for argument in node.args.args:
                    self.assertIn(f'{argument.arg}:', signature)

    def test_results_are_shown_and_pickled(self):
        crop = models.pattern()
        embedder = adaface.Embedder(models.model())
        unit, norm = embedding = embedder.embed(crop)
        landmarks = np.arange(10, dtype=np.float32).reshape(5, 2)
        face = adaface.Face(np.float32([1, 2, 30.25, 40]), 0.99994, landmarks)
        embedded = adaface.EmbeddedFace(face.box, face.score, face.landmarks, unit, norm)
        self.assertEqual(repr(face), 'Face(box=[1.0, 2.0, 30.2, 40.0], score=0.9999, landmarks=[[0.0, 1.0], '
                                     '[2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]])')
        self.assertTrue(repr(embedded).startswith('EmbeddedFace(box=[1.0, 2.0'), repr(embedded))
        self.assertTrue(repr(embedding).startswith('Embedding(unit=<512 numbers: [0.04'), repr(embedding))
        self.assertEqual(repr(embedder.embed([crop, crop])),
                         f'Embeddings(units=<2 x 512>, norms=[{norm:.2f}, {norm:.2f}])')
        other = adaface.Face(face.box, face.score, face.landmarks + 1)
        for value, different in ((face, other), (embedded, face)):
            for copied in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
                self.assertEqual(copied, value)
                self.assertIs(type(copied), type(value))
            self.assertNotEqual(value, different)
        again = pickle.loads(pickle.dumps(embedding))
        np.testing.assert_array_equal(again.unit, unit)
        self.assertEqual(again.norm, norm)
        self.assertRaises(TypeError, pickle.dumps, embedder)

    def test_errors(self):
        for code, name in enumerate(_adaface.error_codes):
            with self.assertRaises(adaface.Error) as raised:
                _adaface.raise_error(code, 'a.afw: caf\u00e9')
            error = raised.exception
            self.assertEqual((error.code, str(error)), (name, 'a.afw: caf\u00e9'))
            self.assertIsNot(type(error), adaface.Error)
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(again), str(again)), (type(error), str(error)))
        for kind, also in ((adaface.NotFoundError, FileNotFoundError), (adaface.FileError, OSError),
                           (adaface.InvalidArgumentError, ValueError), (adaface.CorruptError, ValueError),
                           (adaface.OutOfMemoryError, MemoryError)):
            self.assertTrue(issubclass(kind, also) and issubclass(kind, adaface.Error))

    def test_info(self):
        info = adaface.info(models.model())
        self.assertEqual((info.architecture, info.color, info.storage), ('ir_18', 'bgr', 'f32'))
        self.assertEqual((info.parameters, info.file_bytes), (24020352, models.model().stat().st_size))
        self.assertEqual([(len(info.source_sha256), len(info.weights_sha256))], [(64, 64)])
        stem = next(tensor for tensor in info.tensors if tensor.name == 'stem.conv.weight')
        self.assertEqual((stem.type, stem.shape, stem.bytes), ('f32', (64, 3, 3, 3), 64 * 27 * 4))
        self.assertEqual(pickle.loads(pickle.dumps(info)), info)
        weights = adaface.Weights(str(models.model()))
        weights.verify()
        self.assertEqual(weights.info(), info)
        self.assertEqual(repr(weights), f"Weights('{models.model()}')")

    def test_sessions_are_shown(self):
        engine = adaface.Engine(models.model(), models.detector(), faces='best', plan='small')
        embedder = f"Embedder(Weights('{models.model()}'), precision='f32', plan='small', device='cpu')"
        detector = f"Detector(Weights('{models.detector()}'), mode='standard', device='cpu')"
        self.assertEqual([repr(engine.embedder), repr(engine.detector)], [embedder, detector])
        self.assertEqual(repr(engine), f"Engine({embedder}, {detector}, mode='standard', faces='best')")

    def test_version_and_cpus(self):
        self.assertIn(f"version: '{adaface.__version__}'", (models.ROOT / 'meson.build').read_text())
        info = adaface.build_info()
        self.assertEqual(info['version'], adaface.__version__)
        self.assertLessEqual({'compiler', 'onednn', 'kernels', 'bfloat16', 'cuda'}, set(info))
        self.assertGreaterEqual(adaface.available_cpus(), 1)
        self.assertLessEqual(adaface.available_cpus(), len(os.sched_getaffinity(0)))

    def test_cuda_devices(self):
        devices = adaface.cuda_devices()
        self.assertEqual(devices, sorted(devices, key=lambda info: int(info.device[5:])))
        for info in devices:
            self.assertRegex(info.device, r'^cuda:\d+$')
            self.assertGreater(info.memory_bytes, 0)
            self.assertEqual([type(number) for number in info.compute_capability], [int, int])
            self.assertEqual(pickle.loads(pickle.dumps(info)), info)
        info = adaface.DeviceInfo('cuda:1', 'a name', 5, (9, 0))
        self.assertEqual(repr(info), "DeviceInfo(device='cuda:1', name='a name', memory_bytes=5, "
                                     'compute_capability=(9, 0))')

    def run_examples(self, document, before=''):
        """What the blocks of Python in a document print, one after the other."""
        blocks = re.findall(r'```python\n(.*?)```', (models.ROOT / document).read_text(), re.DOTALL)
        self.assertTrue(blocks)
        with tempfile.TemporaryDirectory() as folder:
            for name, target in (('model.afw', models.model()), ('mtcnn.afw', models.detector()),
                                 ('a.jpg', models.FACES / 'people/ada/ada1.jpg'),
                                 ('b.jpg', models.FACES / 'people/ada/ada2.jpg')):
                os.symlink(target, pathlib.Path(folder) / name)
            return subprocess.run([sys.executable, '-c', '\n'.join([before, *blocks]), 'a.jpg'], cwd=folder, check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.splitlines()

    def test_examples(self):
        shown = self.run_examples('README.md')
        self.assertEqual(len(shown), 1)
        self.assertRegex(shown[0], r'^-?0\.\d{4} -?0\.\d{4} \.\.\. norm \d+\.\d\d$')
        shown = self.run_examples('docs/api.md', before='import adaface, numpy\n')
        self.assertRegex(shown[0], r"^\[\('ada', \d\.\d+\), \('ada', ")

    def test_the_engine_is_inside(self):
        def lines(*command):
            return subprocess.run([*command, _adaface.__file__], check=True, stdout=subprocess.PIPE,
                                  text=True).stdout.splitlines()

        needed = re.findall(r'NEEDED.*\[(lib\w+)', '\n'.join(lines('readelf', '-d')))
        self.assertEqual(set(needed) - {'libm', 'libgcc_s', 'libc', 'libpthread'}, {'libdnnl', 'libstdc'})
        exported = [line.split()[-1] for line in lines('nm', '-D', '--defined-only')]
        self.assertEqual([name for name in exported if 'adaface' in name], ['PyInit__adaface'])

    def test_pip_installs_the_package_alone(self):
        """As pip configures the build: what would be installed, without building it."""
        build = models.scratch / 'only'
        text = (models.ROOT / 'pyproject.toml').read_text()
        options = ast.literal_eval(re.search(r'^setup = (.*)$', text, re.MULTILINE)[1])
        subprocess.run(['meson', 'setup', build, models.ROOT, *options], check=True,
                       stdout=subprocess.DEVNULL)
        plan = subprocess.run(['meson', 'introspect', '--install-plan', build], check=True,
                              stdout=subprocess.PIPE)
        kinds = json.loads(plan.stdout).values()
        installed = [file['destination'] for kind in kinds for file in kind.values()]
        files = [*FILES, 'LICENSE', 'THIRD-PARTY.md', pathlib.Path(_adaface.__file__).name]
        self.assertEqual(sorted(installed), sorted(f'{{py_platlib}}/adaface/{name}' for name in files))


if __name__ == '__main__':
    unittest.main()
