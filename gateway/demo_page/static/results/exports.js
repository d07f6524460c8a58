// The objects that are shown, as files, as an image with its boxes, as a curl command and as a link.

import { DETECT_URL, hasKey, sliceField } from "../api.js";
import { $, element } from "../dom.js";
import { drawObjects, drawImage } from "../canvas/draw.js";
import { linkTo } from "../inputs/link.js";
import { current, onChange } from "../state.js";
import { text } from "../text/language.js";
import { FORMATS } from "./formats.js";
import { requestThreshold } from "./objects.js";

export function startExports(complain) {
  const buttons = ["save", "save-overlay", "copy-curl", "copy-link"].map($);
  onChange(["answer", "image"], ({ answer, image }) => {
    for (const button of buttons) button.disabled = answer === null || image === null;
  });
  $("save").addEventListener("click", () => {
    const { source, image } = current();
    const { content, type, ending } = FORMATS[$("save-format").value];
    save(new Blob([content(shownDocument(current()), { name: source.name, ...image })], { type }), ending);
  });
  $("save-overlay").addEventListener("click", async () => {
    try {
      save(await drawOverlay(current()), "-objects.png");
    } catch {
      complain("overlayTooLarge");
    }
  });
  $("copy-curl").addEventListener("click", copyCurl);
  $("copy-link").addEventListener("click", copyLink);
}

/** The server's answer with the objects that are shown. */
export function shownDocument({ answer, shown }) {
  const kept = new Set(shown.map((object) => object.index));
  const detectedObjects = answer.result.detectedObjects.filter((_, index) => kept.has(index));
  return { ...answer, result: { ...answer.result, detectedObjects } };
}

/** A PNG of the image's own size; lines and letters as thick as in the server's overlay. */
function drawOverlay({ image, shown }) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  const view = { scale: 1, x: 0, y: 0 };
  const side = Math.max(image.width, image.height);
  drawImage(context, image, view);
  const font = 11 + Math.min(14, Math.max(0, Math.floor((side - 1400) / 250)));
  drawObjects(context, shown, view, { line: Math.max(1, Math.round(side / 1800)), font, active: null });
  return canvas.convertToBlob({ type: "image/png" });
}

function save(blob, ending) {
  const url = URL.createObjectURL(blob);
  const name = current().source.name.replace(/\.\w{1,5}$/, "") + ending;
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download may read it later
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The command that asks for what is shown. A file is read from the current folder; a key from the environment. */
export function curlCommand(url, { source, threshold, model, slices = "off", withKey }) {
  const fields = { threshold, visualize: false, ...(model === null ? {} : { model }), ...sliceField(slices) };
  const key = withKey ? ` -H "Authorization: Bearer $SOD_API_KEY"` : "";
  const ask = `curl -s ${quoted(url)}${key} -H 'Content-Type: application/json'`;
  if (source.kind === "url") return `${ask} -d ${quoted(JSON.stringify({ image: source.url, ...fields }))}`;
  const file = quoted(source.name.startsWith("-") ? `./${source.name}` : source.name);
  const head = quoted(`${JSON.stringify(fields).slice(0, -1)},"image":"`);
  return `(printf %s ${head}; base64 -w0 ${file}; printf '"}') |\n  ${ask} -d @-`;
}

async function copyCurl() {
  const { source, threshold, hidden, models, model, slices } = current();
  const described = models.find((one) => (model === null ? one.default : one.name === model));
  const classes = described ? described.labels.keys() : [];
  const command = curlCommand(DETECT_URL, {
    source,
    threshold: requestThreshold(threshold, hidden, classes),
    model,
    slices,
    withKey: hasKey(),
  });
  await copy(command, text("copied", { file: source.kind === "url" ? null : source.name, withKey: hasKey() }));
}

async function copyLink() {
  await copy(linkTo(current()), text("copiedLink", { withImage: current().source.kind === "url" }));
}

async function copy(content, said) {
  try {
    await navigator.clipboard.writeText(content);
    $("status").textContent = said;
  } catch {
    $("copy-text").value = content;
    $("copy-dialog").showModal();
    $("copy-text").select();
  }
}
