// Draws boxes over the image.

export function colourOf(classId) {
  return `hsl(${(classId * 137.5 + 200) % 360} 85% 62%)`;
}

export function drawObjects(context, objects) {
  const { width, height } = context.canvas;
  const line = Math.max(1, Math.round(Math.max(width, height) / 640));
  const size = 9 * line;
  context.lineWidth = line;
  context.font = `${size}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const { bbox, categoryId, categoryName, score } of objects) {
    const [x1, y1, x2, y2] = bbox;
    context.strokeStyle = colourOf(categoryId);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    if (objects.length > 60) continue; // labels of a crowd would hide it
    const label = `${categoryName} ${score.toFixed(2)}`;
    const y = Math.max(y1 - line, size + 2);
    context.fillStyle = context.strokeStyle;
    context.fillRect(x1, y - size - 2, context.measureText(label).width + 4, size + 2);
    context.fillStyle = "#10151c";
    context.fillText(label, x1 + 2, y);
  }
}
