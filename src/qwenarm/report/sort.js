// Sorts a table by the column whose head is pressed, again for the other way round. Rows keep their own links.
for (const button of document.querySelectorAll("table.data thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const turn = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.ariaSort = turn > 0 ? "ascending" : "descending";
    const value = (row) => {
      const cell = row.cells[head.cellIndex], text = cell.dataset.sort ?? cell.textContent;
      return text !== "" && !isNaN(text) ? Number(text) : text;
    };
    const order = (a, b) => typeof a === typeof b && typeof a === "number" ? a - b : String(a).localeCompare(String(b));
    const rows = [...body.rows].sort((a, b) => turn * order(value(a), value(b)));
    body.append(...rows);
  });
}
