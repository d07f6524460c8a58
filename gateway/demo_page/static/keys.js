// The API key: asked for when the server wants one.

import { setKey } from "./api.js";
import { $ } from "./dom.js";
import { onChange } from "./state.js";
import { text } from "./text/language.js";

const dialog = $("key-dialog");
let after = null;
let reason = "keyText"; // key of the text that says why a key is asked for

export function startKeys() {
  onChange(["language"], showReason);
  $("key").addEventListener("click", () => askKey("keyText", null));
  dialog.addEventListener("close", () => {
    const key = $("key-value").value.trim();
    $("key-value").value = "";
    if (dialog.returnValue !== "use" || !key) return;
    setKey(key);
    after?.();
  });
}

/** Ask for a key, and call `then` once there is one; `key` is that of the text that says why. */
export function askKey(key, then) {
  after = then;
  reason = key;
  $("key").hidden = false;
  showReason();
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}

function showReason() {
  $("key-text").textContent = text(reason);
}
