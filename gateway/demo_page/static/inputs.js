// Choosing, dropping and pasting; `take(source)` gets what came.

import { $ } from "./dom.js";
import { fromBlob, fromTransfer, fromUrl } from "./sources.js";

export function startInputs(take, complain) {
  const takeTransfer = (transfer, what) => {
    const source = fromTransfer(transfer);
    if (source) take(source);
    else complain(`What was ${what} is neither an image nor an http(s) address.`);
  };

  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) take(fromBlob(file));
    $("file").value = ""; // the same file may be chosen again
  });

  $("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const url = $("url").value.trim();
    if (/^https?:/i.test(url) && URL.canParse(url)) take(fromUrl(url));
    else complain("The server fetches http and https addresses only.");
  });

  // A drop anywhere is taken; elsewhere the browser would leave the page for the file.
  let inside = 0;
  const mark = () => document.body.classList.toggle("dropping", inside > 0);
  addEventListener("dragenter", () => {
    inside += 1;
    mark();
  });
  addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    mark();
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    mark();
    takeTransfer(event.dataTransfer, "dropped");
  });

  addEventListener("paste", (event) => {
    const field = event.target instanceof Element && event.target.closest("input, textarea");
    if (field && event.clipboardData.files.length === 0) return;
    event.preventDefault();
    takeTransfer(event.clipboardData, "pasted");
  });
}
