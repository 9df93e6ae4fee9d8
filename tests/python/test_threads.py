"""The interpreter's lock, threads that share an engine, processes."""
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import adaface
import models
import numpy as np


class Counter:
    """A Python thread that counts, but only while the thread that made it has given up the interpreter's
    lock: with this switch interval nobody is made to give it up."""

    def __enter__(self):
        self.interval, self.count, self.stop = sys.getswitchinterval(), 0, False
        sys.setswitchinterval(1e6)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.stop:
            self.count += 1
            time.sleep(1e-5)  # gives it up

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        sys.setswitchinterval(self.interval)


class Threads(unittest.TestCase):
    def check_releases_lock(self, call):
        call()  # what a first call imports may release the lock
        with Counter() as counter:
            # A busy machine may not get round to the other thread during one call; where the lock is held, no
            # number of calls lets it count.
            for _ in range(200):
                before = counter.count
                call()
                if counter.count > before:
                    return
        self.fail('no other thread ran')

    def test_lock_is_released_while_files_are_read(self):
        weights = adaface.Weights(models.model())
        bytes = (models.FACES / 'group.jpg').read_bytes()
        for call in (weights.verify, lambda: adaface.Weights(models.model()),
                     lambda: adaface.decode_image(bytes),
                     lambda: adaface.read_image(models.FACES / 'group.jpg'),
                     lambda: adaface.Embedder(weights, threads=1)):
            self.check_releases_lock(call)

    def test_lock_is_released_while_embedding(self):
        embedder, crop = adaface.Embedder(models.model(), threads=1), models.pattern()
        self.check_releases_lock(lambda: embedder.embed(crop))
        self.check_releases_lock(lambda: embedder.embed([crop]))

    def test_lock_is_released_while_detecting(self):
        # Without a face: NumPy releases the lock where results are copied into arrays.
        detector = adaface.Detector(models.detector(), threads=1)
        image = adaface.read_image(models.FACES / 'no_face.jpg')
        self.check_releases_lock(lambda: detector.detect(image))

    def check_is_stopped(self, call, session):
        class Stop(Exception):
            pass

        seen = []

        def stop(*_):
            # Were the call not interrupted, all signals would be one, handled after it.
            seen.append(0)
            if len(seen) == 2:
                with self.assertRaisesRegex(RuntimeError, 'from within one of its calls'):
                    session()
                raise Stop

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            self.assertRaises(Stop, call)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def test_signals_stop_an_embedder(self):
        embedder, crop = adaface.Embedder(models.model(), threads=1), models.pattern()
        expected = embedder.embed(crop).unit
        self.check_is_stopped(lambda: embedder.embed([crop] * 400), lambda: embedder.embed(crop))
        np.testing.assert_array_equal(embedder.embed(crop).unit, expected)

    def test_signals_stop_a_detector(self):
        detector = adaface.Detector(models.detector(), threads=1)
        group = adaface.read_image(models.FACES / 'group.jpg')
        expected = detector.detect(group)
        large = np.tile(group, (15, 6, 1))
        self.check_is_stopped(lambda: detector.detect(large), lambda: detector.detect(group))
        self.assertEqual(detector.detect(group), expected)

    def in_threads(self, count, work):
        failures = []

        def run(index):
            try:
                work(index)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def test_an_engine_is_shared(self):
        engine = models.engine(threads=2)
        pictures = [adaface.read_image(path) for path in sorted((models.FACES / 'people').glob('*/*1.jpg'))]
        expected = [engine.analyze(picture) for picture in pictures]
        self.assertEqual([len(faces) for faces in expected], [1] * 8)

        def work(index):
            for step in range(len(pictures)):
                at = (index + step) % len(pictures)
                self.assertEqual(engine.analyze(pictures[at]), expected[at])

        self.in_threads(6, work)

    def test_an_embedder_is_shared(self):
        embedder = adaface.Embedder(models.model(), threads=1)
        crops = np.random.default_rng(6).integers(0, 256, (6, 112, 112, 3), np.uint8)
        expected = embedder.embed(crops).units

        def work(index):
            for _ in range(4):
                np.testing.assert_array_equal(embedder.embed(crops[index]).unit, expected[index])

        self.in_threads(6, work)

    def test_engines_share_weights(self):
        weights = adaface.Weights(models.model())
        expected = adaface.Embedder(weights, threads=1).embed(models.pattern()).unit

        def work(_):
            embedding = adaface.Embedder(weights, threads=1).embed(models.pattern())
            np.testing.assert_array_equal(embedding.unit, expected)

        self.in_threads(4, work)

    def test_one_thread_is_one(self):
        """oneDNN's OpenMP included, which is loaded for this module alone."""
        code = ('import adaface, os, sys, models\n'
                'def threads(): return len(os.listdir("/proc/self/task"))\n'
                'before = threads()\n'
                'embedder = adaface.Embedder(sys.argv[1], threads=1)\n'
                'embedder.embed(models.pattern())\n'
                'assert threads() == before, (threads(), before)\n'
                'more = adaface.Embedder(sys.argv[1], threads=3)\n'
                'more.embed(models.pattern())\n'
                'assert threads() == before + 2, (threads(), before)\n')
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        subprocess.run([sys.executable, '-c', code, models.model()], check=True, env=environment)

    def in_child(self, work):
        process = os.fork()
        if process == 0:
            signal.alarm(120)  # a child that hangs ends by it
            try:
                work()
                os._exit(0)
            except BaseException as failure:
                print(repr(failure), flush=True)
                os._exit(1)
        self.assertEqual(os.waitpid(process, 0)[1], 0)

    def test_fork(self):
        weights = adaface.Weights(models.model())
        embedder = adaface.Embedder(weights, threads=2)
        expected = embedder.embed(models.pattern()).unit

        def made_by_the_parent():
            try:
                embedder.embed(models.pattern())
            except RuntimeError as error:
                assert 'before the process forked' in str(error), error
            else:
                raise AssertionError('no error')

        def made_by_the_child():
            mine = adaface.Embedder(weights, threads=2)
            np.testing.assert_array_equal(mine.embed(models.pattern()).unit, expected)

        def forgotten():
            nonlocal embedder
            del embedder

        for work in (made_by_the_parent, made_by_the_child, forgotten):
            self.in_child(work)
        np.testing.assert_array_equal(embedder.embed(models.pattern()).unit, expected)


if __name__ == '__main__':
    unittest.main()
