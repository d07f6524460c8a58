// The table of objects. A row is made when it is shown first; filters and sorting only pick and order them. Of many
// objects the first are listed, and the rest at the press of a button.

import { zoomTo } from "../canvas/canvas.js";
import { $, element } from "../dom.js";
import { coloursOf } from "../canvas/palette.js";
import { current, onChange, update } from "../state.js";
import { text } from "../text/language.js";

const PAGE = 10;
const FIRST = 500; // rows that are listed at once: thousands would take the browser noticeable time
const DESCENDS = { score: true, size: true, class: false }; // at the first click on a column

const body = $("rows");
const box = $("list");
const heads = [...document.querySelectorAll("[data-sort]")];
const more = $("list-all");
let rows = []; // by the objects' index: those that have been listed
let listsAll = false;
let reachable = null; // the one row in the order of the tab key

export function startList() {
  onChange(["objects"], () => {
    rows = [];
    listsAll = false;
  });
  onChange(["shown", "language"], show);
  more.addEventListener("click", () => {
    listsAll = true;
    show(current());
    body.children[FIRST]?.focus();
  });
  onChange(["active"], highlight);
  onChange(["sort"], showSort);
  showSort(current());
  body.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse") activate(event.target.closest("tr"));
  });
  body.addEventListener("pointerleave", () => {
    if (current().activeFrom === "list" && !body.contains(document.activeElement)) update({ active: null });
  });
  body.addEventListener("focusin", (event) => activate(event.target.closest("tr")));
  body.addEventListener("click", (event) => open(event.target.closest("tr")));
  body.addEventListener("keydown", onKey);
  for (const head of heads) head.addEventListener("click", () => sortBy(head.dataset.sort));
}

function makeRow(object) {
  const swatch = element("i", { className: "swatch" });
  swatch.style.background = coloursOf(object.classId)[0];
  const size = `${Math.round(object.width)} × ${Math.round(object.height)}`;
  const row = element(
    "tr",
    { tabIndex: -1, data: { index: object.index } },
    element("td", {}, swatch, object.className),
    element("td", { className: "number" }, object.score.toFixed(2)),
    element("td", { className: "number" }, size),
  );
  row.ariaSelected = "false";
  return row;
}

const rowOf = (object) => (rows[object.index] ??= makeRow(object));

function show({ shown, active }) {
  const listed = listsAll ? shown : shown.slice(0, FIRST);
  body.replaceChildren(...listed.map(rowOf));
  more.hidden = listed.length === shown.length;
  more.textContent = text("listAll", { shown: shown.length });
  const row = rows[active];
  reach(row?.isConnected ? row : body.firstElementChild);
}

function reach(row) {
  if (reachable) reachable.tabIndex = -1;
  reachable = row ?? null;
  if (reachable) reachable.tabIndex = 0;
}

function highlight({ active, activeFrom }, before) {
  for (const [index, on] of [[before.active, false], [active, true]]) {
    const row = rows[index];
    if (!row) continue;
    row.classList.toggle("active", on);
    row.ariaSelected = String(on);
  }
  const row = rows[active];
  if (!row?.isConnected) return;
  reach(row);
  if (activeFrom === "canvas") bring(row);
}

/** Scroll the list, and nothing but the list, to a row. */
function bring(row) {
  const head = box.querySelector("thead").offsetHeight;
  const above = row.offsetTop - head - box.scrollTop;
  const below = row.offsetTop + row.offsetHeight - box.clientHeight - box.scrollTop;
  if (above < 0) box.scrollTop += above;
  else if (below > 0) box.scrollTop += below;
}

function activate(row) {
  if (row) update({ active: Number(row.dataset.index), activeFrom: "list" });
}

function open(row) {
  if (!row) return;
  activate(row);
  zoomTo(current().objects[Number(row.dataset.index)]);
}

function onKey(event) {
  const row = event.target.closest("tr");
  const all = [...body.children];
  const at = all.indexOf(row);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + PAGE, PageUp: at - PAGE, Home: 0, End: all.length };
  if (event.key in steps) all[Math.max(0, Math.min(all.length - 1, steps[event.key]))].focus();
  else if (event.key === "Enter" || event.key === " ") open(row);
  else return;
  event.preventDefault();
}

function sortBy(key) {
  const { sort } = current();
  update({ sort: { key, descending: sort.key === key ? !sort.descending : DESCENDS[key] } });
}

function showSort({ sort }) {
  for (const head of heads) {
    const on = head.dataset.sort === sort.key;
    head.closest("th").ariaSort = on ? (sort.descending ? "descending" : "ascending") : "none";
  }
}
