// Choosing, dropping and pasting images, which `take(sources)` gets, or a video file, which `play(file)` gets.

import { $ } from "../dom.js";
import { isVideo } from "./live.js";
import { fromAddress, fromBlob, fromTransfer } from "./sources.js";

export function startInputs(take, play, complain) {
  const give = (sources) => {
    const film = sources.find(({ blob }) => blob && isVideo(blob));
    if (!film) {
      take(sources);
      return;
    }
    play(film.blob);
    if (sources.length > 1) complain("videoAlone", { name: film.name });
  };
  const takeTransfer = (transfer, error) => {
    const sources = fromTransfer(transfer);
    if (sources.length > 0) give(sources);
    else complain(error);
  };

  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const sources = [...$("file").files].map((file) => fromBlob(file));
    if (sources.length > 0) give(sources);
    $("file").value = ""; // the same file may be chosen again
  });

  $("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const source = fromAddress($("url").value.trim());
    if (source) take([source]);
    else complain("notFetched");
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
    takeTransfer(event.dataTransfer, "notDropped");
  });

  addEventListener("paste", (event) => {
    const field = event.target instanceof Element && event.target.closest("input, textarea");
    if (field && event.clipboardData.files.length === 0) return;
    event.preventDefault();
    takeTransfer(event.clipboardData, "notPasted");
  });
}
