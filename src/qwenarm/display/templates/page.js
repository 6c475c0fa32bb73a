// The only script of qwenarm's pages. Without it every page still shows everything.
"use strict";

// Tables: pressing a head sorts by its column, pressing again the other way round. Rows keep their own links.
for (const button of document.querySelectorAll("table.data thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const direction = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.ariaSort = direction > 0 ? "ascending" : "descending";
    const value = (row) => {
      const cell = row.cells[head.cellIndex], text = cell.dataset.sort ?? cell.textContent.trim();
      return text !== "" && !isNaN(text) ? Number(text) : text;
    };
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    const keyed = [...body.rows].map((row) => [value(row), row]);
    keyed.sort((a, b) => direction * order(a[0], b[0]));
    body.append(...keyed.map((pair) => pair[1]));
  });
}

// Long tables: a search field, and a choice for every column with few different values.
const MOST_CHOICES = 24;
for (const card of document.querySelectorAll("[data-tools]")) {
  const table = card.querySelector("table"), rows = [...table.tBodies[0].rows];
  const tools = document.createElement("form"), count = document.createElement("output");
  tools.className = "tools";
  tools.addEventListener("submit", (event) => event.preventDefault());
  const labelled = (name, field) => {
    const label = document.createElement("label");
    label.append(name, field);
    field.setAttribute("aria-label", name);
    tools.append(label);
    return field;
  };
  const search = labelled("Search", document.createElement("input"));
  search.type = "search";
  const filters = [];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const first = (row) => row.cells[column].firstChild?.textContent.trim() ?? "";
    if (rows[0]?.cells[column].dataset.sort) return;  // numbers are sorted, not chosen
    const values = [...new Set(rows.map(first))];
    if (values.length < 2 || values.length > MOST_CHOICES || head.textContent === "") return;
    const choice = labelled(head.textContent, document.createElement("select"));
    choice.append(new Option("all", ""), ...values.sort().map((text) => new Option(text, text)));
    filters.push([choice, first]);
  });
  tools.append(count);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = filters.every(([choice, first]) => choice.value === "" || first(row) === choice.value);
      row.hidden = !(fits && words.every((word) => texts[i].includes(word)));
      shown += !row.hidden;
    });
    count.value = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  tools.addEventListener("input", apply);
  apply();
  card.querySelector(".caption").after(tools);
}

// An episode: one slider for film and turns. Without a film it leafs through the turns' pictures.
const slider = document.getElementById("moment");
const turns = [...document.querySelectorAll(".turns article")];
if (slider && turns.length) {
  const film = document.querySelector(".stage video"), still = document.querySelector(".stage .still");
  const told = slider.nextElementSibling;
  const starts = turns.map((turn, i) => film ? Number(turn.dataset.filmS) : i);
  let current = -1;
  const show = (moment, follow) => {
    const index = Math.max(0, starts.findLastIndex((start) => start <= moment + 1e-3));
    const call = [...turns[index].querySelectorAll(".calls b")].map((name) => name.textContent).join(", ");
    told.value = turns[index].querySelector("header b").textContent + (call && ": " + call);
    slider.setAttribute("aria-valuetext", told.value);
    if (index === current) return;
    turns[current]?.classList.remove("current");
    turns[index].classList.add("current");
    current = index;
    if (still) still.replaceChildren(...[turns[index].querySelector("figure")?.cloneNode(true)].filter(Boolean));
    if (follow) turns[index].scrollIntoView({ block: "nearest" });
  };
  slider.parentElement.hidden = false;
  slider.addEventListener("input", () => {
    if (film) film.currentTime = slider.value;
    show(Number(slider.value), true);
  });
  turns.forEach((turn, i) => turn.querySelector("header b").addEventListener("click", () => {
    slider.value = starts[i];
    if (film) film.currentTime = starts[i];
    show(starts[i], false);
  }));
  if (film) {
    const measure = () => { slider.max = film.duration || starts.at(-1); };
    film.addEventListener("loadedmetadata", measure);
    measure();
    film.addEventListener("timeupdate", () => { slider.value = film.currentTime; show(film.currentTime, !film.paused); });
  } else {
    still.hidden = false;
    slider.max = turns.length - 1;
    slider.step = 1;
  }
  show(0, false);
}
