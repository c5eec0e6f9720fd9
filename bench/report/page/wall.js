"use strict";
// The image wall, ordered by rank.

(() => {
  const { el, number } = lamscope;
  const ORDERS = {
    rank: ["maximum DI", (m) => m.rank], rank_mean: ["mean DI", (m) => m.rank_mean], name: ["name", null], index: ["position in the test set", (m) => m.index],
  };

  // Images in an order; those that lack a network have no rank and come last.
  lamscope.ordered = (part, key, down = false) => {
    const value = ORDERS[key][1];
    const sign = down ? -1 : 1;
    return [...part.images].sort((a, b) => {
      if (!value) return sign * a.name.localeCompare(b.name, undefined, { numeric: true });
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.index - b.index;
      return sign * (x - y);
    });
  };

  function show(part, query) {
    let order = ORDERS[query.get("order")] ? query.get("order") : "rank";
    let down = query.get("down") === "1";
    const filter = el("input", { type: "search", id: "filter", value: query.get("filter") || "", oninput: draw });
    const wall = el("ul.wall");
    const found = el("p.count", { role: "status" });
    const controls = el("div.controls", {},
      lamscope.choice("Order by", Object.entries(ORDERS).map(([k, [text]]) => [k, text]), order, (v) => { order = v; draw(); }),
      el("label", {}, el("input", { type: "checkbox", checked: down, onchange: (e) => { down = e.target.checked; draw(); } }), " largest first"),
      el("label", { for: "filter" }, "Filter "), filter, found);

    function draw() {
      lamscope.remember({ order, down: down ? "1" : null, filter: filter.value || null });
      const word = filter.value.toLowerCase();
      const shown = lamscope.ordered(part, order, down).filter((m) => m.name.toLowerCase().includes(word));
      wall.replaceChildren(...shown.map((m) => {
        const known = m.di.filter((v) => v !== null);
        const most = known.length ? number(Math.max(...known), 1) : "–";
        const rank = order === "rank_mean" ? m.rank_mean : m.rank;
        return el("li", {}, el("a", { href: lamscope.link("compare", { image: m.index, order }) },
          el("img", { src: `${lamscope.stem(part, m.index)}-thumb.webp`, loading: "lazy", alt: "", width: "144", height: "144" }),
          el("span.rank", {}, rank ? `#${rank}` : "incomplete"), el("span.name", {}, m.name), el("span.most", {}, `max DI ${most} %`)));
      }));
      found.textContent = `${shown.length} of ${part.images.length} images`;
    }
    draw();
    return [el("h1", {}, "Images by how far networks look"), lamscope.notes(part), controls, wall];
  }
  lamscope.views.push({ name: "images", title: "Images", show });
})();
