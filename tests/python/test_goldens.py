"""The package against the goldens of the published pipeline, within the tolerances of the library's tests."""
import unittest

import adaface
import models
import numpy as np


def landmarks_of(face):
    return np.array(face['landmarks'], np.float32).reshape(2, 5).T


class Goldens(unittest.TestCase):
    def test_faces_in_both_modes(self):
        worst = {'pixels': 0.0, 'score': 0.0}
        faces = 0
        for file, folder in (('mtcnn.json', 'images'), ('synthetic_faces.json', 'synthetic_faces/png')):
            expected = models.golden(models.shared('golden') / file)
            for mode, kind in (('reference', 'width'), ('standard', 'class')):
                detector = adaface.Detector(models.detector(), mode=mode)
                for image in expected['images']:
                    path = models.SHARED / folder / image['file']
                    found = detector.detect(adaface.read_image(path, apply_orientation=False))
                    self.assertEqual(len(found), len(image[kind]['faces']), path)
                    for face, wanted in zip(found, image[kind]['faces']):
                        off = [np.abs(face.box - wanted['box']).max(),
                               np.abs(face.landmarks - landmarks_of(wanted)).max()]
                        worst['pixels'] = max(worst['pixels'], *off)
                        worst['score'] = max(worst['score'], abs(face.score - wanted['score']))
                        faces += 1
        print(f'{faces} faces, worst {worst}')
        self.assertLessEqual(worst['pixels'], 0.05)
        self.assertLessEqual(worst['score'], 1e-4)
        self.assertGreater(faces, 80)

    def test_photograph_to_crop(self):
        expected = models.golden(models.shared('golden') / 'mtcnn.json')
        engine = models.engine(mode='reference')
        differences = []
        for image in expected['images']:
            picture = adaface.read_image(models.SHARED / 'images' / image['file'])
            found = engine.detect(picture)
            self.assertEqual(len(found), len(image['width']['faces']))
            for face, wanted in zip(found, image['width']['faces']):
                crop = engine.align(picture, face)
                self.assertEqual((crop.shape, crop.dtype), ((112, 112, 3), np.uint8))
                aligned = adaface.read_image(models.SHARED / 'golden/crops' / wanted['crop'])
                differences.append(np.abs(crop.astype(int) - aligned))
        self.assertGreater(len(differences), 15)
        self.assertLessEqual(np.mean(differences), 0.05)
        self.assertLessEqual(np.max(differences), 4)  # tests/test_detector.cpp says why

    def check_embedding(self, embedding, wanted):
        expected = np.array(wanted['embedding'])
        self.assertEqual((embedding.unit.shape, embedding.unit.dtype), ((512,), np.float32))
        self.assertIs(type(embedding.norm), float)
        cosine = embedding.unit.astype(float) @ expected / np.linalg.norm(expected)
        self.assertLessEqual(1 - cosine, 1e-6)
        self.assertLessEqual(abs(embedding.norm / wanted['norm'] - 1), 1e-4)

    def test_embedding_of_the_pattern(self):
        expected = models.golden(models.ROOT / 'tests/golden/embed_pattern.json')['ir_18']
        self.check_embedding(adaface.Embedder(models.model()).embed(models.pattern()), expected)

    def test_embeddings_of_crops(self):
        expected = models.golden(models.shared('golden/embed_ir_18.json'))['crops']
        crops = [adaface.read_image(models.SHARED / 'golden/crops' / crop['file']) for crop in expected]
        embedder = adaface.Embedder(models.model())
        several, stacked = embedder.embed(crops), embedder.embed(np.stack(crops))
        self.assertEqual((several.units.shape, several.norms.shape), ((len(crops), 512), (len(crops),)))
        for i, (crop, wanted) in enumerate(zip(crops, expected)):
            single = embedder.embed(crop)
            self.check_embedding(single, wanted)
            for batch in (several, stacked):
                np.testing.assert_array_equal(batch.units[i], single.unit)
                self.assertEqual(batch.norms[i], np.float32(single.norm))

    def test_analysis_is_its_parts(self):
        engine = models.engine()
        image = adaface.read_image(models.FACES / 'group.jpg')
        faces = engine.detect(image)
        units, norms = engine.embed([engine.align(image, face) for face in faces])
        result = engine.analyze(image)
        self.assertEqual(len(result), 13)
        for face, unit, norm, embedded in zip(faces, units, norms, result):
            self.assertEqual(embedded, adaface.EmbeddedFace(face.box, face.score, face.landmarks, unit, norm))
        self.assertEqual([face.score for face in faces], sorted((face.score for face in faces), reverse=True))

    def test_selection_and_comparison(self):
        group = adaface.read_image(models.FACES / 'group.jpg')
        stranger = adaface.read_image(models.FACES / 'stranger.jpg')
        empty = adaface.read_image(models.FACES / 'no_face.jpg')
        every = models.engine().analyze(group)
        largest = max(every, key=lambda face: np.prod(face.box[2:] - face.box[:2] + 1))
        self.assertNotEqual(largest, every[0])
        self.assertEqual(models.engine(faces='largest').analyze(group), [largest])
        self.assertEqual(models.engine(faces='best').analyze(group), every[:1])

        engine = models.engine()
        alone = engine.analyze(stranger)[0]
        self.assertEqual(engine.compare(group, stranger), adaface.similarity(largest, alone))
        self.assertEqual(models.engine(faces='best').compare(group, stranger),
                         adaface.similarity(every[0], alone))
        self.assertEqual(engine.analyze(empty), [])
        self.assertIsNone(engine.compare(stranger, empty))
        reference = models.engine(mode='reference')
        self.assertEqual(reference.compare(group, stranger),
                         adaface.similarity(reference.analyze(group)[0], reference.analyze(stranger)[0]))

    def test_plan_precision_and_preparation(self):
        expected = adaface.Embedder(models.model()).embed(models.pattern())
        small = adaface.Embedder(models.model(), plan='small', threads=1).embed(models.pattern())
        prepared = adaface.Embedder(models.model(), threads=2)
        prepared.prepare()
        for other in (small, prepared.embed(models.pattern())):
            np.testing.assert_array_equal(other.unit, expected.unit)
        try:
            rounded = adaface.Embedder(models.model(), precision='bf16').embed(models.pattern())
        except adaface.UnsupportedError as error:
            print(f'skipped: bf16, {error}')
        else:
            self.assertGreater(adaface.similarity(rounded, expected), 0.9998)
            self.assertLess(adaface.similarity(rounded, expected), 1)


if __name__ == '__main__':
    unittest.main()
