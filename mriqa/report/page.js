"use strict";
// Adds sorting and filtering to tables; the page is complete without it.
(() => {
  const number = (text) => {
    const plain = text.replaceAll(",", "").replace("%", "").replace("−", "-").trim();
    return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return x - y;
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    return a.localeCompare(b);
  };
  const key = (cell) => cell.dataset.sort ?? cell.textContent;
  const sort = (table, header, index) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(key(a.cells[index]), key(b.cells[index])));
    body.append(...(down ? rows.reverse() : rows));
  };
  const makeSortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((header, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header, index));
      header.append(button);
    });
  };
  const addFilter = (region) => {
    const label = document.createElement("label");
    label.className = "filter";
    label.append("Show rows with");
    const input = document.createElement("input");
    input.type = "search";
    label.append(input);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of region.querySelectorAll("tbody tr"))
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    region.before(label);
  };
  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
  for (const table of document.querySelectorAll("table.filterable")) addFilter(table.parentNode);
  document.addEventListener("keydown", (event) => {
    const large = document.querySelector(".frame:target");
    if (event.key === "Escape" && large) location.hash = large.id.replace(/-large$/, "");
  });
})();
