"use strict";
// The ranking: sorted by a click on a column's head, filtered by name and family.

(() => {
  const { el, number } = lamscope;
  const interval = ([, low, high], digits) =>
    low === null ? "–" : `${number(low, digits)} – ${number(high, digits)}`;
  const COLUMNS = [
    { key: "rank", head: "#", value: (n) => n.rank, text: (n) => String(n.rank), first: 1 },
    { key: "name", head: "Network", value: (n) => n.label.toLowerCase(), first: 1, left: true },
    { key: "family", head: "Family", value: (n) => n.family, text: (n) => n.family, first: 1, left: true },
    { key: "di", head: "DI (%)", value: (n) => n.di[0], text: (n) => number(n.di[0]), first: -1 },
    { key: "interval", head: "95 % interval", value: (n) => n.di[1], text: (n) => interval(n.di, 2), first: -1 },
    { key: "median", head: "Median", value: (n) => n.di[3], text: (n) => number(n.di[3]), first: -1 },
    { key: "mean_rank", head: "Mean rank", value: (n) => n.mean_rank, text: (n) => number(n.mean_rank), first: 1 },
    { key: "r90", head: "r90 (LR px)", value: (n) => n.r90, text: (n) => number(n.r90, 1), first: -1,
      title: "Distance from the window that holds nine tenths of the attribution" },
    ...["psnr_y", "psnr_rgb", "ssim_y"].map((m) => ({
      key: m, head: lamscope.METRICS[m][0], value: (n) => n[m][0], text: (n) => number(n[m][0], lamscope.METRICS[m][1]),
      title: "Mean over images; hover or focus a cell for its 95 % interval", hint: (n) => interval(n[m], lamscope.METRICS[m][1]),
      first: -1,
    })),
    { key: "params", head: "Parameters", value: (n) => n.n_parameters, text: (n) => lamscope.count(n.n_parameters), first: 1 },
  ];

  function show(part, query) {
    let sort = COLUMNS.find((c) => c.key === query.get("sort")) || COLUMNS[0];
    let order = Number(query.get("order")) || sort.first;
    const families = [...new Set(part.networks.map((n) => n.family))].sort();
    const filter = el("input", { type: "search", id: "filter", value: query.get("filter") || "", oninput: draw });
    const family = el("select", { onchange: draw }, el("option", { value: "" }, "all"),
      ...families.map((f) => el("option", { value: f, selected: f === query.get("family") }, f)));
    const head = el("tr");
    const body = el("tbody");
    const found = el("p.count", { role: "status" });

    function draw() {
      lamscope.remember({ sort: sort.key, order, filter: filter.value || null, family: family.value || null });
      head.replaceChildren(...COLUMNS.map((column) => el("th", {
        scope: "col", class: column.left ? "left" : "", title: column.title,
        "aria-sort": column === sort ? (order > 0 ? "ascending" : "descending") : "none",
      }, el("button", { type: "button", "data-key": column.key, onclick: () => by(column) }, column.head,
        el("span", { "aria-hidden": "true" }, column === sort ? (order > 0 ? " ▲" : " ▼") : "")))));
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = part.networks.filter((n) => (!family.value || n.family === family.value)
        && words.every((w) => `${n.name} ${n.label} ${n.family}`.toLowerCase().includes(w)));
      shown.sort((a, b) => {
        const [x, y] = [sort.value(a), sort.value(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last, either way
        return order * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.rank - b.rank;
      });
      body.replaceChildren(...shown.map((n) => el("tr", { id: `network-${n.name}` }, ...COLUMNS.map((c) => c.key === "name"
        ? el("th.left", { scope: "row" }, lamscope.swatch(n), el("a", { href: lamscope.link("scatter", { mode: "images", network: n.name }) }, n.label))
        : el("td", { class: c.left ? "left" : "", title: c.hint && c.hint(n) }, c.text(n))))));
      found.textContent = shown.length === part.networks.length ? `${shown.length} networks` : `${shown.length} of ${part.networks.length} networks`;
    }
    function by(column) {
      order = column === sort ? -order : column.first;
      sort = column;
      draw();
      head.querySelector(`[data-key=${column.key}]`).focus();
    }
    draw();
    const named = query.get("network") && body.querySelector(`#${CSS.escape(`network-${query.get("network")}`)}`);
    if (named) {
      named.classList.add("named");
      requestAnimationFrame(() => named.scrollIntoView({ block: "center" }));
    }
    return [
      el("h1", {}, part.title), lamscope.notes(part),
      el("div.controls", {}, el("label", { for: "filter" }, "Filter "), filter, el("label", {}, "Family ", family), found),
      el("div.wide", { tabindex: "0", role: "region", "aria-label": "Ranking, scrolls sideways" },
        el("table.ranking", {}, el("caption", {}, "Networks by mean diffusion index, on the images that all of them have"), el("thead", {}, head), body)),
      el("p.small", {}, "DI: the percentage of the LR image that takes part in reconstructing the window. Intervals are bootstraps over images, the same resamples for every network. The mean rank is over images (1: the widest)."),
    ];
  }
  lamscope.views.push({ name: "ranking", title: "Ranking", show });
})();
