// The strip of thumbnails, one for each image of the page.

import { $, element } from "../dom.js";
import { current, onChange } from "../state.js";
import { text } from "../text/language.js";
import { open, remove, removeAll } from "./collection.js";

const items = new Map(); // entry → its element

export function startStrip() {
  $("strip-clear").addEventListener("click", removeAll);
  onChange(["images", "entry", "busy", "language"], show);
}

function show({ images, entry: shown }) {
  $("strip").hidden = images.length === 0;
  for (const [entry, item] of items) {
    if (images.includes(entry)) continue;
    item.remove();
    items.delete(entry);
  }
  for (const entry of images) {
    if (!items.has(entry)) items.set(entry, makeItem(entry));
    const item = items.get(entry);
    const [button, cross] = item.children;
    const { name } = entry.source;
    const objects = entry.document ? entry.document.result.detectedObjects.length : null;
    button.ariaLabel = text("stripOpen", { name, objects });
    button.title = button.ariaLabel;
    button.ariaCurrent = String(entry === shown);
    cross.ariaLabel = text("stripRemove", { name });
    cross.title = cross.ariaLabel;
    item.classList.toggle("waiting", entry.status !== "done");
    const [image] = button.children;
    if (entry.thumb && image.src !== entry.thumb) image.src = entry.thumb;
    image.hidden = !entry.thumb;
    if (item.parentElement === null) $("thumbs").append(item);
  }
  const current = items.get(shown);
  if (current) bring(current);
}

function makeItem(entry) {
  const image = element("img", { alt: "", hidden: true });
  const button = element("button", { type: "button", className: "thumb" }, image);
  const cross = element("button", { type: "button", className: "cross" }, "×");
  button.addEventListener("click", () => {
    if (current().entry !== entry || current().busy) open(entry);
  });
  cross.addEventListener("click", () => remove(entry));
  return element("li", {}, button, cross);
}

/** Scroll the strip, and nothing but the strip, to an item. */
function bring(item) {
  const box = $("thumbs");
  const before = item.offsetLeft - box.scrollLeft;
  const after = item.offsetLeft + item.offsetWidth - box.clientWidth - box.scrollLeft;
  if (before < 0) box.scrollLeft += before;
  else if (after > 0) box.scrollLeft += after;
}
