"use strict";
// The page is complete without this script, which adds theme, the mark of the part one reads, sorting, filtering, columns, zoom and enlarging.

const root = document.documentElement;
const themeButton = document.getElementById("theme");

function remembered(value) {
  try {
    if (value === undefined) return localStorage.getItem("theme");
    localStorage.setItem("theme", value);
  } catch { /* a page opened from disk may have no storage */ }
  return null;
}

function currentTheme() {
  return root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function labelTheme() {
  const other = currentTheme() === "dark" ? "Light" : "Dark";
  themeButton.textContent = other;
  themeButton.setAttribute("aria-label", `Switch to ${other.toLowerCase()} colours`);
}

function startTheme() {
  const kept = remembered();
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  themeButton.hidden = false;
  labelTheme();
  themeButton.addEventListener("click", () => {
    root.dataset.theme = currentTheme() === "dark" ? "light" : "dark";
    remembered(root.dataset.theme);
    labelTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", labelTheme);
}

function sortKey(row, index) {
  const cell = row.cells[index];
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  const value = Number(cell.dataset.value);
  return Number.isNaN(value) ? null : value;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, index) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[index].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, at) => {
    if (head.querySelector("button")) head.setAttribute("aria-sort", at !== index ? "none" : down ? "descending" : "ascending");
  });
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !("fixed" in row.dataset));
  const keyed = rows.map((row) => [sortKey(row, index), row]);
  // What was not measured stays last in both directions.
  const absent = (key) => key === null || key === "–";
  keyed.sort(([a], [b]) => absent(a) - absent(b) || (absent(a) ? 0 : down ? compare(b, a) : compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if ("refused" in head.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(table, index));
  });
}

function filterRows(table, words, output) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    row.hidden = !("fixed" in row.dataset) && !wanted.every((word) => text.includes(word));
  }
  const counted = rows.filter((row) => !("fixed" in row.dataset));
  const left = counted.filter((row) => !row.hidden).length;
  output.textContent = wanted.length ? `${left} of ${counted.length} rows` : `${counted.length} rows`;
}

function showColumns(table, group) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const groups = (head.dataset.group || "").split(" ");
    const hidden = head.dataset.group !== undefined && group !== "all" && !groups.includes(group);
    head.hidden = hidden;
    for (const row of table.tBodies[0].rows) row.cells[index].hidden = hidden;
  });
}

function startTools(tools) {
  const table = document.getElementById(tools.dataset.for);
  const output = tools.querySelector("output");
  const filter = tools.querySelector("[data-filter]");
  filter.addEventListener("input", () => filterRows(table, filter.value, output));
  filterRows(table, filter.value, output);
  const columns = tools.querySelector("[data-columns]");
  if (columns) {
    columns.addEventListener("change", () => showColumns(table, columns.value));
    showColumns(table, columns.value);
  }
  const zoom = tools.querySelector("[data-zoom]");
  if (zoom) {
    const set = () => table.style.setProperty("--tile", `${zoom.value}px`);
    if (matchMedia("(max-width: 40rem)").matches) zoom.value = "28";
    zoom.addEventListener("input", set);
    set();
  }
  tools.hidden = false;
}

function openAimedAt() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details");
  if (folded) folded.open = true;
}

function markReading() {
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const parts = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  let waiting = false;
  const mark = () => {
    waiting = false;
    // The last part that begins in the upper third of the window; at the end of the page, the last one.
    const end = innerHeight + scrollY >= root.scrollHeight - 2;
    const begun = parts.filter((part) => end || part.getBoundingClientRect().top < innerHeight / 3);
    const current = begun.at(-1) || parts[0];
    links.forEach((link) => link.removeAttribute("aria-current"));
    const link = current && links.get(current.id);
    if (link) link.setAttribute("aria-current", "true");
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
  mark();
}

// A click on an arm's pictures shows its whole strip large, below the originals. Without this, the link leads to its row.
function enlarge(event) {
  const link = event.target.closest("a[data-enlarge]");
  const dialog = document.getElementById("enlarged");
  if (!link || !dialog.showModal) return;
  event.preventDefault();
  const row = document.getElementById(link.hash.slice(1));
  const originals = row.closest("table").querySelector(".originals");
  dialog.querySelector("h2").textContent = row.querySelector("img").alt;
  const shown = [originals, row].filter(Boolean).map((one) => {
    const picture = one.querySelector("img").cloneNode();
    picture.removeAttribute("class");
    return picture;
  });
  dialog.querySelector("div").replaceChildren(...shown);
  dialog.showModal();
}

startTheme();
markReading();
document.addEventListener("click", enlarge);
document.querySelectorAll("table[data-tools]").forEach(makeSortable);
document.querySelectorAll(".tools").forEach(startTools);
addEventListener("hashchange", openAimedAt);
openAimedAt();
