// The slices in which the server detected an image, as lines over it. The grid is that of sod/slicing.py with its
// defaults: slices as large as the model's input, which overlap by a quarter.

import { toScreen } from "./view.js";

const OVERLAP = 0.25;

/** The slices of an image, [[x0, y0, x1, y1]]. `input` is the model's [height, width]. */
export function sliceGrid({ width, height }, input) {
  const [w, h] = [Math.min(input[1], width), Math.min(input[0], height)];
  const columns = starts(width, w);
  return starts(height, h).flatMap((y) => columns.map((x) => [x, y, x + w, y + h]));
}

function starts(total, length) {
  const step = Math.max(1, length - Math.floor(OVERLAP * length));
  const count = 1 + Math.ceil((total - length) / step);
  return Array.from({ length: count }, (_, index) => Math.min(index * step, total - length));
}

/** Draw the borders of the slices if the image on the stage was sliced, faint, bright beside dark for any ground. */
export function drawSlices(context, { image, entry, models, timing }, view, line) {
  const model = models.find((one) => (entry?.model ? one.name === entry.model : one.default));
  if (!timing?.slices || !model?.inputSize) return;
  const grid = sliceGrid(image, model.inputSize);
  if (grid.length + 1 !== timing.slices) return; // the whole image is one more
  context.save();
  context.lineWidth = line;
  for (const [shift, colour] of [[0, "rgb(255 255 255 / 0.4)"], [line, "rgb(0 0 0 / 0.25)"]]) {
    context.strokeStyle = colour;
    context.beginPath();
    for (const slice of grid) {
      const [x0, y0, x1, y1] = toScreen(slice, view).map(Math.round);
      context.rect(x0 + line / 2 + shift, y0 + line / 2 + shift, x1 - x0 - line - 2 * shift, y1 - y0 - line - 2 * shift);
    }
    context.stroke();
  }
  context.restore();
}
