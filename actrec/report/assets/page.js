"use strict";
(() => {
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage"]],
  };

  const draw = (canvas) => {
    if (canvas.dataset.drawn) return;
    canvas.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(canvas.id + "-data").textContent);
    Plotly.newPlot(canvas, figure.data, figure.layout, config);
  };
  const canvases = [...document.querySelectorAll(".canvas")];

  // The first screen is drawn at once, every other figure when it comes near.
  const margin = 800;
  const near = (canvas) => canvas.checkVisibility() && canvas.getBoundingClientRect().top < innerHeight + margin;
  canvases.filter(near).forEach(draw);
  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: `${margin}px` },
  );
  canvases.forEach((canvas) => observer.observe(canvas));

  // Paper shows everything, at its own width.
  const fit = () => canvases.filter((canvas) => canvas.dataset.drawn && canvas.checkVisibility()).forEach((canvas) => Plotly.Plots.resize(canvas));
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => (details.open = true));
    document.body.classList.add("printing");
    canvases.forEach(draw);
    fit();
  });
  addEventListener("afterprint", () => {
    document.body.classList.remove("printing");
    folded.forEach((details) => (details.open = false));
    fit();
  });

  // Tables: a heading sorts by its column, first up, then down. Cells without a value stay last.
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.key ?? cell.textContent.trim();
    const number = Number(text);
    return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  document.querySelectorAll("table.sortable").forEach((table) => {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : up ? compare(a, b) : compare(b, a)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  });
})();
