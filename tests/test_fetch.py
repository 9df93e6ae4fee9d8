"""tools/fetch against a server of this process: what it keeps, what it refuses, what it takes up again.

Run as: test_fetch.py SOURCE_ROOT
"""
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
CONTENT = bytes(range(256)) * 4096
PAGE = b'<!DOCTYPE html><html><body>Too many downloads</body></html>'
FORM = b'<html><form><input type="hidden" name="uuid" value="12-ab"></form></html>'


class Server(http.server.BaseHTTPRequestHandler):
    answers = {}  # path -> bytes; bytes and a number: cut off after so many
    requests = []

    def do_GET(self):
        Server.requests.append((self.path, self.headers.get('Range')))
        answer = Server.answers.get(self.path)
        if answer is None:
            return self.send_error(404)
        content, cut = answer if isinstance(answer, tuple) else (answer, None)
        first = 0
        if self.headers.get('Range'):
            first = int(self.headers['Range'].split('=')[1].split('-')[0])
            if first >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {first}-{len(content) - 1}/{len(content)}')
        else:
            self.send_response(200)
        self.send_header('Content-Length', str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:cut] if cut else content[first:])

    def log_message(self, *arguments):
        pass


class Fetch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        Server.answers, Server.requests = {}, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='adaface-fetch-'))
        self.addCleanup(shutil.rmtree, self.folder)
        # The script finds its list beside itself: a copy of it with a list of our own.
        (self.folder / 'tools').mkdir()
        (self.folder / 'weights').mkdir()
        shutil.copy(ROOT / 'tools/fetch', self.folder / 'tools/fetch')
        digest = hashlib.sha256(CONTENT).hexdigest()
        (self.folder / 'weights/MANIFEST').write_text(
            '# comment\n'
            f'known    known.npy  {len(CONTENT)}  {digest}  -  MIT       github:owner/project@abc/a/known.npy\n'
            'released net.ckpt   -               -         bgr  research  drive:ID\n')

    def fetch(self, *arguments, mirror=None):
        base = mirror or f'http://127.0.0.1:{self.server.server_port}'
        return subprocess.run(['bash', self.folder / 'tools/fetch', *arguments, '-o', self.folder / 'out'], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env={**os.environ, 'ADAFACE_MIRROR': base, 'no_proxy': '*'})

    def files(self):
        folder = self.folder / 'out'
        return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}

    def test_whole(self):
        Server.answers['/known.npy'] = CONTENT
        self.assertEqual(self.fetch('known').returncode, 0)
        self.assertEqual(self.files(), {'known.npy': CONTENT})
        again = self.fetch('known')
        self.assertEqual((again.returncode, len(Server.requests)), (0, 1))
        self.assertIn('there already', again.stdout)

    def test_wrong_content_never_gets_the_name(self):
        Server.answers['/known.npy'] = CONTENT[:-1] + b'x'
        result = self.fetch('known')
        self.assertEqual((result.returncode, self.files()), (1, {}))
        self.assertIn('sha256', result.stderr)
        self.assertIn('https://github.com/owner/project/blob/abc/a/known.npy', result.stderr)

    def test_another_file_of_that_name_is_left_alone(self):
        (self.folder / 'out').mkdir()
        (self.folder / 'out/known.npy').write_bytes(b'mine')
        self.assertEqual(self.fetch('known').returncode, 1)
        self.assertEqual(self.files(), {'known.npy': b'mine'})

    def test_broken_off_and_taken_up(self):
        Server.answers['/known.npy'] = (CONTENT, 300000)
        result = self.fetch('known')
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.files(), {'known.npy.part': CONTENT[:300000]})
        Server.answers['/known.npy'] = CONTENT
        self.assertEqual(self.fetch('known').returncode, 0)
        self.assertEqual(self.files(), {'known.npy': CONTENT})
        self.assertEqual(Server.requests[-1], ('/known.npy', 'bytes=300000-'))

    def test_a_part_that_is_too_long_is_fetched_anew(self):
        (self.folder / 'out').mkdir()
        (self.folder / 'out/known.npy.part').write_bytes(CONTENT + b'more')
        Server.answers['/known.npy'] = CONTENT
        self.assertEqual(self.fetch('known').returncode, 0)
        self.assertEqual(self.files(), {'known.npy': CONTENT})

    def test_a_page_is_no_file(self):
        Server.answers['/net.ckpt'] = PAGE
        result = self.fetch('released')
        self.assertEqual((result.returncode, self.files()), (1, {}))
        self.assertIn('web page', result.stderr)
        self.assertIn('https://drive.google.com/file/d/ID/view', result.stderr)

    def test_the_confirm_form_is_answered(self):
        Server.answers['/net.ckpt'] = FORM
        Server.answers['/net.ckpt&uuid=12-ab'] = CONTENT
        result = self.fetch('released')
        self.assertEqual((result.returncode, self.files()), (0, {'net.ckpt': CONTENT}))
        self.assertIn(hashlib.sha256(CONTENT).hexdigest(), result.stdout)
        self.assertIn('research use', result.stdout)

    def test_out_of_reach(self):
        result = self.fetch('known', mirror='http://127.0.0.1:9')
        self.assertEqual((result.returncode, self.files()), (1, {}))
        self.assertIn('blob/abc/a/known.npy', result.stderr)

    def test_one_missing_does_not_stop_the_others(self):
        Server.answers['/known.npy'] = CONTENT
        self.assertEqual(self.fetch('released', 'known').returncode, 1)
        self.assertEqual(self.files(), {'known.npy': CONTENT})

    def test_usage(self):
        for arguments in (['nonsense'], ['--nonsense'], []):
            result = self.fetch(*arguments)
            self.assertEqual((result.returncode, self.files()), (2, {}))
        self.assertIn('nonsense', self.fetch('nonsense').stderr)


unittest.main()
