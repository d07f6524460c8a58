// The API key: asked for when the server wants one.

import { setKey } from "./api.js";
import { $ } from "./dom.js";

const dialog = $("key-dialog");
let after = null;

export function startKeys() {
  $("key").addEventListener("click", () => askKey("The key for this server. It is kept until this tab is closed.", null));
  dialog.addEventListener("close", () => {
    const key = $("key-value").value.trim();
    $("key-value").value = "";
    if (dialog.returnValue !== "use" || !key) return;
    setKey(key);
    after?.();
  });
}

/** Ask for a key, and call `then` once there is one. */
export function askKey(text, then) {
  after = then;
  $("key").hidden = false;
  $("key-text").textContent = text;
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}
