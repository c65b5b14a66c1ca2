"use strict";
(() => {
  const canvases = [...document.querySelectorAll(".canvas")];
  const drawing = typeof Plotly !== "undefined";
  if (!drawing) canvases.forEach((canvas) => (canvas.textContent = "This figure needs plotly.min.js, which lies beside this page in its folder."));
  const config = drawing && {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [
      ["png", "svg"].map((format) => ({
        name: format,
        title: `Download as ${format.toUpperCase()}`,
        icon: format === "png" ? Plotly.Icons.camera : Plotly.Icons.disk,
        click: (canvas) => Plotly.downloadImage(canvas, { format, filename: canvas.id, scale: format === "png" ? 2 : 1 }),
      })),
    ],
  };

  const draw = (canvas) => {
    if (!drawing || canvas.dataset.drawn) return;
    canvas.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(canvas.id + "-data").textContent);
    Plotly.newPlot(canvas, figure.data, figure.layout, config);
    if (figure.layout.meta === "pictures") picture(canvas);
  };

  // A point that stands for a video shows the video's picture.
  const picture = (canvas) => {
    const image = document.createElement("img");
    image.className = "lens";
    image.alt = "";
    image.hidden = true;
    canvas.append(image);
    canvas.on("plotly_hover", ({ points: [{ customdata }], event }) => {
      if (!customdata?.[0]) return;
      const frame = canvas.getBoundingClientRect();
      image.src = customdata[0];
      image.style.left = `${Math.max(0, Math.min(event.clientX - frame.left, frame.width - 250))}px`;
      image.style.top = `${event.clientY - frame.top + 34}px`;
      image.hidden = false;
    });
    canvas.on("plotly_unhover", () => (image.hidden = true));
  };

  // The first screen is drawn at once, every other figure when it comes near.
  const margin = 800;
  const near = (canvas) => canvas.checkVisibility() && canvas.getBoundingClientRect().top < innerHeight + margin;
  canvases.filter(near).forEach(draw);
  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: `${margin}px` },
  );
  canvases.forEach((canvas) => observer.observe(canvas));

  // The navigation marks the section that is read, and keeps its name in sight.
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [document.querySelector(link.hash), link]));
  const mark = (current) => {
    links.forEach((link) => link.removeAttribute("aria-current"));
    current.setAttribute("aria-current", "true");
    const bar = current.parentElement;
    bar.scrollLeft = current.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;
  };
  const follow = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => mark(links.get(entry.target))),
    { rootMargin: "-20% 0px -79% 0px" },
  );
  links.forEach((link, section) => follow.observe(section));

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

  const button = (text, press) => {
    const made = document.createElement("button");
    made.type = "button";
    made.append(...text);
    made.addEventListener("click", press);
    return made;
  };

  document.querySelectorAll("figure.table").forEach((figure) => {
    const table = figure.querySelector("table");
    const headings = [...table.tHead.rows[0].cells];
    const step = table.tBodies[0].rows.length;
    const stored = figure.querySelector("template");
    let rows = [...table.tBodies[0].rows, ...(stored ? stored.content.children : [])];
    let limit = step;

    const bar = figure.querySelector(".filters");
    const search = bar?.querySelector("input");
    const chips = [...(bar?.querySelectorAll(".chip") ?? [])];
    const more = button(["Show more"], () => show((limit *= 4)));
    more.className = "more";
    if (stored) figure.append(more);

    const show = () => {
      const words = (search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      const kinds = chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.kind);
      const found = rows.filter(
        (row) =>
          (!kinds.length || kinds.includes(row.dataset.kind)) &&
          (!words.length || words.every((word) => row.textContent.toLowerCase().includes(word))),
      );
      table.tBodies[0].replaceChildren(...found.slice(0, limit));
      more.hidden = found.length <= limit;
      if (!bar) return;
      const all = rows.length.toLocaleString("en");
      const count = found.length === rows.length ? all : `${found.length.toLocaleString("en")} of ${all}`;
      bar.querySelector("output").textContent = `${count} rows${more.hidden ? "" : `, the first ${limit.toLocaleString("en")} shown`}`;
    };

    headings.forEach((heading, column) => {
      const sort = button([...heading.childNodes], () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keyed = rows.map((row) => [key(row, column), row]);
        keyed.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : up ? compare(a, b) : compare(b, a)));
        rows = keyed.map(([, row]) => row);
        show();
      });
      heading.append(sort);
    });
    if (bar) {
      bar.hidden = false;
      search.addEventListener("input", show);
      chips.forEach((chip) =>
        chip.addEventListener("click", () => {
          chip.ariaPressed = String(chip.ariaPressed !== "true");
          show();
        }),
      );
    }
    if (bar || stored) show();
  });

  // A trial's id copies the command that runs it again.
  document.addEventListener("click", async (event) => {
    const source = event.target.closest("[data-copy]");
    if (!source) return;
    const command = source.closest("section").dataset.command.replace("TRIAL", source.dataset.copy);
    await navigator.clipboard.writeText(command);
    source.classList.add("copied");
    setTimeout(() => source.classList.remove("copied"), 1500);
  });
})();
