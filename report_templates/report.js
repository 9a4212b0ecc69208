// What a reader may do with the page: sort, filter and search the ranked table, follow a link to a
// class wherever it is, and blend a saliency map with its image. The page says everything without
// this script too. Names are only ever read from the page as text, never put together as markup.
"use strict";
(() => {
  const table = document.querySelector("table.ranking");
  const tools = document.getElementById("tools");
  const count = document.getElementById("tools-count");
  const search = document.getElementById("tools-search");
  const boxes = tools ? [...tools.querySelectorAll("input[type=checkbox]")] : [];
  const rows = table ? [...table.tBodies[0].rows] : [];
  const names = rows.map((row) => plain(row.querySelector(".name").title));

  // Case and accents do not matter to someone who searches.
  function plain(text) {
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  }

  // --- Filter and search -------------------------------------------------------------------
  let waiting = 0;

  function filter() {
    const wanted = plain(search.value.trim());
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !(verdicts.has(row.dataset.verdict) && names[place].includes(wanted));
      shown += row.hidden ? 0 : 1;
    });
    const said = shown ? count.dataset.some : count.dataset.none;
    // A pause, so that a screen reader is told the outcome and not every letter.
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      count.textContent = said.replace("{shown}", shown).replace("{all}", rows.length);
    }, 250);
  }

  function showAll() {
    search.value = "";
    boxes.forEach((box) => { box.checked = true; });
    filter();
  }

  // --- Sort --------------------------------------------------------------------------------
  const order = new Map(rows.map((row, place) => [row, place]));
  const language = new Intl.Collator(document.documentElement.lang, { numeric: true });

  function key(row, column) {
    const cell = row.cells[column];
    return "v" in cell.dataset ? cell.dataset.v : cell.querySelector(".name").title;
  }

  function sort(heading) {
    const column = heading.cellIndex;
    const first = heading.dataset.first || "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const direction = heading.getAttribute("aria-sort") === first ? second : first;
    const sign = direction === "ascending" ? 1 : -1;
    const byNumber = heading.dataset.kind === "number";
    const compare = (a, b) => {
      const [left, right] = [key(a, column), key(b, column)];
      // What was not measured stands last, whichever way the others go.
      if (!left || !right) return (!left - !right) || order.get(a) - order.get(b);
      const difference = byNumber ? left - right : language.compare(left, right);
      return sign * difference || order.get(a) - order.get(b);
    };
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    table.tBodies[0].append(...[...rows].sort(compare));
  }

  function makeSortable(heading) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(heading));
  }

  // --- Links to a class --------------------------------------------------------------------
  function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden) showAll();
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (!target.matches("tr, article")) return;
    // Keyboard and screen reader go on from where the link leads.
    target.tabIndex = -1;
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  }

  // --- Blend image and map -----------------------------------------------------------------
  function makeBlend(overlay) {
    const image = overlay.closest(".strip").querySelector("[data-picture=image] img");
    const map = overlay.querySelector("img");
    if (!image) return;
    const stack = document.createElement("div");
    const below = image.cloneNode();
    stack.className = "stack";
    below.alt = "";
    map.replaceWith(stack);
    stack.append(below, map);
    const label = document.createElement("label");
    const slider = document.createElement("input");
    label.className = "blend";
    slider.type = "range";
    slider.max = 100;
    slider.value = 100;
    slider.addEventListener("input", () => { map.style.opacity = slider.value / 100; });
    label.append(document.body.dataset.blend, slider);
    stack.after(label);
  }

  if (table && tools) {
    tools.hidden = false;
    for (const heading of table.tHead.rows[0].cells) makeSortable(heading);
    search.addEventListener("input", filter);
    search.addEventListener("keydown", (event) => { if (event.key === "Escape") showAll(); });
    boxes.forEach((box) => box.addEventListener("change", filter));
    // Some browsers bring back what was filtered before the page was loaded again.
    addEventListener("pageshow", () => {
      if (search.value || boxes.some((box) => !box.checked)) filter();
    });
  }
  document.querySelectorAll("[data-picture=overlay]").forEach(makeBlend);
  addEventListener("hashchange", follow);
  // A second click on the same link changes no address, but the row may be hidden by now.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) setTimeout(follow);
  });
  follow();
})();
