"use strict";

// Tables: a click on a column's head sorts by it.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const order = isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}

// Large confusion matrices: the cell under the pointer in words.
for (const picture of document.querySelectorAll(".matrix")) {
  const labels = JSON.parse(picture.dataset.labels);
  const counts = new Map(JSON.parse(picture.dataset.cells).map(([i, j, n]) => [i * labels.length + j, n]));
  const readout = picture.closest("section").querySelector(".readout");
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const cell = (offset, extent) => Math.min(labels.length - 1, Math.max(0, Math.floor((offset / extent) * labels.length)));
    const i = cell(event.clientY - box.top, box.height), j = cell(event.clientX - box.left, box.width);
    const count = counts.get(i * labels.length + j) ?? 0;
    readout.textContent = `${count} × ${labels[i]} called ${labels[j]}`;
  });
}
