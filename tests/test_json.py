"""What --json prints is what docs/json.md says: test_json.py SOURCE_ROOT ADAFACE CONVERT SYNTHETIC GALLERY

Keys, types, and which keys may be missing, in both directions. GALLERY is 1 where the programs have galleries. Without
MTCNN's published weights in ../shared only what needs no detector runs."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

root, adaface, convert, synthetic = map(pathlib.Path, sys.argv[1:5])
has_gallery = sys.argv[5] == '1'
shared = pathlib.Path(os.environ.get('ADAFACE_SHARED') or root / '../shared')
IS_OF_TYPE = {
    'text': lambda v: isinstance(v, str),
    'boolean': lambda v: isinstance(v, bool),
    'integer': lambda v: isinstance(v, int) and not isinstance(v, bool),
    'number': lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    'array': lambda v: isinstance(v, list),
    'null': lambda v: v is None,
}


class Key:
    def __init__(self, types, optional):
        self.types, self.optional, self.seen = types.split(' or '), optional, False


def documented():
    """Section -> its tables, each a dict of path -> Key."""
    sections = {}
    for title, text in re.findall(r'^## (.*)\n((?:(?!## ).*\n)*)', (root / 'docs/json.md').read_text(), re.MULTILINE):
        sections[title] = []
        for line in text.splitlines():
            if line == '| key | type | |':
                sections[title].append({})
            elif line.startswith('| `'):
                names, types, meaning = (cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:4])
                for name in re.findall(r'`([^`]+)`', names):
                    sections[title][-1][name] = Key(types, meaning.startswith('Only'))
    return sections


def values(value, path=''):
    """(path, value) of what is no object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from values(inner, f'{path}.{key}' if path else key)
        return
    yield path, value
    if isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                yield from values(inner, path + '[]')


def problem(line, table):
    """Why the table does not describe this line; None where it does."""
    found = list(values(line))
    for path, value in found:
        if path not in table:
            return f'{path} is not documented'
        if not any(IS_OF_TYPE[kind](value) for kind in table[path].types):
            return f'{path} is {value!r}, documented as {" or ".join(table[path].types)}'
    paths = [path for path, _ in found]
    for path, key in table.items():
        if '[]' not in path and not key.optional and path not in paths:
            return f'{path} is missing'
        # Of each object in an array.
        if '[]' in path and not key.optional:
            array, _, inner = path.partition('[].')
            for element in line.get(array, []):
                if inner not in [p for p, _ in values(element)]:
                    return f'{path} is missing'
    return None


sections = documented()
errors = sections.pop('Inputs that fail')
failures = []


def run(section, *arguments, code=0):
    command = [adaface, *section.split(), *map(str, arguments), '--json', '--quiet']
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != code or not lines:
        failures.append(f'{command}: exit code {done.returncode}, {len(lines)} lines: {done.stderr}')
    for line in lines:
        tables = errors if 'error' in line else sections[section]
        problems = [problem(line, table) for table in tables]
        if None not in problems:
            failures.append(f'{section}: {" / ".join(map(str, problems))}: {json.dumps(line)[:300]}')
            continue
        table = tables[problems.index(None)]
        for path, _ in values(line):
            table[path].seen = True


scratch = pathlib.Path(tempfile.mkdtemp(prefix='adaface-test-json-'))
try:
    quiet = {'check': True, 'stdout': subprocess.DEVNULL}
    subprocess.run([synthetic, 'ir_18', '1', scratch / 'model.ckpt'], **quiet)
    subprocess.run([convert, scratch / 'model.ckpt', '-o', scratch / 'model.afw'], **quiet)
    os.environ['ADAFACE_HOME'] = str(scratch)
    missing = scratch / 'missing.jpg'
    faces = root / 'tests/data/synthetic_faces'

    run('info', scratch / 'model.afw')
    run('info', scratch / 'model.afw', '--verify', '--tensors')
    run('bench', '--repetitions', 1)
    earlier = scratch / 'earlier.json'
    earlier.write_bytes(subprocess.run([adaface, 'bench', '--layers', '--repetitions', '1', '--json', '--quiet'],
                                       check=True, stdout=subprocess.PIPE).stdout)
    run('bench', '--layers', '--repetitions', 1, '--against', earlier)
    earlier.write_bytes(subprocess.run([adaface, 'bench', '--repetitions', '1', '--json', '--quiet'],
                                       check=True, stdout=subprocess.PIPE).stdout)
    run('bench', '--repetitions', 1, '--against', earlier)
    run('bench', '--layers', '--repetitions', 1)
    run('bench', '--layers', '--repetitions', 5)
    mtcnn = shared / 'weights/mtcnn'
    if mtcnn.exists():
        nets = [mtcnn / f'{net}.npy' for net in ('pnet', 'rnet', 'onet')]
        subprocess.run([convert, '--mtcnn', *nets, '-o', scratch / 'mtcnn.afw'], **quiet)
        ada, none = faces / 'people/ada/ada1.jpg', faces / 'no_face.jpg'
        run('detect', ada, none, missing, code=1)
        run('align', ada, none, missing, '-o', scratch / 'crops', code=1)
        run('embed', ada, none, missing, code=1)
        run('embed', '--aligned', scratch / 'crops/ada1.png')
        run('compare', ada, none, missing, code=1)
        run('compare', faces / 'group.jpg', '--faces', 'all')
        pairs = scratch / 'pairs.txt'
        pairs.write_text('ada1.jpg ada2.jpg 1\nada2.jpg ada3.jpg 1\nada1.jpg missing.jpg 0\nada3.jpg ada4.jpg 0\n')
        run('evaluate', pairs, '--images', ada.parent, code=1)
        run('bench', '--image', ada, '--repetitions', 1)
        if has_gallery:
            people, gallery, other = scratch / 'people', scratch / 'g.gallery', scratch / 'other.gallery'
            people.mkdir()
            for name in ('ada', 'bruno'):
                shutil.copytree(faces / 'people' / name, people / name)
            shutil.copy(none, people / 'ada/none.jpg')
            run('enroll', people, '--gallery', gallery)
            (people / 'ada/ada1.jpg').rename(people / 'bruno/ada1.jpg')
            (people / 'ada/ada2.jpg').unlink()
            run('enroll', people, missing, '--gallery', gallery, code=1)
            run('find', ada, none, missing, '--gallery', gallery, '--top', 2, code=1)
            run('gallery list', gallery)
            run('gallery verify', gallery, '--duplicates-above', -1)
            run('gallery export', gallery, '--jsonl', scratch / 'faces.jsonl')
            run('gallery import', other, scratch / 'faces.jsonl', missing, code=1)
            run('gallery remove', gallery, 'ada')
            # Everything has run: what no program printed is documented in vain.
            described = {} if failures else {**sections, 'Inputs that fail': errors}
            for section, tables in described.items():
                failures += [f'{section}: nothing printed {path}' for table in tables for path, key in table.items()
                             if not key.seen and path != 'context.cuda']  # which needs a device
    else:
        print('skipped: no ../shared: the verbs that detect')
finally:
    shutil.rmtree(scratch)

for failure in failures:
    print(failure)
keys = sum(len(table) for tables in sections.values() for table in tables)
print(f'{keys} keys of {len(sections)} verbs')
sys.exit(1 if failures or keys == 0 else 0)
