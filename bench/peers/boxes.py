"""Box arithmetic of MTCNN in numpy. Boxes are rows (x1, y1, x2, y2, score), inclusive pixels: width = x2 - x1 + 1."""
import numpy as np


def pyramid(width, height, min_face=20, factor=0.85):
    """Scales from the greatest on; the last level still holds one window of 12."""
    scale = 12 / min_face
    side, scales = min(width, height) * scale, []
    while side > 12:
        scales.append(scale)
        scale, side = scale * factor, side * factor
    return scales


def suppress(boxes, threshold, smaller=False):
    """Indices that non-maximum suppression keeps, best first; overlap over the union, or over the smaller area."""
    x1, y1, x2, y2, scores = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order, kept = np.argsort(scores), []
    while order.size:
        best, rest = order[-1], order[:-1]
        kept.append(best)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + 1
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + 1
        common = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(areas[best], areas[rest]) if smaller else areas[best] + areas[rest] - common
        order = rest[common / whole <= threshold]
    return kept


def cell_boxes(scores, offsets, scale, threshold):
    """P-Net's cells {rows, columns} above the threshold as rows (box, score, four offsets)."""
    rows, columns = np.where(scores > threshold)
    corners = np.stack([2 * columns + 1, 2 * rows + 1, 2 * columns + 13, 2 * rows + 13], 1)
    return np.hstack([np.round(corners / scale), scores[rows, columns, None], offsets[:, rows, columns].T])


def moved(boxes, offsets):
    width, height = boxes[:, 2:3] - boxes[:, 0:1] + 1, boxes[:, 3:4] - boxes[:, 1:2] + 1
    boxes = boxes.copy()
    boxes[:, :4] += offsets * np.hstack([width, height, width, height])
    return boxes


def squared(boxes):
    """The square about the centre whose side is the longer one, rounded."""
    width, height = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
    side = np.maximum(width, height)
    boxes = boxes.copy()
    boxes[:, 0] += width / 2 - side / 2
    boxes[:, 1] += height / 2 - side / 2
    boxes[:, 2], boxes[:, 3] = boxes[:, 0] + side - 1, boxes[:, 1] + side - 1
    boxes[:, :4] = np.round(boxes[:, :4])
    return boxes


def landmarks(boxes, values):
    """O-Net's ten values in the boxes that it saw -> {N,10}: x, y of five points."""
    width, height = boxes[:, 2:3] - boxes[:, 0:1] + 1, boxes[:, 3:4] - boxes[:, 1:2] + 1
    points = np.empty_like(values, dtype=np.float64)
    points[:, 0::2] = boxes[:, 0:1] + width * values[:, :5]
    points[:, 1::2] = boxes[:, 1:2] + height * values[:, 5:]
    return points


def clipped(boxes, width, height):
    boxes = boxes.copy()
    boxes[:, :2] = np.maximum(boxes[:, :2], 0)
    boxes[:, 2] = np.minimum(boxes[:, 2], width - 1)
    boxes[:, 3] = np.minimum(boxes[:, 3], height - 1)
    return boxes
