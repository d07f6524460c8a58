// The example images that the gateway serves, on the empty stage.

import { $, element } from "../dom.js";
import { ApiError } from "../errors.js";
import { onChange } from "../state.js";
import { text } from "../text/language.js";
import { fromBlob } from "./sources.js";

const NAMES = ["street.jpg", "crossing.jpg", "avenue.jpg"];

/** `take(sources)` gets the example that is clicked, `fail(error)` why it could not be loaded. */
export function startExamples(take, fail) {
  const buttons = NAMES.map((name) => {
    const image = element("img", { src: address(name), alt: "" });
    const button = element("button", { type: "button" }, image, element("span"));
    button.addEventListener("click", async () => {
      try {
        take([fromBlob(await load(name), name)]);
      } catch (error) {
        fail(error);
      }
    });
    return button;
  });
  $("examples").append(...buttons);
  onChange(["language"], () => {
    buttons.forEach((button, i) => {
      button.lastChild.textContent = text("examples")[NAMES[i]];
    });
  });
}

const address = (name) => `static/examples/${name}`;

async function load(name) {
  try {
    const response = await fetch(address(name));
    if (response.ok) return await response.blob();
  } catch {
    // As without a response of 2xx.
  }
  throw new ApiError("unreachable");
}
