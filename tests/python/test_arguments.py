"""What calls take, and what they say of anything else."""
import pathlib
import unittest

import adaface
import models
import numpy as np


def noise(height, width, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


class Arguments(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.embedder = adaface.Embedder(models.model())

    def refused(self, kind, message, call, *arguments, **options):
        with self.assertRaises(kind) as raised:
            call(*arguments, **options)
        self.assertIn(message, str(raised.exception))

    def test_arrays_that_are_no_images(self):
        expected = ', expected a numpy array of uint8 with shape (height, width, 3)'
        landmarks = np.zeros((5, 2))

        def align(image):
            return adaface.align_face(image, landmarks)

        for call, name in ((align, 'image'), (self.embedder.embed, 'crop')):
            for dtype in (np.float32, np.int8, np.uint16):
                self.refused(TypeError, f'{name} has dtype {np.dtype(dtype)}{expected}', call,
                             np.zeros((112, 112, 3), dtype))
            for shape in ((112, 112), (112, 112, 4), (3,)):
                self.refused(ValueError, f'{name} has shape {shape}{expected}', call,
                             np.zeros(shape, np.uint8))
        self.refused(TypeError, f'image is a str{expected}', align, 'a.jpg')
        self.refused(ValueError, 'image has shape (0, 5, 3), expected 1 to 65535 on each side', align,
                     np.zeros((0, 5, 3), np.uint8))
        self.refused(ValueError, 'image has shape (1, 65536, 3), expected 1 to 65535 on each side', align,
                     np.zeros((1, 65536, 3), np.uint8))

    def test_crops(self):
        self.refused(adaface.InvalidArgumentError, 'crop is 100x112, expected an aligned face of 112x112',
                     self.embedder.embed, noise(112, 100))
        self.refused(TypeError, 'crop 1 is a NoneType', self.embedder.embed, [noise(112, 112), None])
        units, norms = self.embedder.embed([])
        self.assertEqual((units.shape, norms.shape), ((0, 512), (0,)))

    def test_landmarks(self):
        image = noise(50, 60)
        points = [[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]]
        crop = adaface.align_face(image, points)
        face = adaface.Face(np.zeros(4, np.float32), 1.0, np.array(points, np.float32))
        np.testing.assert_array_equal(adaface.align_face(image, face), crop)
        self.refused(ValueError, 'landmarks has shape (2, 5), expected numbers of shape (5, 2)',
                     adaface.align_face, image, np.zeros((2, 5)))
        self.refused(TypeError, 'landmarks is a str, expected numbers of shape (5, 2)',
                     adaface.align_face, image, 'nose')
        self.refused(adaface.InvalidArgumentError, 'a landmark is not finite', adaface.align_face, image,
                     np.full((5, 2), np.nan))

    def test_views(self):
        image = noise(90, 120)
        landmarks = [[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]]

        def align(view, **options):
            return adaface.align_face(view, landmarks, **options)

        cut = image[10:70, 30:101]
        read_only = cut.copy()
        read_only.flags.writeable = False
        self.assertFalse(cut.flags.c_contiguous)
        for view in (cut, image[::2, 5:80], image[::-1], image[:, ::-1], image[:, ::2],
                     image.transpose(1, 0, 2), np.asfortranarray(image), image[:, :, ::-1], read_only,
                     image[7:8], image[:, 7:8]):
            np.testing.assert_array_equal(align(view), align(np.ascontiguousarray(view)))
            np.testing.assert_array_equal(align(view[:, :, ::-1], bgr=True), align(view))
        self.assertGreater(np.abs(align(image, bgr=True).astype(int) - align(image)).max(), 50)

    def test_bgr(self):
        crop = noise(112, 112)
        expected = self.embedder.embed(crop)
        np.testing.assert_array_equal(self.embedder.embed(crop[:, :, ::-1], bgr=True).unit, expected.unit)
        self.assertLess(adaface.similarity(self.embedder.embed(crop, bgr=True), expected), 0.9999)

        image = adaface.read_image(models.FACES / 'stranger.jpg')
        engine = models.engine()
        faces = engine.analyze(image)
        self.assertEqual(len(faces), 1)
        self.assertEqual(engine.analyze(image[:, :, ::-1], bgr=True), faces)
        self.assertEqual(engine.analyze(np.ascontiguousarray(image[:, :, ::-1]), bgr=True), faces)
        swapped = image[:, :, ::-1]
        self.assertEqual(engine.compare(swapped, swapped, bgr=True), engine.compare(image, image))

    def test_options(self):
        refused, model = self.refused, models.model()
        invalid = adaface.InvalidArgumentError
        refused(invalid, 'precision is "f64", expected "f32" or "bf16" or "f16"', adaface.Embedder, model,
                precision='f64')
        refused(invalid, 'plan is "large", expected "fast" or "small"', adaface.Embedder, model, plan='large')
        refused(invalid, 'threads is -1', adaface.Embedder, model, threads=-1)
        refused(TypeError, 'float', adaface.Embedder, model, threads=1.5)
        refused(invalid, 'mode is "exact", expected "standard" or "reference"', adaface.align_face,
                noise(9, 9), np.eye(5, 2), mode='exact')
        refused(invalid, 'holds ir_18, expected the detector\'s mtcnn', adaface.Detector, model)
        refused(TypeError, 'int', adaface.Embedder, 5)
        detector = models.detector()
        refused(invalid, 'min_face is 11', adaface.Detector, detector, min_face=11)
        refused(invalid, 'mode is "exact"', adaface.Detector, detector, mode='exact')
        refused(ValueError, 'score_thresholds has 2 numbers, expected 3', adaface.Detector, detector,
                score_thresholds=(0.6, 0.7))
        refused(ValueError, 'faces is "first"', models.engine, faces='first')
        refused(ValueError, 'faces is "first"', adaface.Detector(detector).detect, noise(30, 30),
                faces='first')

    def test_devices(self):
        refused, model, detector = self.refused, models.model(), models.detector()
        calls = ((adaface.Embedder, model), (adaface.Detector, detector), (adaface.Engine, model, detector))
        for call in calls:
            refused(adaface.InvalidArgumentError, 'device is "tpu", expected "cpu", "cuda" or "cuda:0" to', *call,
                    device='tpu')
            # More than any machine has, with and without CUDA.
            refused(adaface.UnsupportedError, 'cuda:1023: ', *call, device='cuda:1023')
            refused(TypeError, 'device', *call, device=0)
        refused(adaface.UnsupportedError, 'precision is f16, which is for CUDA devices', adaface.Embedder, model,
                precision='f16')
        crop = noise(112, 112)
        np.testing.assert_array_equal(adaface.Embedder(model, device='cpu').embed(crop).unit,
                                      self.embedder.embed(crop).unit)

    def test_files(self):
        missing = models.scratch / 'missing.png'
        for call in (adaface.read_image, adaface.Weights, adaface.info, adaface.Embedder):
            with self.assertRaises(FileNotFoundError) as raised:
                call(missing)
            self.assertIsInstance(raised.exception, adaface.NotFoundError)
            self.assertIn('missing.png', str(raised.exception))
        self.assertRaises(adaface.FileError, adaface.read_image, models.scratch)
        broken = models.scratch / 'broken.png'
        broken.write_bytes((models.ROOT / 'tests/data/images/rgb.png').read_bytes()[:-20])
        self.refused(adaface.CorruptError, 'broken.png', adaface.read_image, str(broken))
        self.refused(adaface.CorruptError, 'here.png', adaface.decode_image, broken.read_bytes(),
                     name='here.png')
        self.refused(adaface.LimitError, 'is 1000x420, expected at most 100x100', adaface.read_image,
                     models.FACES / 'group.jpg', max_side=100)
        self.refused(TypeError, 'file is a str', adaface.decode_image, 'a.png')

    def test_images_survive_a_file(self):
        image = noise(31, 17)
        for name in ('plain.png', b'caf\xe9.png'):
            path = models.scratch / pathlib.os.fsdecode(name)
            adaface.write_image(path, image[:, :, ::-1], bgr=True)
            np.testing.assert_array_equal(adaface.read_image(path), image)
            np.testing.assert_array_equal(adaface.decode_image(path.read_bytes()), image)
        self.assertRaises(adaface.InvalidArgumentError, adaface.write_image, models.scratch / 'a.webp', image)

    def test_similarity(self):
        a, b = self.embedder.embed([noise(112, 112, 1), noise(112, 112, 2)]).units
        exact = float(np.dot(a.astype(np.float64), b.astype(np.float64)))
        self.assertAlmostEqual(adaface.similarity(a, b), exact, delta=1e-14)
        self.assertIs(type(adaface.similarity(a, b)), float)
        matrix = adaface.similarity(np.stack([a, b]), np.stack([b, a, b]))
        self.assertEqual((matrix.shape, matrix.dtype), ((2, 3), np.float64))
        self.assertAlmostEqual(matrix[0, 2], exact, delta=1e-14)
        self.assertEqual(adaface.similarity(a * 2, a), 1)
        self.assertEqual(adaface.similarity(a, np.stack([b, a])).shape, (2,))
        self.refused(ValueError, 'b has shape (511,), expected (512,) or (N, 512)', adaface.similarity, a,
                     b[1:])
        self.refused(TypeError, 'a is a list, expected an embedding', adaface.similarity, [1.0], b)
        self.refused(TypeError, 'a has dtype uint8', adaface.similarity, noise(112, 112), b)


if __name__ == '__main__':
    unittest.main()
