#!/usr/bin/env python3
"""Nothing of one architecture outside its folder of kernels, CUDA where it belongs, and a notice for whatever is
compiled in: test_sources.py SOURCE_ROOT"""

import re
import sys
from pathlib import Path

FOLDERS = ('src', 'kernels', 'weights', 'tools', 'bench', 'tests')
SOURCES = {'.h', '.hpp', '.cpp', '.c', '.in'}
# Intrinsics and their headers, registers, inline assembly, the CPU's name.
OF_ONE_ARCHITECTURE = re.compile(
    r'''\b_mm\d*_\w+ | \b__m(64|128|256|512)[id]?\b | \b\w*(immintrin|x86intrin|emmintrin|cpuid|arm_neon|arm_sve)\w*
    | \b__builtin_(ia32|cpu_|neon|aarch64)\w* | \b(__asm__|asm)\b\s*(volatile)?\s*\( | \btarget(_clones)?\s*\(\s*"
    | \bx86::\w*(sse|avx|vnni)''', re.VERBOSE)
FLAGS = re.compile(r"'-(m(?!eson)[a-z0-9.=-]+)'")
# Asks the CPU itself what a table should hold; changes stacks.
EXCEPTIONS = {Path('tests/cpu.h'), Path('tests/cuda_emulation/fiber.cpp')}
KERNEL_FOLDERS = {('kernels', 'x86'), ('kernels', 'cuda')}
# CUDA's headers, by whatever path.
OF_CUDA = re.compile(r'#\s*include\s*[<"](.*/)?(cuda|cuda_runtime\w*|cuda_fp16|cuda_bf16|cublas\w*|cudnn\w*|mma)\.h>')
CUDA_FILES = {Path('src/nn/cuda_device.cpp')}
CUDA_FOLDERS = {('kernels', 'cuda'), ('tests', 'cuda_emulation')}

# Headers of others, by how their names begin: the component of THIRD-PARTY.md, or none where a library is loaded and
# nothing but declarations is compiled in.
SYSTEM = re.compile(r'(sys/\w+|dlfcn|fcntl|immintrin|pthread|sched|std\w+|unistd)\.h')
COMPONENTS = {'CLI/': 'CLI11', 'Eigen/': 'Eigen', 'cuda_': 'CUDA runtime', 'dnnl': 'oneDNN', 'nlohmann/': 'JSON for Modern C++',
              'openssl/': None, 'pybind11/': 'pybind11', 'sqlite3': None, 'stb/': 'stb', 'xxhash': 'xxHash', 'zip.h': None}


def without_notice(root):
    rows = [line for line in (root / 'THIRD-PARTY.md').read_text().splitlines() if line.startswith('| ')]
    for folder in ('src', 'kernels', 'weights', 'tools'):
        for path in sorted((root / folder).rglob('*')):
            if path.suffix not in SOURCES | {'.cu'}:
                continue
            for header in re.findall(r'#\s*include\s*<([^>]*[./][^>]*)>', path.read_text()):
                begins = next((known for known in COMPONENTS if header.startswith(known)), None)
                component = COMPONENTS.get(begins)
                if not SYSTEM.fullmatch(header) and (
                        begins is None or component and not any(component in row for row in rows)):
                    yield f'{path.relative_to(root)}: <{header}> has no row in THIRD-PARTY.md'


# Of each row that promises a text below, that there is one.
def without_text(text):
    sections = dict(re.findall(r'^## (.*)\n((?:(?!## ).*\n)*)', text, re.MULTILINE))
    for line in text.splitlines():
        row = re.match(r'\| \[([^\]]+)\].*\bbelow\b', line)
        if row and '```' not in sections.get(row[1], ''):
            yield f'THIRD-PARTY.md: {row[1]} has no section with the text that its row promises'


