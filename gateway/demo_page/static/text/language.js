// The page's language: the browser's until the button is pressed, then the chosen one, which the browser remembers.

import { $ } from "../dom.js";
import { current, onChange, update } from "../state.js";
import { EN } from "./en.js";
import { ZH } from "./zh.js";

const KEY = "sod-language";
const TEXTS = { en: EN, "zh-CN": ZH };
const ATTRIBUTES = { label: "aria-label", title: "title", placeholder: "placeholder" };

/** The text of a key in the page's language; `values` are what it mentions. */
export function text(key, values = {}) {
  const entry = TEXTS[current().language][key];
  return typeof entry === "function" ? entry(values) : entry;
}

/** Show the page in its language. Call it last: every part of the page then writes its texts. */
export function startLanguage() {
  $("language").addEventListener("click", () => {
    const language = current().language === "en" ? "zh-CN" : "en";
    update({ language });
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // Storage may be forbidden; then the choice lasts as long as the page.
    }
  });
  onChange(["language"], writeTexts);
  update({ language: chosen() ?? preferred() });
}

function chosen() {
  try {
    const language = localStorage.getItem(KEY);
    return language in TEXTS ? language : null;
  } catch {
    return null;
  }
}

/** The first of the browser's languages that is one of ours. */
function preferred() {
  const known = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag === "zh" || tag === "en");
  return known === "zh" ? "zh-CN" : "en";
}

function writeTexts({ language }) {
  document.documentElement.lang = language;
  document.title = text("title");
  $("language").lang = language === "en" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of document.querySelectorAll(`[data-${name}]`)) element.setAttribute(attribute, text(element.dataset[name]));
  }
}
