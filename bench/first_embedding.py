#!/usr/bin/env python3
"""How long README's programs take, from an installed package to the first embedding of a photograph.

    bench/first_embedding.py PREFIX MODEL DETECTOR IMAGE [ROUNDS]

Installs nothing: PREFIX is where the libraries are, and `python3` imports adaface already, or PYTHONPATH says where it
is. Compiles and runs the program of each language in turns, and prints the least of ROUNDS times (5): a shared machine
only adds."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

if len(sys.argv) not in (5, 6):
    sys.exit(__doc__)
prefix = pathlib.Path(sys.argv[1]).resolve()
rounds = int(sys.argv[5]) if len(sys.argv) == 6 else 5
readme = (pathlib.Path(__file__).parent.parent / 'README.md').read_text()
section = re.search(r'^## The first embedding\n(.*?)^## ', readme, re.MULTILINE | re.DOTALL)[1]
programs = dict(re.findall(r'^```(c|cpp|python)\n(.*?)^```$', section, re.MULTILINE | re.DOTALL))

environment = dict(os.environ)
libraries = next(prefix.glob('lib/**/libadaface.so')).parent
environment['LD_LIBRARY_PATH'] = str(libraries)
environment['PKG_CONFIG_PATH'] = str(libraries / 'pkgconfig')
flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'adaface'], env=environment, check=True, text=True,
                       stdout=subprocess.PIPE).stdout.split()


def timed(command, directory):
    start = time.perf_counter()
    run = subprocess.run(command, cwd=directory, env=environment, check=True, text=True, stdout=subprocess.PIPE)
    return time.perf_counter() - start, run.stdout.splitlines()[0] if run.stdout else ''


with tempfile.TemporaryDirectory() as directory:
    for name, target in (('model.afw', sys.argv[2]), ('mtcnn.afw', sys.argv[3]), ('photo.jpg', sys.argv[4])):
        os.symlink(os.path.abspath(target), os.path.join(directory, name))
    for language, text in programs.items():
        pathlib.Path(directory, f'first.{language}').write_text(text)
    build = {'c': ['cc', 'first.c', '-o', 'first-c', *flags],
             'cpp': ['c++', '-std=c++20', 'first.cpp', '-o', 'first-cpp', *flags]}
    run = {'c': ['./first-c', 'photo.jpg'], 'cpp': ['./first-cpp', 'photo.jpg'],
           'python': ['python3', 'first.python', 'photo.jpg']}
    builds, runs, said = {}, {}, {}
    for _ in range(rounds):
        for language in programs:
            if language in build:
                builds.setdefault(language, []).append(timed(build[language], directory)[0])
            seconds, said[language] = timed(run[language], directory)
            runs.setdefault(language, []).append(seconds)
    for language, text in programs.items():
        lines = len([line for line in text.splitlines() if line.strip()])
        compiled = f'{min(builds[language]):.2f} s' if language in builds else '-'
        print(f'{language:7} {lines:3} lines   compile {compiled:>7}   run {min(runs[language]):.2f} s   {said[language]}')
