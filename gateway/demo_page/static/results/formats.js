// The file formats of the objects: the same columns, keys and fractions as `sod predict --format` and the Python SDK.
// `content(document, {name, width, height})` gives a file's text for the server's document and the size of the image.

const COLUMNS = ["input_path", "page_index", "cls_id", "label", "score", "x1", "y1", "x2", "y2"];

const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const json = (value) => JSON.stringify(value, null, 2);
const stem = (name) => name.replace(/\.\w{1,5}$/, "");

function csv({ result }, { name }) {
  const rows = result.detectedObjects.map(({ bbox, categoryId, categoryName, score }) =>
    [name, "", categoryId, categoryName, score, ...bbox].map((cell) => quoted(String(cell))),
  );
  return [COLUMNS, ...rows].map((row) => `${row.join(",")}\n`).join("");
}

/** The entries of a COCO results file. A name of digits only is the id of the image, as in COCO's own data sets. */
function coco({ result }, { name }) {
  const imageId = /^\d+$/.test(stem(name)) ? Number(stem(name)) : stem(name);
  return json(
    result.detectedObjects.map(({ bbox: [x1, y1, x2, y2], categoryId, score }) => {
      return { image_id: imageId, category_id: categoryId, bbox: [x1, y1, x2 - x1, y2 - y1], score };
    }),
  );
}

/** One line for each object: class id, and the box's centre and size as shares of the image's. */
function yolo({ result }, { width, height }) {
  return result.detectedObjects
    .map(({ bbox: [x1, y1, x2, y2], categoryId }) => {
      const shares = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
      return `${[categoryId, ...shares.map((share) => share.toFixed(6))].join(" ")}\n`;
    })
    .join("");
}

export const FORMATS = {
  json: { content: json, type: "application/json", ending: ".json" },
  csv: { content: csv, type: "text/csv", ending: ".csv" },
  coco: { content: coco, type: "application/json", ending: "_coco.json" },
  yolo: { content: yolo, type: "text/plain", ending: ".txt" },
};
