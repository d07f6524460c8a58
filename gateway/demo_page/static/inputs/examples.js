// The example images that the gateway serves, on the empty stage.

import { $, element } from "../dom.js";
import { ApiError } from "../errors.js";
import { onChange } from "../state.js";
import { text } from "../text/language.js";
import { fromBlob } from "./sources.js";

// The licences want their names and the authors' where the images are shown: see docs/examples/README.md.
const CREDITS = {
  "minsk-crossing.jpg": {
    who: "Yauhen Kharuzhy and the Minsk OpenStreetMap community",
    licence: "CC BY-SA",
    url: "https://creativecommons.org/licenses/by-sa/4.0/",
  },
  "munich-street.jpg": {
    who: "KIT AIS Data Set",
    licence: "CC BY 3.0",
    url: "https://creativecommons.org/licenses/by/3.0/",
  },
  "hit-uav.jpg": {
    who: "HIT-UAV (Suo et al. 2023)",
    licence: "CC BY 4.0",
    url: "https://creativecommons.org/licenses/by/4.0/",
  },
};
const NAMES = Object.keys(CREDITS);

/** `take(sources)` gets the example that is clicked, `fail(error)` why it could not be loaded. */
export function startExamples(take, fail) {
  const buttons = NAMES.map((name) => {
    const image = element("img", { src: address(name), alt: "" });
    const licence = element("small", {}, CREDITS[name].licence);
    const button = element("button", { type: "button" }, image, element("span"), licence);
    button.addEventListener("click", async () => {
      try {
        take([fromBlob(await load(name), name, "example")]);
      } catch (error) {
        fail(error);
      }
    });
    return button;
  });
  $("examples").append(...buttons);
  onChange(["language"], () => {
    buttons.forEach((button, i) => {
      button.querySelector("span").textContent = text("examples")[NAMES[i]];
    });
  });
  onChange(["source", "image", "language"], showCredit);
}

function showCredit({ source, image }) {
  const credit = image && source?.kind === "example" ? CREDITS[source.name] : null;
  $("credit").hidden = !credit;
  if (!credit) return;
  const licence = element("a", { href: credit.url, rel: "license noopener", target: "_blank" }, credit.licence);
  $("credit").replaceChildren(text("credit", { who: credit.who }), licence);
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
