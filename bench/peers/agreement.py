"""Whether a peer computes what this engine computes."""
import numpy as np

from contender import OURS

LEAST_COSINE = {"f32": 0.9999}  # below float32 the value is stated, not judged ...
LEAST_LOSS = 1e-6  # ... but an embedding as good as float32's (1e-7 or less) was computed in float32
OVERLAP = 0.5  # of a face found by both
# Of the published pipeline's faces. Most are equal to 1e-4 px; but where scores are equal, the order of NumPy's
# unstable sort decides which box stays, and it differs between versions and CPUs.
SAME_OVERLAP = 0.9


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def of_embeddings(contender, outputs):
    reference = next(rows for other, rows in outputs.items() if other.name == OURS and other.setting == "f32")
    cosine = float((unit(outputs[contender]) * unit(reference)).sum(1).min())
    good = cosine >= LEAST_COSINE[contender.setting] if contender.setting in LEAST_COSINE else 1 - cosine >= LEAST_LOSS
    return {"value": cosine, "good": good, "text": f"{cosine:.6f}"}


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def of_faces(contender, outputs):
    ours = next(faces for other, faces in outputs.items() if other.name == OURS and other.setting == contender.setting)
    theirs = outputs[contender]
    least = SAME_OVERLAP if contender.name == "published" else OVERLAP
    matches = []
    for a in ours:
        share, b = max(((overlap(a, b), b) for b in theirs), default=(0, None), key=lambda match: match[0])
        if share > least:
            matches.append((a, b))
    apart = max((float(np.abs(np.subtract(a[:4], b[:4])).max()) for a, b in matches), default=0.0)
    good = contender.name != "published" or len(matches) == len(ours) == len(theirs)
    return {"value": apart, "good": good, "faces": len(theirs), "ours": len(ours), "matched": len(matches),
            "text": f"{len(theirs)} faces, {len(matches)} of our {len(ours)}, corners up to {apart:.2g} px apart"}


def of(work, contender, outputs):
    if contender.name == OURS and contender.setting in ("f32", "standard", "reference"):
        return {"value": 1.0, "good": True, "text": ""}
    return of_embeddings(contender, outputs) if work == "embed" else of_faces(contender, outputs)