def violations(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob('*')):
            name = path.relative_to(root)
            if is_cuda_violation(name, path):
                yield f'{name}: includes a header of CUDA'
            if name.parts[:2] in KERNEL_FOLDERS or name in EXCEPTIONS:
                continue
            is_build = path.name == 'meson.build' and name != Path('kernels/meson.build')
            if path.suffix in SOURCES or is_build:
                pattern = FLAGS if is_build else OF_ONE_ARCHITECTURE
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    if pattern.search(line):
                        yield f'{name}:{number}: {line.strip()}'


# The engine knows devices by src/nn/cuda_device.h; benchmarks may know the libraries that they compare with, tests the
# emulation.
def is_cuda_violation(name, path):
    if path.suffix not in SOURCES or name in CUDA_FILES or name.parts[:2] in CUDA_FOLDERS or name.parts[0] == 'bench':
        return False
    return any(OF_CUDA.search(line) for line in path.read_text().splitlines())


# Launches overlap: a kernel that never waits for the one before reads what is not there yet. (name, waits) of each; a
# wait may be in a function that the kernel calls in the same file.
def kernels_that_wait(text):
    def body(at):
        begin, depth = text.index('{', at), 0
        for i in range(begin, len(text)):
            depth += {'{': 1, '}': -1}.get(text[i], 0)
            if depth == 0:
                return text[begin:i]
        return text[begin:]

    wait = 'ptx::wait_for_previous_kernel()'
    callees = [m for m in re.finditer(r'__device__[\w\s:<>*&]*?\b(\w+)\((?=[^;{]*\)\s*(const\s*)?\{)', text)]
    waiting = {m[1] for m in callees if wait in body(m.end())}
    for m in re.finditer(r'__global__[^{;]*?\bvoid\b[^{;]*?(\w+_kernel|\w+)\s*\((?!k|D::|shape|Tile::)[^{;]*\)\s*\{', text):
        inside = body(m.start())
        yield m[1], wait in inside or any(re.search(rf'\b{name}\s*(<[^;()]*>)?\(', inside) for name in waiting)


def main():
    root = Path(sys.argv[1])
    for line, found in {'_mm256_add_ps(a, b)': True, '#include <immintrin.h>': True, 'asm volatile("")': True,
                        '__builtin_cpu_supports("avx2")': True, '__attribute__((target("avx2")))': True,
                        'x86::add_levels(levels);': False, 'int mm_per_inch;': False, 'target(name)': False}.items():
        assert bool(OF_ONE_ARCHITECTURE.search(line)) == found, line
    for line, found in {'#include <cuda_runtime.h>': True, '#include <cublas_v2.h>': True,
                        '#include "src/nn/cuda_device.h"': False}.items():
        assert bool(OF_CUDA.search(line)) == found, line
    kernels = [(path.name, *kernel) for path in sorted((root / 'kernels/cuda').iterdir()) if path.suffix in {'.cu', '.h'}
               for kernel in kernels_that_wait(path.read_text())]
    declared = sum(path.read_text().count('__global__') for path in (root / 'kernels/cuda').iterdir()
                   if path.suffix in {'.cu', '.h'})
    assert len(kernels) == declared >= 10, f'{len(kernels)} kernels read, {declared} declared'
    inside = sum(bool(OF_ONE_ARCHITECTURE.search(path.read_text())) for path in (root / 'kernels/x86').iterdir())
    assert inside >= 5, f'{inside} files with intrinsics in kernels/x86: the pattern finds nothing'
    notices = (root / 'THIRD-PARTY.md').read_text()
    for section in re.findall(r'^## (.*)$', notices, re.MULTILINE):
        assert any(section in line for line in without_text(notices.replace(f'## {section}\n', '## another\n'))), section
    found = [*violations(root), *without_notice(root), *without_text(notices)]
    found += [f'kernels/cuda/{file}: {name} has no ptx::wait_for_previous_kernel()' for file, name, waits in kernels if not waits]
    print('\n'.join(found) or f'none outside kernels/x86, {inside} files with them inside')
    sys.exit(1 if found else 0)


if __name__ == '__main__':
    main()
