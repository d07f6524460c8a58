// Links that open the page with a model, a threshold and the address of an image:
// ?model=…&threshold=…&image=https://…, &compare=… for the second model, and &slices=auto or on.

import { open, take } from "../images/collection.js";
import { current, FLOOR, update } from "../state.js";
import { fromAddress } from "./sources.js";

const HIGHEST = 0.95; // end of the slider
const SLICES = ["off", "auto", "on"];

/** Do what the page's address says; `complain(key, values)` shows what is wrong with it. */
export function followLink(complain) {
  const parameters = new URLSearchParams(location.search);
  const { models, images } = current();
  const names = models.map(({ name }) => name);
  for (const key of ["model", "compare"]) {
    const name = parameters.get(key);
    if (name === null) continue;
    if (!names.includes(name)) {
      complain("unknownModel", { model: name, models: names.join(", ") });
      return;
    }
    const isDefault = models.find((one) => one.name === name).default;
    update({ [key]: key === "model" && isDefault ? null : name });
  }
  if (parameters.has("threshold")) {
    const text = parameters.get("threshold");
    const threshold = Number(text || NaN);
    if (!(threshold >= FLOOR && threshold <= HIGHEST)) {
      complain("linkThreshold", { threshold: text });
      return;
    }
    update({ threshold, isThresholdChosen: true });
  }
  if (parameters.has("slices")) {
    const slices = parameters.get("slices");
    if (!SLICES.includes(slices)) {
      complain("linkSlices", { slices });
      return;
    }
    update({ slices });
  }
  if (!parameters.get("image")) return;
  const source = fromAddress(parameters.get("image"));
  if (source === null) {
    complain("notFetched");
    return;
  }
  // A reload shows the stored result.
  const { model, slices } = current();
  const asLinked = (entry) => entry.model === model && entry.slices === slices;
  const known = images.find((entry) => entry.source.url === source.url && asLinked(entry));
  if (known) open(known);
  else take([source]);
}

/** The link to what the page shows. The image of a file is not part of it. */
export function linkTo({ source, model, slices, compare, models, threshold }) {
  const link = new URL(document.baseURI);
  const name = model ?? models.find((one) => one.default)?.name;
  link.search = new URLSearchParams({
    ...(name ? { model: name } : {}),
    ...(compare ? { compare } : {}),
    ...(slices === "off" ? {} : { slices }),
    threshold: String(threshold),
    ...(source?.kind === "url" ? { image: source.url } : {}),
  });
  return link.href;
}
