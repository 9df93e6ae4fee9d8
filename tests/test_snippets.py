"""Compiles what the documents show: test_snippets.py SOURCE_ROOT BUILD_ROOT CXX CC

The blocks of docs/api.md that are of one language share a translation unit, with headers above them; a block of
README.md that has a main stands alone. Python is parsed, and uses no name that is not made above."""
import ast
import builtins
import pathlib
import re
import subprocess
import sys

root, build = map(pathlib.Path, sys.argv[1:3])
compilers = {'cpp': sys.argv[3].split(), 'c': sys.argv[4].split()}
flags = {'cpp': ['-x', 'c++', '-std=c++20'], 'c': ['-x', 'c', '-std=c11']}
strict = ['-Wall', '-Wextra', '-Werror', '-fsyntax-only']
headers = {
    'cpp': ['adaface/adaface.hpp', 'adaface/gallery.hpp', 'chrono', 'cstdio', 'optional', 'stdexcept', 'thread'],
    'c': ['adaface/adaface.h', 'math.h', 'signal.h', 'stdio.h', 'stdlib.h', 'string.h'],
}


def blocks(document):
    """(language, first line, text) of each fenced block."""
    text = document.read_text()
    for match in re.finditer(r'^```(\w+)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        yield match[1], text[:match.start()].count('\n') + 2, match[2]


def compiled(language, source, name):
    run = subprocess.run([*compilers[language], *flags[language], *strict, f'-I{include}', '-'], input=source, text=True,
                         stderr=subprocess.PIPE)
    print('ok  ' if run.returncode == 0 else 'FAIL', name)
    if run.returncode != 0:
        print(run.stderr)
    return run.returncode == 0


def without_origin(text, name, known):
    """The names that a block of Python reads and nobody has made; adds to `known` what it makes."""
    nodes = list(ast.walk(ast.parse(text, name)))
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            known.add(node.name)
    return sorted({node.id for node in nodes if isinstance(node, ast.Name)} - known - set(dir(builtins)))


# As an installation has them.
include = build / 'snippets-include'
include.mkdir(exist_ok=True)
headers_link = include / 'adaface'
if not headers_link.exists():
    headers_link.symlink_to(root / 'src')

good = True
found = {'cpp': 0, 'c': 0, 'python': 0}
units = {language: ''.join(f'#include <{header}>\n' for header in headers[language]) for language in ('cpp', 'c')}
made = {'adaface', 'numpy'}
for language, line, text in blocks(root / 'docs/api.md'):
    found[language] += 1
    if language == 'python':
        if unknown := without_origin(text, f'docs/api.md:{line}', made):
            good = False
            print(f'FAIL docs/api.md:{line}: made nowhere above:', *unknown)
    else:
        units[language] += f'#line {line} "docs/api.md"\n{text}\n'
for language, unit in units.items():
    good &= compiled(language, unit, f'docs/api.md, {found[language]} blocks of {language}')
print('ok   docs/api.md,', found['python'], 'blocks of python')

programs = 0
for language, line, text in blocks(root / 'README.md'):
    if language == 'python':
        if unknown := without_origin(text, f'README.md:{line}', set()):
            good = False
            print(f'FAIL README.md:{line}: made nowhere above:', *unknown)
    elif language in compilers:
        programs += 1
        good &= compiled(language, f'#line {line} "README.md"\n{text}', f'README.md:{line}')

# A document that moved or lost its blocks would pass in silence.
assert found['cpp'] >= 14 and found['c'] >= 9 and found['python'] >= 4 and programs >= 2, (found, programs)
sys.exit(0 if good else 1)
